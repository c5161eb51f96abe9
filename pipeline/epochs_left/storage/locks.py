"""Locks that keep two writers of one output apart and that never outlive their holder."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from epochs_left.errors import InputOutputError

#: Seconds to wait for a lock: its holder may be a stage that has yet to notice that its DVC was
#: killed (`orphans.INTERVAL`), and a run started again at once should not stop for that.
PATIENCE = 2.0

# Seconds between two attempts.
_PAUSE = 0.05


@contextmanager
def locked(path: Path, *, patience: float = PATIENCE) -> Iterator[int]:
    """Hold an exclusive lock on ``path`` for the length of the block; yield its descriptor.

    The kernel drops the lock when the last process that has the descriptor dies, so that none is
    ever left to remove by hand. A child that is handed the descriptor holds the lock as well.

    Parameters
    ----------
    patience
        Seconds to wait for another holder.

    Raises
    ------
    InputOutputError
        If another process holds it, or the file cannot be made.
    """
    with _opened(path) as file:
        deadline = time.monotonic() + patience
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise InputOutputError(
                    f"another process holds {path}: it works on the same output; wait for it to end"
                )
            time.sleep(_PAUSE)
        yield file.fileno()


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise InputOutputError(
            f"cannot make the lock {path}: {error.strerror}; free space or look at its folder"
        ) from error


def _taken(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        return False
    return True
