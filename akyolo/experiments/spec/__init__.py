"""Read tables of runs from YAML specifications."""
