"""Formats of users' tables, by name and by extension."""

from __future__ import annotations

from enum import StrEnum

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
