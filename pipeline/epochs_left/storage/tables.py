"""Tables and small results as files: Parquet and JSON, published whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.storage.atomic import replaced_file, sync_file, write_bytes_atomically


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON; NaN and infinity are refused (ValueError).

    Raises
    ------
    InputOutputError
        If the file cannot be written; an old file is then untouched.
    """
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    _make_folder(path.parent)
    write_bytes_atomically(path, text.encode())


def write_result(path: Path, value: Any) -> None:
    """Write a result as its name says: an Arrow table as Parquet, plain data as JSON."""
    if path.suffix == ".parquet":
        write_table(path, [value])
    else:
        write_json(path, value)


def result_files(folder: Path) -> list[Path]:
    """Return the files below a folder of results, in alphabetical order.

    Raises
    ------
    InputOutputError
        If there is no such folder.
    """
    try:
        os.scandir(folder).close()  # says what is wrong with it; rglob would find nothing
        files = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path for path in files if not path.name.startswith("."))
    except OSError as error:
        raise _missing(folder, error) from error


def read_result(path: Path) -> Any:
    """Return what `write_result` wrote."""
    return read_table(path) if path.suffix == ".parquet" else read_json(path)


def read_json(path: Path) -> Any:
    """Return what a JSON file of ours holds.

    Raises
    ------
    InputOutputError
        If it cannot be read.
    IntegrityError
        If it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise _missing(path, error) from error
    except ValueError as error:
        raise _damaged(path, error) from error


def write_table(path: Path, batches: Iterable[pa.Table]) -> int:
    """Write tables of one schema as the row groups of one Parquet file; return the rows.

    Streams: one table is in memory at a time.

    Raises
    ------
    ValueError
        If there is no table.
    InputOutputError
        If the file cannot be written; an old file is then untouched.
    """
    _make_folder(path.parent)
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        with replaced_file(path) as temporary:
            for batch in batches:
                writer = writer or pq.ParquetWriter(
                    temporary, batch.schema, compression="zstd", write_page_checksum=True
                )
                writer.write_table(batch)
                rows += batch.num_rows
            if writer is None:
                raise ValueError(f"no rows to write to {path}")
            writer.close()
            sync_file(temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputOutputError(f"cannot write {path}: {reason}; free space and repeat") from error
    return rows


def read_table(
    path: Path, columns: list[str] | None = None, rows: pc.Expression | None = None
) -> pa.Table:
    """Return a Parquet table of ours, page checksums verified.

    Parameters
    ----------
    columns
        Columns to read; all if None.
    rows
        Which rows; the others are dropped as they are read.

    Raises
    ------
    InputOutputError
        If the file is missing.
    IntegrityError
        If it is damaged.
    """
    with _reading(path):
        return pq.read_table(path, columns=columns, filters=rows, page_checksum_verification=True)


def table_parts(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a Parquet table of ours: what `write_table` was given, in order.

    Raises
    ------
    InputOutputError
        If the file is missing.
    IntegrityError
        If it is damaged.
    """
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=columns)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of a Parquet file that cannot be read whether it is missing or damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(path, error) from error
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputOutputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place"
        ) from error


def _damaged(path: Path, error: Exception) -> IntegrityError:
    found = " ".join(str(error).split())  # pyarrow may say it in several lines
    return IntegrityError(f"{path} is damaged: {found}; make it again with `dvc repro`", path)


def _missing(path: Path, error: OSError) -> InputOutputError:
    reason = error.strerror or "No such file or directory"  # Arrow's errors may lack it
    return InputOutputError(f"cannot read {path}: {reason}; run `dvc repro` first")
