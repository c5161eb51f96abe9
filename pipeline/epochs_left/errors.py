"""Errors that reach a person: one line each, with an exit code.

The line says what was expected, what was found, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class EpochsLeftError(Exception):
    """Base of every expected failure; never raised itself."""

    exit_code: ClassVar[int] = 1


class UsageError(EpochsLeftError):
    """A wrong argument or setting."""

    exit_code = 2


class DataError(EpochsLeftError):
    """Input data that cannot be used as they are.

    Parameters
    ----------
    column, row
        Name of the column and number of the row of a log, from 1, where one is to blame.
    """

    exit_code = 3

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.column, self.row = column, row


class ModelError(EpochsLeftError):
    """A bundle that is missing, foreign, too new, or of the wrong view."""

    exit_code = 4


class InputOutputError(EpochsLeftError):
    """A file that cannot be read or written, or that another process holds."""

    exit_code = 5


class IntegrityError(EpochsLeftError):
    """Stored bytes that do not match their recorded hash.

    Parameters
    ----------
    damaged
        The file, where one is to blame.
    """

    exit_code = 6

    def __init__(self, message: str, damaged: Path | None = None) -> None:
        super().__init__(message)
        self.damaged = damaged


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the nearest known name, or an empty string."""
    folded = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f", did you mean {folded[nearest[0]]!r}?" if nearest else ""
