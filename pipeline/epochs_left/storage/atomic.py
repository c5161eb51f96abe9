"""Files and folders that appear whole or not at all.

What is written goes to a temporary name in the same folder (a rename is atomic only within one file
system), is flushed to the disk, and is renamed; then the folder itself is flushed. Any failure
leaves the old output as it was. What a killed writer leaves is hidden, named like its target, and
removed by the next one (`remove_temporaries`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from epochs_left.errors import InputOutputError

# What `temporary_beside` adds to a name.
_HEX_DIGIT, _ID_LENGTH = "[0-9a-f]", 12

_PROBE = "probe"

# Linux: linux/fcntl.h and linux/fs.h.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

# What a kernel or a file system answers that has no exchange.
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name in the folder of ``path``, for what will replace it."""
    return path.with_name(f".{path.name}.{uuid4().hex[:_ID_LENGTH]}.tmp")


def remove_temporaries(folder: Path, name: str = "*") -> None:
    """Remove what killed writers of ``folder / name`` left; the caller keeps living ones away.

    Parameters
    ----------
    name
        Name of the output; ``"*"`` for every output in the folder.
    """
    for leftover in folder.glob(f".{name}.{_HEX_DIGIT * _ID_LENGTH}.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make a folder where there is none, and see that a file can be written there.

    For what takes hours: a folder that refuses its result should say so before.

    Raises
    ------
    InputOutputError
        If it cannot be made, or nothing can be written there.
    """
    probe = temporary_beside(folder / _PROBE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder, _PROBE)
        try:
            probe.write_bytes(b"anything")
        finally:  # a full disk has room for its name
            probe.unlink(missing_ok=True)  # another process may have removed it
    except OSError as error:
        raise _cannot_write(folder, error) from error


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, replacing an old file in one step.

    Raises
    ------
    InputOutputError
        If the file cannot be written (missing folder, full disk, no permission); an old file is
        then untouched.
    """
    try:
        with replaced_file(path) as temporary:
            write_synced(temporary, data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk; FileExistsError if it exists."""
    with new_file(path) as file:
        file.write(data)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file, flushed to the disk when the block ends; FileExistsError if it exists."""
    with path.open("xb") as file:
        yield file
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
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a free name; the file that the block writes there takes the place of ``path``.

    If the block raises, an old file stays and the new one is removed. The caller flushes what it
    writes (`write_synced`, `new_file`, `sync_file`) and deals with an OSError.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of ``folder`` when the block ends.

    Nothing half-written is ever visible under ``folder``, and where the file system can exchange
    two names in one step, an old folder stays visible until the new one stands there. If the block
    raises, the old folder stays and the temporary one is removed. The caller flushes the files it
    writes (`write_synced`).

    Raises
    ------
    InputOutputError
        For any OSError, in the block or here.
    """
    temporary = temporary_beside(folder)
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
    """Move ``temporary`` to ``folder``, whose old content is then at ``temporary``, if any."""
    if not folder.exists():
        temporary.rename(folder)
    elif not _exchange(temporary, folder):
        _swap_in_two_steps(temporary, folder)


def _swap_in_two_steps(temporary: Path, folder: Path) -> None:
    """Do the same where a kill between the steps would leave no folder: nothing else is to be had.

    A plain rename cannot replace a folder that has files.
    """
    old = temporary_beside(folder)
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    old.rename(temporary)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that is not to be had."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if renameat2(*names, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))


@cache
def _renameat2() -> Any:
    """Return the C library's function; None where it has none (not Linux, or an old one)."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    text = ctypes.c_char_p
    function.argtypes = [ctypes.c_int, text, ctypes.c_int, text, ctypes.c_uint]
    return function


def _cannot_write(path: Path, error: OSError) -> InputOutputError:
    reason = error.strerror or str(error)
    return InputOutputError(
        f"cannot write {path}: {reason}; any earlier version is unchanged. "
        "Free space, or choose another place"
    )
