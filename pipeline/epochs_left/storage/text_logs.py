"""Logs in text: CSV and JSON Lines. Every reader keeps to bounded blocks of the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.formats import OnBadRow

#: Bytes of one batch.
BLOCK_BYTES = 8 * 2**20
#: A longer line is no row of a log.
MAX_LINE_BYTES = 4 * BLOCK_BYTES
BOM = b"\xef\xbb\xbf"

_NOT_UTF8 = "expected UTF-8 text, found other bytes; save the file as UTF-8"
_SHOWN = 40


class CsvLog:
    """A CSV file with a header; all values stay text, so that nothing is guessed."""

    reader = "CSV"
    n_rows = None
    notes = ()
    shifted = False
    merged = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written = _header(next(_blocks_of_lines(file, quoted=True)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names in the header, without the blanks around them."""
        return tuple(name.strip() for name in self._written)

    def batches(
        self, columns: Sequence[str], on_bad_row: OnBadRow | None = None
    ) -> Iterator[pa.Table]:
        """Yield tables of text columns.

        Raises
        ------
        DataError
            If a row has too few or too many fields, is not UTF-8, or a quotation mark stays open.
        """
        written = dict(zip(self.columns, self._written, strict=True))
        wanted = {written[name]: name for name in columns if name in written}
        first_row = 0
        for number, block in enumerate(_blocks_of_lines(self._file, quoted=True)):
            # The first block starts with the header, which names the columns itself.
            names = self._written if number else []
            table = _parse_csv(block, names, list(wanted), first_row, on_bad_row)
            first_row += table.num_rows
            yield table.rename_columns([wanted[name] for name in table.column_names])


def _header(block: bytes) -> list[str]:
    text = block.removeprefix(BOM).lstrip(b"\r\n").decode("utf-8", errors="replace")
    try:
        names = next(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise DataError(f"expected a header with column names, found none ({error})") from error
    if any("\ufffd" in name for name in names):
        raise DataError(_NOT_UTF8)
    for separator in (";", "\t"):
        if len(names) == 1 and separator in names[0]:
            raise DataError(f"expected columns separated by ',', found {separator!r}; convert them")
    return names


def _parse_csv(
    block: bytes,
    names: list[str],
    columns: list[str],
    first_row: int,
    on_bad_row: OnBadRow | None = None,
) -> pa.Table:
    """Parse in parallel; where that fails, once more in order, which knows the number of a row."""
    try:
        return _read_csv(block, names, columns, None)
    except (pa.ArrowException, UnicodeDecodeError):
        bad: list[pa_csv.InvalidRow] = []
    answer = "error" if on_bad_row is None else "skip"
    try:
        table = _read_csv(block, names, columns, bad, answer)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if bad and on_bad_row is None:
            raise _bad_row(bad[0], first_row - (0 if names else 1)) from error
        if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
            raise DataError(_NOT_UTF8) from error
        reason = str(error).partition("\n")[0]
        raise DataError(f"expected a CSV table ({reason}); write it again") from error
    found = [_bad_row(row, first_row - (0 if names else 1)) for row in bad]
    for problem in found:
        if on_bad_row is not None:
            on_bad_row(problem)
    return _with_gaps(table, [problem.row - first_row - 1 for problem in found if problem.row])


def _bad_row(row: pa_csv.InvalidRow, before: int) -> DataError:
    """Return the error of a row with too few or too many fields."""
    number = before + row.number
    return DataError(
        f"data row {number}: expected {row.expected_columns} fields, "
        f"got {row.actual_columns}: {_shown(row.text)}; mend or remove the row",
        row=number,
    )


def _with_gaps(table: pa.Table, positions: list[int]) -> pa.Table:
    """Return a table with rows of missing values at these positions of the result."""
    gap = np.zeros(table.num_rows + len(positions), dtype=np.bool_)
    gap[positions] = True
    return table.take(pa.array(np.cumsum(~gap) - 1, mask=gap))


def _read_csv(
    block: bytes,
    names: list[str],
    columns: list[str],
    bad: list[pa_csv.InvalidRow] | None,
    answer: str = "error",
) -> pa.Table:
    def note(row: pa_csv.InvalidRow) -> str:
        if bad is not None:
            bad.append(row)
        return answer

    return pa_csv.read_csv(
        pa.BufferReader(block),
        read_options=pa_csv.ReadOptions(
            column_names=names, use_threads=bad is None, block_size=max(len(block), 1)
        ),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in columns}, include_columns=columns
        ),
    )


