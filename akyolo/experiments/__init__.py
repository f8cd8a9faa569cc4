"""Tables: their rows, trainings, records and results.

spec/          YAML files as frozen tables; the tables, rows and arguments that a command selects and overrides
run/           one row with one seed: a training that can be resumed, in a process of its own, and its record
launch/        the runs of a table on this machine, on a Ray cluster or as SLURM job arrays, and their expected cost
table/         records as means and deviations, with a paper's figures, counts, timings, notes and a plot
run_tables.py  the tables of a command: checked before the first run, then run and reported
"""

from akyolo.experiments.spec.spec_file import read_tables
from akyolo.experiments.spec.table_spec import TableRow, TableSpec

__all__ = ["TableRow", "TableSpec", "read_tables"]
