"""Execute the runs of a table: here, on a Ray cluster, or as SLURM job arrays."""
