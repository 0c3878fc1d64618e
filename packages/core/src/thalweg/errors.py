"""The errors that a user can cause, each with the exit code of the command line.

Every one of them carries one clear sentence that names the cause and the fix; the command line prints
it without a traceback unless ``--debug`` is given.
"""

INTERRUPTED, PREEMPTED = 130, 75
"""Exit codes of what the same command resumes with: after Ctrl-C, and after SIGTERM or SIGUSR1."""


class ThalwegError(Exception):
    """The base of all errors that a user can cause or cure."""

    exit_code = 1


class ConfigError(ThalwegError):
    """A configuration or an argument is wrong: exit code 2."""

    exit_code = 2


class PluginError(ThalwegError):
    """A plugin is missing, broken, clashing, blocked or too new: exit code 3."""

    exit_code = 3


class DataError(ThalwegError):
    """Data, weights or a checkpoint are missing, foreign or damaged: exit code 4."""

    exit_code = 4


class DamagedImageError(DataError):
    """An image is damaged, cut off, none at all, or beyond a limit: others of its data set may be whole."""


class InterruptionError(ThalwegError):
    """Ctrl-C during training, everything saved: exit code 130."""

    exit_code = INTERRUPTED


class PreemptionError(ThalwegError):
    """SIGTERM or SIGUSR1 while something was made that the same command resumes with: exit code 75."""

    exit_code = PREEMPTED


class DivergenceError(ThalwegError):
    """Training met a loss or gradient that is not finite: exit code 1."""
