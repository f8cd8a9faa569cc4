"""Execute runs here, on Ray, or by SLURM."""
