"""Train and record one run; resume it."""
