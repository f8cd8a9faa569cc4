"""Execute the runs of a table: on this machine, on a Ray cluster, or by SLURM."""
