"""Run the command line: `python -m akyolo`."""

from akyolo_command import main

main()
