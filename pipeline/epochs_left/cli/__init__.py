"""The command line `epochs-left`: arguments, messages, exit codes.

Data go to stdout, everything else to stderr. Heavy modules are imported inside the commands, so
that `--help` answers at once; nothing that Python has not loaded itself is imported here, so that
an interrupt while the program still loads ends it like any other.
"""

import os
import sys

INTERRUPTED = 130
#: What an interrupt is answered with.
INTERRUPTED_TEXT = "interrupted; nothing was written"


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0 done, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted. What goes
    wrong is one line on stderr, and nothing has been written then.
    """
    from epochs_left.cli.program import run  # noqa: PLC0415 - see above

    return run(sys.argv[1:] if argv is None else argv)


def script() -> None:
    """Run the command line as a program of its own, and end the process.

    Leaves without tearing the interpreter down: threads that pyarrow and OpenMP are still starting
    in a very short run would abort the process after everything has been said and written.
    """
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:  # while modules were imported
        sys.stderr.write(f"epochs-left: error: {INTERRUPTED_TEXT}\n")
        code = INTERRUPTED
    sys.stderr.flush()
    os._exit(code)
