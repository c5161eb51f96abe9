"""Files that grow: what is new in them, in whole lines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.text_logs import BLOCK_BYTES, MAX_LINE_BYTES

#: Bytes at either end of what was read that are looked at again: a file that was written anew and
#: has grown past the old end in the meantime differs there.
_WITNESS = 256


@dataclass(frozen=True, kw_only=True)
class News:
    """What a look at a file found.

    Attributes
    ----------
    lines
        New whole lines, with their line ends; empty where there are none.
    restarted
        Why reading began again from the start of the file, for people; empty where it did not.
    written
        When the file was last written, in seconds since 1970.
    """

    lines: bytes
    restarted: str
    written: float


def whole_lines(data: bytes) -> tuple[bytes, bytes]:
    """Return the whole lines of some bytes, and the beginning of a line after them."""
    lines, end, rest = data.rpartition(b"\n")
    return lines + end, rest


class Follower:
    """Reads a file piece by piece as it grows, and from its start when it is another one.

    Parameters
    ----------
    path
        The file.
    block_bytes
        Bytes that are read in one look.
    """

    def __init__(self, path: Path, block_bytes: int = BLOCK_BYTES) -> None:
        self._path, self._block_bytes = path, block_bytes
        self._identity: tuple[int, int] | None = None
        self._offset, self._rest = 0, b""
        self._first, self._latest = b"", b""  # bytes at either end of what was read

    @property
    def rest(self) -> bytes:
        """The beginning of a line that is not finished."""
        return self._rest

    def read(self) -> News:
        """Look at the file; one that is just being replaced, and so is not there, has no news.

        Raises
        ------
        InputOutputError
            If the file has never been there, or cannot be read.
        DataError
            If a line is too long to be a row of a log.
        """
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                restarted = self._restarted(file.fileno(), identity, status.st_size)
                if restarted:
                    self._offset, self._rest, self._first, self._latest = 0, b"", b"", b""
                self._identity = identity
                file.seek(self._offset)
                data = file.read(self._block_bytes)
        except FileNotFoundError as error:
            if self._identity is None:
                raise self._unreadable(error, "check the path") from error
            return News(lines=b"", restarted="", written=0.0)
        except OSError as error:
            raise self._unreadable(error, "name a file that can be read") from error
        self._offset += len(data)
        self._remember(data)
        lines, self._rest = whole_lines(self._rest + data)
        if len(self._rest) > MAX_LINE_BYTES:
            raise DataError(f"expected lines below {MAX_LINE_BYTES:,} bytes, found a longer one")
        return News(lines=lines, restarted=restarted, written=status.st_mtime)

    def _remember(self, data: bytes) -> None:
        if len(self._first) < _WITNESS:
            self._first = (self._first + data[:_WITNESS])[:_WITNESS]
        self._latest = (self._latest + data[-_WITNESS:])[-_WITNESS:]

    def _restarted(self, file: int, identity: tuple[int, int], size: int) -> str:
        """Return why what was read is no longer the beginning of the file, else nothing."""
        if self._identity not in {None, identity}:
            return "the file was replaced"
        if size < self._offset:
            return "the file was cut short"
        first = os.pread(file, len(self._first), 0)
        latest = os.pread(file, len(self._latest), self._offset - len(self._latest))
        return "" if (first, latest) == (self._first, self._latest) else "the file was written anew"

    def _unreadable(self, error: OSError, remedy: str) -> InputOutputError:
        return InputOutputError(f"cannot read {self._path}: {error.strerror or error}; {remedy}")
