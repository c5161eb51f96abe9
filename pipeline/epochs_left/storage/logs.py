"""Users' training logs: tidy tables and what frameworks write, as streams of tables.

Tables are Parquet, CSV and JSON Lines, from files and pipes; `log_readers` has one reader a
framework, for files and for folders of runs. What is read is told by the content; an extension
that says otherwise is an error. Nothing that a file declares is believed before it is bounded:
rows times width, columns, extension types. Rows are counted from 1, the header of a CSV file apart.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from epochs_left.errors import DataError, InputOutputError, IntegrityError
from epochs_left.storage.formats import FORMAT_OF_EXTENSION, PIPE, OnBadRow, TableFormat
from epochs_left.storage.log_readers import (
    EPOCH,
    LogReader,
    Source,
    reader_of,
    run_name,
    runs_below,
    time_of,
)
from epochs_left.storage.parquet_logs import ParquetLog
from epochs_left.storage.text_logs import BOM, CsvLog, JsonLinesLog, read_block

#: A wider table is no training log.
MAX_COLUMNS = 10_000
#: A pipe is kept in memory up to this size, and in a temporary file above it.
SPOOL_BYTES = 64 * 2**20
#: Runs of a folder are parsed once and kept up to this size of their files, and again above it.
HELD_BYTES = 64 * 2**20
RUN_COLUMN = "run_id"


class Log(Protocol):
    """An open log: its columns, and its rows in batches."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns (of JSON Lines: those of the first batch)."""

    @property
    def n_rows(self) -> int | None:
        """Number of rows, where the format says it in advance."""

    @property
    def reader(self) -> str:
        """What the log was read as, for people."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the log while it was read, for people; empty for tidy tables."""

    @property
    def shifted(self) -> bool:
        """Whether 1 was added to its epochs."""

    @property
    def merged(self) -> str:
        """How many rows were made of how many entries, for people; known once they are read.

        Empty where a row is an entry.
        """

    def batches(
        self, columns: Sequence[str], on_bad_row: OnBadRow | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows in order, in tables that hold those of ``columns`` that are there.

        A row that cannot be parsed is a DataError; with ``on_bad_row`` that takes the error, and
        the row is one of missing values.
        """


class FrameworkLog:
    """Runs that a framework logged, one after another.

    Parameters
    ----------
    reader
        What they are read with.
    runs
        Returns the rows of each run, by its name; None for a run that has no name.
    """

    n_rows = None

    def __init__(self, reader: LogReader, runs: Mapping[str | None, Callable[[], Source]]) -> None:
        self._runs = runs
        found: dict[str, None] = {}
        self.shifted = False
        for source in (run() for run in runs.values()):
            found |= dict.fromkeys(source.columns)
            self.shifted |= source.shifted
        if None not in runs:
            found = {RUN_COLUMN: None} | found
        self._columns = tuple(found)
        count = "" if len(runs) == 1 else f", {len(runs):,} runs"
        self.reader = reader.title
        counted = _SHIFTED if self.shifted else _KEPT
        self._note = f"read as {reader.title}{count}: {counted}; {reader.remark}"
        self._time, self._n_entries, self._n_rows = "", 0, 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of all runs, that of the run first."""
        return self._columns

    @property
    def notes(self) -> tuple[str, ...]:
        """Which reader it was, and what it did."""
        return (self._note,)

    def batches(
        self, columns: Sequence[str], on_bad_row: OnBadRow | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of each run with its name."""
        del on_bad_row  # frameworks write whole rows
        self._time, self._n_entries, self._n_rows = time_of(columns), 0, 0
        for run, load in self._runs.items():
            source = load()
            self._n_entries += source.n_entries(columns) or 0
            for table in source.batches(columns):
                self._n_rows += table.num_rows
                yield table if run is None or RUN_COLUMN not in columns else _named(table, run)

    @property
    def merged(self) -> str:
        """How many rows were made of how many entries; empty where each became one."""
        if self._n_entries <= self._n_rows:
            return ""
        text = (
            f"took {self._n_rows:,} rows of {self._n_entries:,} logged entries: one row "
            f"{'an' if self._time == EPOCH else 'a'} {self._time}, the mean of its entries (of "
            "evaluations the last)"
        )
        if self._time != EPOCH:
            return text
        return f"{text}, once the epoch is over; pass --time-column step to predict in steps"


_SHIFTED = "1 was added to its epochs and steps, which count from 0 after the first pass"
_KEPT = "epochs and steps are as the writer counted them"


def _named(table: pa.Table, run: str) -> pa.Table:
    codes = pa.array([0] * table.num_rows, pa.int32())
    table = table.drop_columns([RUN_COLUMN]) if RUN_COLUMN in table.column_names else table
    return table.append_column(RUN_COLUMN, pa.DictionaryArray.from_arrays(codes, [run]))


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
    IntegrityError
        If it has checksums, and one does not match.
    """
    if path != PIPE and Path(path).is_dir():
        yield _checked(_log_in_folder(Path(path)))
        return
    with _opened(path, stdin) as file:
        yield _checked(_log_in_file(file, None if path == PIPE else Path(path)))


def _log_in_file(file: BinaryIO, path: Path | None) -> Log:
    head = _head(file)
    reader = reader_of("" if path is None else path.name, head)
    if reader is None:
        return READERS[_format_of(head, "" if path is None else path.suffix)](file)
    source = reader.read([file])
    return FrameworkLog(reader, {run_name(reader, path): lambda: source})


def _log_in_folder(path: Path) -> Log:
    folder = path.absolute()  # a folder called . has a name too
    found = runs_below(folder)
    if found is None:
        raise InputOutputError(
            f"cannot read {path}: Is a directory; name one file in it (of folders, those of "
            "Lightning, Hugging Face and TensorBoard are read)"
        )
    reader, runs = found
    size = sum(file.stat().st_size for files in runs.values() for file in files)
    keep = cache if size <= HELD_BYTES else lambda load: load
    return FrameworkLog(
        reader, {name: keep(partial(_read, reader, files, folder)) for name, files in runs.items()}
    )


def _read(reader: LogReader, files: Sequence[Path], folder: Path) -> Source:
    """Return the rows of a run of a folder; errors name its file, or the folder of several."""
    shown = files[0] if len(files) == 1 else files[0].parent
    name = shown.relative_to(folder).as_posix()
    with ExitStack() as stack, errors_name(name):
        return reader.read([stack.enter_context(_opened(str(file), None)) for file in files])


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


def _head(file: BinaryIO) -> bytes:
    head = read_block(file, _HEAD_BYTES)
    file.seek(0)
    return head


def _format_of(head: bytes, extension: str) -> TableFormat:
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


def _checked(log: Log) -> Log:
    """Return the log; DataError if it has too many columns, or one twice."""
    columns = log.columns
    if len(columns) > MAX_COLUMNS:
        raise DataError(
            f"expected at most {MAX_COLUMNS:,} columns, found {len(columns):,}; "
            "keep the columns that predict needs"
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"duplicated columns {repeated}; rename or drop all but one of each")
    return log