class JsonLinesLog:
    """One JSON object a line; a key that a row does not have is a missing value."""

    reader = "JSON Lines"
    n_rows = None
    notes = ()
    shifted = False
    merged = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        first = next(_blocks_of_lines(file, quoted=False))
        bad: list[DataError] = []
        self._columns = tuple(_parse_lines(first, None, 0, bad.append).column_names)
        if bad and not self._columns:
            raise bad[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys in the first block of lines."""
        return self._columns

    def batches(
        self, columns: Sequence[str], on_bad_row: OnBadRow | None = None
    ) -> Iterator[pa.Table]:
        """Yield tables of those ``columns`` that appear in their lines.

        Raises
        ------
        DataError
            If a line is not a JSON object, is cut short, or names a key twice.
        """
        first_row = 0
        for block in _blocks_of_lines(self._file, quoted=False):
            table = _parse_lines(block, columns, first_row, on_bad_row)
            first_row += table.num_rows
            yield table.select([name for name in columns if name in table.column_names])


def _blocks_of_lines(file: BinaryIO, *, quoted: bool) -> Iterator[bytes]:
    """Yield blocks of whole lines, without those that are blank from end to end.

    Parameters
    ----------
    quoted
        Whether a line end between quotation marks is part of a value.
    """
    file.seek(0)
    rest = read_block(file, len(BOM)).removeprefix(BOM)
    while block := read_block(file, BLOCK_BYTES):
        whole, end, rest = (rest + block).rpartition(b"\n")
        if quoted and whole.count(b'"') % 2:
            whole, rest = b"", whole + end + rest
        if len(rest) > MAX_LINE_BYTES:
            raise DataError(
                f"expected lines below {MAX_LINE_BYTES:,} bytes, found a longer one or a "
                "quotation mark that stays open; mend the file"
            )
        if whole.strip():
            yield whole + b"\n"
    if quoted and rest.count(b'"') % 2:
        raise DataError("unterminated quotation mark: it is opened and never closed; mend it")
    if rest.strip():
        yield rest + b"\n"


def read_block(file: BinaryIO, size: int) -> bytes:
    """Read up to ``size`` bytes; InputOutputError if that fails."""
    try:
        return file.read(size)
    except OSError as error:
        raise InputOutputError(f"cannot read the log: {error.strerror or error}") from error


def read_bytes(file: BinaryIO, limit: int) -> bytes:
    """Return a whole file; DataError if it has more than ``limit`` bytes."""
    size = file.seek(0, io.SEEK_END)
    if size > limit:
        raise DataError(f"expected at most {limit:,} bytes, found {size:,}; split the log")
    file.seek(0)
    return read_block(file, size)


def _parse_lines(
    block: bytes,
    columns: Sequence[str] | None,
    first_row: int,
    on_bad_row: OnBadRow | None = None,
) -> pa.Table:
    """Parse with Arrow; what it refuses or would reinterpret goes through Python, slowly."""
    try:
        block.decode("utf-8")  # Arrow does not check
        table = pa_json.read_json(pa.BufferReader(block))
    except (pa.ArrowException, UnicodeDecodeError):
        return _parse_lines_slowly(block, columns, first_row, on_bad_row)
    if any(pa.types.is_timestamp(field.type) for field in table.schema):
        # A run called 2024-05-01 is a name, which Arrow reads as a date.
        return _parse_lines_slowly(block, columns, first_row, on_bad_row)
    return table


def _parse_lines_slowly(
    block: bytes,
    columns: Sequence[str] | None,
    first_row: int,
    on_bad_row: OnBadRow | None,
) -> pa.Table:
    rows: list[dict[str, Any]] = []
    lines = filter(bytes.strip, block.splitlines())
    for number, line in enumerate(lines, start=first_row + 1):
        try:
            rows.append(_parse_line(line, number))
        except DataError as error:
            if on_bad_row is None:
                raise
            on_bad_row(DataError(str(error), row=number))
            rows.append({})
    names = dict.fromkeys(name for row in rows for name in row)
    kept = [name for name in names if columns is None or name in columns]
    if not kept and columns is not None:  # the rows are there, their values are missing
        kept = list(columns)
    return pa.table({name: column_of([row.get(name) for row in rows]) for name in kept})


def _parse_line(line: bytes, row: int) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise DataError(f"data row {row}: duplicated keys in {_shown(str(keys))}; drop one")
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise DataError(f"data row {row}: {_NOT_UTF8}") from error
    except (ValueError, RecursionError) as error:
        text = _shown(line.decode(errors="replace"))
        raise DataError(
            f"data row {row}: expected a whole JSON object, got {text}; mend or remove the line"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"data row {row}: expected a JSON object, got {_shown(str(found))}")
    return found


def column_of(values: list[Any]) -> pa.Array:
    """Return an Arrow array; mixed values become text, which says later where it is no number."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array(
            [v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string()
        )


def _shown(text: str) -> str:
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return repr(short)
