"""What the program says to people, on stderr; stdout is for data."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TextIO

from epochs_left.errors import UsageError

if TYPE_CHECKING:
    from epochs_left.storage.logs import Log

PROGRAM = "epochs-left"


def one_line(text: str) -> str:
    """Return text on one line, without control characters that file names could smuggle in."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def printable(text: str) -> str:
    """Return a text with control characters spelled out: a terminal would obey them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class TerminalText:
    """A terminal that is given bytes of UTF-8 text, with control characters spelled out.

    Run names are anybody's: an escape sequence in one could hide or forge what a person reads.
    """

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def write(self, data: bytes) -> int:
        """Write a piece of the text, which may end within a character."""
        lines = self._decoder.decode(data).split("\n")
        self._terminal.write("\n".join(map(printable, lines)).encode())
        return len(data)

    def flush(self) -> None:
        """Show what was written."""
        self._terminal.flush()


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
    if is_terminal(sys.stdout):
        text = "\n".join(map(printable, text.split("\n")))
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

    @property
    def wants_notes(self) -> bool:
        """Whether a person is at a terminal, or asked to hear more."""
        return self.verbose or (is_terminal(sys.stderr) and not self.quiet)

    def note(self, text: str) -> None:
        """Say what may be good to know."""
        if self.wants_notes:
            say("note", text)

    def about_log(self, log: Log) -> None:
        """Say, once a log has been read, what its rows are where they are not its entries.

        Without it an epoch of the answer would be another than that of the log.
        """
        reading = log.notes if log.shifted and not self.wants_notes else ()
        for text in (*reading, *([log.merged] if log.merged else [])):
            if not self.quiet:
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
