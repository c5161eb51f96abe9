"""What the program says to people, on stderr; stdout is for data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

from epochs_left.errors import UsageError

PROGRAM = "epochs-left"


def one_line(text: str) -> str:
    """Return text on one line, without control characters that file names could smuggle in."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; a closed one, which Python makes None, is not."""
    return stream is not None and stream.isatty()


def say(kind: str, text: str) -> None:
    """Write one line to stderr."""
    with suppress(OSError, AttributeError):  # nobody is left to read it
        sys.stderr.write(f"{PROGRAM}: {kind}: {one_line(text)}\n")
        sys.stderr.flush()


def write_stdout(text: str) -> None:
    """Write text to stdout; a reader that has left, such as `head`, has what it wanted."""
    with suppress(BrokenPipeError, AttributeError):
        sys.stdout.write(text)
        sys.stdout.flush()


def leave_stdout() -> None:
    """Flush stdout; where nobody reads any more, drop what the interpreter would still write."""
    try:
        with suppress(AttributeError):
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True, kw_only=True)
class Messages:
    """How much to say.

    Parameters
    ----------
    quiet
        Errors alone.
    verbose
        Facts too.
    progress
        A progress bar, which needs a terminal.
    """

    quiet: bool
    verbose: bool
    progress: bool

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other; pass one of them")

    def warn(self, text: str) -> None:
        """Say what was tolerated."""
        if not self.quiet:
            say("warning", text)

    def warn_all(self, texts: Sequence[str], *, strict: bool) -> None:
        """Say what was tolerated; UsageError if nothing is to be tolerated."""
        if strict and texts:
            raise UsageError(f"{'; '.join(texts)}; mend that or leave out --strict")
        for text in texts:
            self.warn(text)

    def note(self, text: str) -> None:
        """Say what may be good to know, to a person at a terminal or one who asked."""
        if self.verbose or (is_terminal(sys.stderr) and not self.quiet):
            say("note", text)

    @contextmanager
    def progress_bar(self, total: int | None, *, wanted: bool) -> Iterator[Callable[[int], None]]:
        """Yield a function that advances a bar over ``total`` rows, on a terminal only."""
        if not wanted or self.quiet or not self.progress or not is_terminal(sys.stderr):
            yield lambda _: None
            return
        from rich import progress  # noqa: PLC0415
        from rich.console import Console  # noqa: PLC0415

        columns = (
            progress.TextColumn("predicting"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,} rows"),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda rows: bar.advance(task, rows)
