"""Files that others published: regular ones alone, read in bounded amounts, never unpickled."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from epochs_left.errors import DataError, InputOutputError

#: More bytes are not read from one data set's file: as float32 they take four times as much memory.
MAX_BYTES = 1 << 29

Source: TypeAlias = BinaryIO | gzip.GzipFile


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder; InputOutputError if it is missing or no folder."""
    try:
        return {path.name for path in folder.iterdir()}
    except (OSError, ValueError) as error:
        raise _cannot_read(folder, error, "name the folder that holds the unpacked files") from (
            error
        )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe or a device could block, or never end.

    Raises
    ------
    InputOutputError
        If there is none, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputOutputError(
                f"cannot read {path}: expected a regular file, got a folder, pipe or device; "
                "name a file"
            )
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error, "check the path and its permissions") from error
    with file:
        yield file


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file, in bytes."""
    return os.fstat(file.fileno()).st_size


def check_bound(path: Path, n_bytes: int, remedy: str) -> None:
    """Refuse to read more than `MAX_BYTES`; DataError with the remedy."""
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"{path}: expected at most {MAX_BYTES:,} bytes to read, got {n_bytes:,}; {remedy}"
        )


def read_at_most(file: Source, n_bytes: int, path: Path) -> bytes:
    """Read ``n_bytes``, or fewer where the file ends.

    Raises
    ------
    DataError
        If compressed data are damaged or cut short.
    InputOutputError
        If the file system fails.
    """
    try:
        return file.read(n_bytes)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"{path}: expected whole gzip data, got damaged or truncated ones ({error}); "
            "download the file again"
        ) from error
    except OSError as error:
        raise _cannot_read(path, error, "check the disk") from error


def read_exactly(file: Source, n_bytes: int, path: Path) -> bytes:
    """Read ``n_bytes``; DataError where fewer are left, and the errors of `read_at_most`."""
    data = read_at_most(file, n_bytes, path)
    if len(data) < n_bytes:
        raise DataError(
            f"{path} is truncated: expected {n_bytes:,} more bytes, got {len(data):,}; "
            "download the file again"
        )
    return data


def class_labels(raw: NDArray[np.uint8], n_classes: int, path: Path) -> NDArray[np.int64]:
    """Return the labels in bytes, shape ``(n,)``; DataError that names the first out of range."""
    wrong = np.flatnonzero(raw >= n_classes)
    if wrong.size:
        raise DataError(
            f"{path}: example {wrong[0] + 1}: expected a label from 0 to {n_classes - 1}, "
            f"got {raw[wrong[0]]}; use a set of {n_classes} classes, or download the file again"
        )
    return raw.astype(np.int64)


def _cannot_read(path: Path, error: OSError | ValueError, remedy: str) -> InputOutputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputOutputError(f"cannot read {path}: {reason}; {remedy}")
