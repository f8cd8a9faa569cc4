"""Read weights safely, and report what fits a model."""
