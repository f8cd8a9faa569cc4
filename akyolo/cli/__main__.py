"""Run the command line: `python -m akyolo.cli`, the form that torchrun takes."""

from akyolo_command import main

main()
