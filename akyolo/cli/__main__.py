"""`python -m akyolo.cli`, which is what torchrun wants."""

from akyolo.cli import main

main()
