"""Tables, of AKConv's paper and of comparisons: rows as data -> resumable runs -> records -> tables and plots.

spec/    a YAML file, read strictly, to rows; the tables, rows and changes that were asked for
run/     a row, a seed, a folder: one resumable run, in a process of its own, and the record that it leaves
launch/  all runs of a table, here in order, on a Ray cluster, or as SLURM job arrays; and what they will cost
table/   records to means and spreads, with the paper's columns, counts, timings, notes and a plot
"""
