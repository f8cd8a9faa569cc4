"""Run the command line: `python -m akyolo.cli`.

torchrun takes this form.
"""

from akyolo_command import main

main()
