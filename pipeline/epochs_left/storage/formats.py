"""Formats of users' tables, by name and by extension."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from epochs_left.errors import DataError

#: Takes what is wrong with a row that cannot be parsed; the row is then read as missing values.
OnBadRow = Callable[[DataError], None]

#: The name that stands for stdin or stdout.
PIPE = "-"


class TableFormat(StrEnum):
    """The formats of a tidy table."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


FORMAT_OF_EXTENSION = {
    ".parquet": TableFormat.PARQUET,
    ".pq": TableFormat.PARQUET,
    ".csv": TableFormat.CSV,
    ".jsonl": TableFormat.JSONL,
    ".ndjson": TableFormat.JSONL,
    ".json": TableFormat.JSONL,
}
