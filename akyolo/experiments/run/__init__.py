"""Train and record one run, resumable at any moment."""
