"""Tables of results: Parquet, CSV or JSON Lines, into a file or a pipe, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from epochs_left.errors import InputOutputError, UsageError
from epochs_left.storage.atomic import new_file, replaced_file
from epochs_left.storage.formats import FORMAT_OF_EXTENSION, PIPE, TableFormat
from epochs_left.storage.logs import SPOOL_BYTES

#: Rows that are turned into text at once.
_SLICE = 2**18
#: A spreadsheet takes text that starts with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class TableWriter(Protocol):
    """Takes the rows of one table, piece by piece."""

    def write(self, table: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what ends the file."""


def format_of_output(path: str, named: TableFormat | None) -> TableFormat:
    """Return the format that the user named, or that of the extension; CSV for pipes.

    Raises
    ------
    UsageError
        If neither says it.
    """
    if named is not None:
        return named
    if path == PIPE or _is_stream(Path(path)):
        return TableFormat.CSV
    extension = Path(path).suffix.lower()
    if extension not in FORMAT_OF_EXTENSION:
        known = " or ".join(TableFormat)
        raise UsageError(
            f"no format known for the extension {extension!r} of {path}; pass -t {known}"
        )
    return FORMAT_OF_EXTENSION[extension]


def check_output(path: str, source: str, *, force: bool) -> None:
    """Check before any work that the output can be written.

    Raises
    ------
    UsageError
        If it is the input.
    InputOutputError
        If it exists and ``force`` is false, is a folder, or its folder is not there.
    """
    target = Path(path)
    if path == PIPE or _is_stream(target):
        return
    if target.is_dir():
        raise InputOutputError(f"cannot write {path}: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise InputOutputError(f"cannot write {path}: no folder {target.parent}; create it first")
    if source != PIPE and Path(source).exists() and target.exists() and target.samefile(source):
        raise UsageError(f"output {path} is the input; name another output")
    if target.exists() and not force:
        raise InputOutputError(f"output {path} exists; pass --force to replace it")


@contextmanager
def open_output(
    path: str, stdout: BinaryIO | None, table_format: TableFormat, schema: pa.Schema
) -> Iterator[TableWriter]:
    """Yield a writer; what it was given appears at ``path`` when the block ends without an error.

    Raises
    ------
    InputOutputError
        If it cannot be written; an older file is then untouched.
    """
    with _destination(path, stdout) as file:
        writer = _WRITERS[table_format](file, schema)
        try:
            yield writer
        finally:
            writer.close()


def _is_stream(path: Path) -> bool:
    """Devices and named pipes are written to, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _destination(path: str, stdout: BinaryIO | None) -> Iterator[BinaryIO]:
    if path == PIPE:
        if stdout is None:
            raise InputOutputError("cannot write to standard output: it is closed; pass -o FILE")
        with _written("to standard output"), _spooled(stdout) as file:
            yield file
    elif _is_stream(Path(path)):
        with _written(path), Path(path).open("wb") as device, _spooled(device) as file:
            yield file
    else:
        target = Path(path).resolve()
        with _written(path), replaced_file(target) as temporary, new_file(temporary) as file:
            yield file


@contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputOutputError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another place"
        ) from error


@contextmanager
def _spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Collect the output first: a pipe cannot be taken back."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        yield spool  # type: ignore[misc]
        spool.seek(0)
        # A reader that has left, such as `head`, has what it wanted.
        with suppress(BrokenPipeError):
            shutil.copyfileobj(spool, stream, 2**20)
            stream.flush()


class _ParquetWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        # Parquet encodes dictionaries as they are; without Arrow's schema they are read as text.
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=[field.name for field in schema if not pa.types.is_floating(field.type)],
            write_page_checksum=True,
            store_schema=False,
        )

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


class _TextWriter:
    """Builds whole lines as Arrow text, so that no row passes through Python."""

    def __init__(self, file: BinaryIO, lines: Callable[[pa.Table], Any], header: bytes) -> None:
        self._file = file
        self._lines = lines
        file.write(header)

    def write(self, table: pa.Table) -> None:
        for start in range(0, table.num_rows, _SLICE):
            lines = self._lines(table.slice(start, _SLICE).combine_chunks())
            self._file.write(_text_of(lines))

    def close(self) -> None:
        self._file.flush()


def _text_of(lines: pa.ChunkedArray) -> pa.Buffer:
    """Return the bytes of all texts, one after another: they lie so in Arrow's memory."""
    whole = pa.concat_arrays(lines.chunks)
    _, offsets, text = whole.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)
    first, last = bounds[whole.offset], bounds[whole.offset + len(whole)]
    return text.slice(first, last - first)


def _csv_writer(file: BinaryIO, schema: pa.Schema) -> _TextWriter:
    return _TextWriter(file, _csv_lines, ",".join(schema.names).encode() + b"\n")


def _jsonl_writer(file: BinaryIO, schema: pa.Schema) -> _TextWriter:
    del schema
    return _TextWriter(file, _json_lines, b"")


_WRITERS: Mapping[TableFormat, Callable[[BinaryIO, pa.Schema], TableWriter]] = {
    TableFormat.PARQUET: _ParquetWriter,
    TableFormat.CSV: _csv_writer,
    TableFormat.JSONL: _jsonl_writer,
}


def _csv_lines(table: pa.Table) -> pa.ChunkedArray:
    cells = [_as_text(column, _csv_text, "") for column in table.columns]
    return _joined(_joined(*cells, between=","), "\n", between="")


def _json_lines(table: pa.Table) -> pa.ChunkedArray:
    pieces: list[Any] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        pieces += [f"{', ' if pieces else '{'}{json.dumps(name)}: "]
        pieces += [_as_text(column, json.dumps, "null")]
    return _joined(*pieces, "}\n", between="")


def _joined(*parts: Any, between: str) -> pa.ChunkedArray:
    """Join columns and literals, row by row."""
    texts = [
        pa.scalar(part, pa.large_string()) if isinstance(part, str) else part
        for part in (*parts, between)
    ]
    return pc.binary_join_element_wise(*texts)


def _as_text(
    column: pa.ChunkedArray, encode: Callable[[str], str], missing: str
) -> pa.ChunkedArray:
    """Return a column as text; each distinct name is encoded once."""
    if pa.types.is_dictionary(column.type):
        chunks = [
            pa.DictionaryArray.from_arrays(
                chunk.indices,
                pa.array(
                    [encode(text) for text in chunk.dictionary.to_pylist()], pa.large_string()
                ),
            ).dictionary_decode()
            for chunk in column.chunks
        ]
        column = pa.chunked_array(chunks, pa.large_string())
    return pc.fill_null(column.cast(pa.large_string()), missing)


def _csv_text(text: str) -> str:
    """Quote where RFC 4180 asks for it; a leading quote keeps a spreadsheet from computing."""
    safe = f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    quotes = any(mark in safe for mark in ',"\r\n')
    return '"{}"'.format(safe.replace('"', '""')) if quotes else safe
