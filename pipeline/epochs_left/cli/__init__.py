"""The command line `epochs-left`: arguments, messages, exit codes.

Data go to stdout, everything else to stderr. Heavy modules are imported inside the commands, so
that `--help` answers at once.
"""

from epochs_left.cli.main import main, script

__all__ = ["main", "script"]
