"""Users' training logs: Parquet, CSV and JSON Lines, from files and pipes, as streams of tables.

The format is told by what the file holds; an extension that says otherwise is an error. Nothing
that a file declares is believed before it is bounded: rows times width, columns, extension types.
Rows are counted from 1, the header of a CSV file apart.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from epochs_left.errors import DataError, InputOutputError, IntegrityError
from epochs_left.storage.formats import FORMAT_OF_EXTENSION, PIPE, TableFormat
from epochs_left.storage.parquet_logs import ParquetLog
from epochs_left.storage.text_logs import BOM, CsvLog, JsonLinesLog

#: A wider table is no training log.
MAX_COLUMNS = 10_000
#: A pipe is kept in memory up to this size, and in a temporary file above it.
SPOOL_BYTES = 64 * 2**20


class Log(Protocol):
    """An open log: its columns, and its rows in batches."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns (of JSON Lines: those of the first batch)."""

    @property
    def n_rows(self) -> int | None:
        """Number of rows, where the format says it in advance."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows in order, in tables that hold those of ``columns`` that are there."""


READERS: Mapping[TableFormat, Callable[[BinaryIO], Log]] = {
    TableFormat.PARQUET: ParquetLog,
    TableFormat.CSV: CsvLog,
    TableFormat.JSONL: JsonLinesLog,
}

#: First bytes of what is often passed by mistake.
FOREIGN = {
    b"\x1f\x8b": "gzip data; decompress it: gunzip -c FILE | epochs-left predict -i -",
    b"BZh": "bzip2 data; decompress it first",
    b"\xfd7zXZ": "xz data; decompress it first",
    b"\x28\xb5\x2f\xfd": "zstd data; decompress it first",
    b"PK\x03\x04": "a zip archive or a spreadsheet; export it as CSV",
    b"ARROW1": "an Arrow IPC file; write it as Parquet",
    b"\x89HDF": "an HDF5 file; write it as Parquet or CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
_HEAD_BYTES = 4096


@contextmanager
def open_log(path: str, stdin: BinaryIO | None) -> Iterator[Log]:
    """Open the log at ``path``, or ``stdin`` for ``-`` (None where the program has none).

    Raises
    ------
    InputOutputError
        If the file is missing, a folder, or cannot be read.
    DataError
        If its content is no table of a known format, is cut short, or declares too much.
    """
    with _opened(path, stdin) as file:
        log_format = _format_of(file, "" if path == PIPE else Path(path).suffix)
        log = READERS[log_format](file)
        _check_columns(log.columns)
        yield log


@contextmanager
def errors_name(name: str) -> Iterator[None]:
    """Put the name of a file before the message of any DataError or IntegrityError in the block."""
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise type(error)(f"{name}: {error}") from error


@contextmanager
def _opened(path: str, stdin: BinaryIO | None) -> Iterator[BinaryIO]:
    """Yield a file that can be read twice: pipes are copied to a temporary place."""
    if path == PIPE:
        if stdin is None:
            raise InputOutputError("cannot read from standard input: it is closed; name a file")
        with _spooled(stdin) as file:
            yield file
        return
    try:
        raw = Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise _cannot_read(path, error) from error
    with raw:
        if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            yield raw
        else:
            with _spooled(raw) as file:
                yield file


@contextmanager
def _spooled(pipe: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        try:
            shutil.copyfileobj(pipe, spool, 2**20)
        except OSError as error:
            raise _cannot_read("the pipe", error) from error
        spool.seek(0)
        yield spool  # type: ignore[misc]


def _cannot_read(path: str, error: OSError) -> InputOutputError:
    remedy = {
        FileNotFoundError: "check the path",
        IsADirectoryError: "name one file in it",
        PermissionError: "change its permissions",
    }.get(type(error), "check the file system")
    return InputOutputError(f"cannot read {path}: {error.strerror or error}; {remedy}")


def _format_of(file: BinaryIO, extension: str) -> TableFormat:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    found = _format_of_content(head)
    declared = FORMAT_OF_EXTENSION.get(extension.lower())
    if declared not in {None, found}:
        raise DataError(
            f"expected {declared} by its extension {extension!r}, found {found} content; "
            f"rename the file to .{found}"
        )
    return found


def _format_of_content(head: bytes) -> TableFormat:
    if head.startswith(b"PAR1"):
        return TableFormat.PARQUET
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"expected Parquet, CSV or JSON Lines, found {what}")
    text = head.removeprefix(BOM).lstrip()
    if not text:
        raise DataError("empty file, expected a table with columns run_id, epoch and loss")
    if b"\x00" in text:
        raise DataError("expected Parquet, CSV or JSON Lines, found binary data")
    if text.startswith(b"["):
        raise DataError(
            "expected one JSON object a line, found a JSON array; convert it: jq -c '.[]' FILE"
        )
    return TableFormat.JSONL if text.startswith(b"{") else TableFormat.CSV


def _check_columns(columns: Sequence[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        raise DataError(
            f"expected at most {MAX_COLUMNS:,} columns, found {len(columns):,}; "
            "keep the columns that predict needs"
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"duplicated columns {repeated}; rename or drop all but one of each")
