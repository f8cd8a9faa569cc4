"""The commands that `akyolo` has, read from its parsers."""

import argparse

from akyolo.cli import COMMANDS, MODES


def sub_commands(parser):
    """Yield the words of each command below `parser`, those of the parser itself first."""
    yield ()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from ((name, *words) for words in sub_commands(below))


def every_command():
    """Return the words of every mode and command, sub-commands included."""
    commands = [(mode,) for mode in MODES]
    for name, module in COMMANDS.items():
        parser = argparse.ArgumentParser()
        module.configure(parser)
        commands += [(name, *words) for words in sub_commands(parser)]
    return commands


EVERY = every_command()
