"""Files and folders that appear whole or not at all.

What is written goes to a temporary name in the same folder (a rename is atomic only within one file
system), is flushed to the disk, and is renamed; then the folder itself is flushed. Any failure
leaves the old output as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from epochs_left.errors import InputOutputError


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, replacing an old file in one step.

    Raises
    ------
    InputOutputError
        If the file cannot be written (missing folder, full disk, no permission); an old file is
        then untouched.
    """
    temporary = _temporary_beside(path)
    try:
        write_synced(temporary, data)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk; FileExistsError if it exists."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Flush a file that something else wrote to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of ``folder`` when the block ends.

    Nothing half-written is ever visible under ``folder``. If the block raises, the old folder stays
    and the temporary one is removed. The caller flushes the files it writes (`write_synced`).

    Raises
    ------
    InputOutputError
        For any OSError, in the block or here.
    """
    temporary = _temporary_beside(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        _swap(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, folder: Path) -> None:
    """Move ``temporary`` to ``folder``: a rename cannot replace a folder that has files."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = _temporary_beside(folder)
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")


def _cannot_write(path: Path, error: OSError) -> InputOutputError:
    reason = error.strerror or str(error)
    return InputOutputError(
        f"cannot write {path}: {reason}; any earlier version is unchanged. "
        "Free space, or choose another place"
    )
