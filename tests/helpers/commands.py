"""The commands that `akyolo` has, read from its parsers."""

import argparse

from akyolo.cli import COMMANDS, MODES, _command


def sub_commands(parser):
    """Yield the words of each command below `parser`, those of the parser itself first."""
    yield ()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from ((name, *words) for words in sub_commands(below))


def every_command():
    """Return the words of every mode and command, sub-commands included."""
    found = [(mode,) for mode in MODES]
    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        _command(name).configure(parser)
        found += [(name, *words) for words in sub_commands(parser)]
    return found


EVERY = every_command()
