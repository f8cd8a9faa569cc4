"""Tables, of AKConv's paper and of comparisons: rows as data -> resumable runs -> records -> tables and plots.

spec_file.py  a spec (YAML), read strictly      runs.py     a row, a seed, a folder: one run
rows.py       a spec to rows                    child.py    the same in a process of its own
chosen.py     tables and changes asked for      process.py  which starts that process
plan.py       what will be run                  series.py   all runs of a table, a folder
static.py     a row to its counts               launch.py   all of them, here in order
tables.py     records to means and spreads      on_ray.py   on a Ray cluster
beside.py     the same beside a paper's         slurm.py    as a SLURM job array
changes.py    what was not as stated            records.py  what a run leaves (JSON)
speed.py      trained models side by side       about.py    title and notes of a table
figures.py    the plot                          report.py   table, JSON and plot of a series
"""
