"""Tables, of AKConv's paper and of comparisons: rows as data -> resumable runs -> records -> tables and plots.

rows.py      a spec (YAML) to rows            runs.py     a row, a seed, a folder: one run
static.py    a row to its counts              child.py    the same in a process of its own
records.py   what a run leaves (JSON)         process.py  which starts that process
series.py    all runs of a spec, a folder     launch.py   all of them, here in order
tables.py    records to means and spreads     on_ray.py   on a Ray cluster
speed.py     trained models side by side      slurm.py    as a SLURM job array
figures.py   the plot                         report.py   table, JSON and plot of a series
"""
