"""The rooms of the command line; cli.py is the door."""


class CommandError(Exception):
    """The command cannot do what was asked; the message says why."""
