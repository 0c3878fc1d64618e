"""The command line: one file a command, none imported before it is called."""

# Before everything else: signals are held from here on.
from thalweg.cli import starting as starting
