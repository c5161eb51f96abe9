"""Bounds on what is read from files that others published, and faults of the file system."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets._files import (
    MAX_BYTES,
    check_bound,
    read_at_most,
    read_exactly,
)

PATH = Path("batch.bin")


class FailingDisk(io.BytesIO):
    """A file whose disk gives up after it was opened."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_the_largest_size_is_itself_allowed() -> None:
    check_bound(PATH, MAX_BYTES, "cut it")
    with pytest.raises(DataError) as raised:
        check_bound(PATH, MAX_BYTES + 1, "cut it")
    assert str(raised.value) == (
        "batch.bin: expected at most 536,870,912 bytes to read, got 536,870,913; cut it"
    )


@pytest.mark.parametrize("n_bytes", range(6))
def test_reading_gives_what_was_asked_for_or_says_what_is_missing(n_bytes: int) -> None:
    content = b"abc"
    assert read_at_most(io.BytesIO(content), n_bytes, PATH) == content[:n_bytes]
    if n_bytes <= len(content):
        assert read_exactly(io.BytesIO(content), n_bytes, PATH) == content[:n_bytes]
        return
    with pytest.raises(DataError, match=f"^batch.bin is truncated: expected {n_bytes} .*, got 3; "):
        read_exactly(io.BytesIO(content), n_bytes, PATH)


def test_a_disk_that_fails_is_an_input_output_error() -> None:
    with pytest.raises(InputOutputError) as raised:
        read_exactly(FailingDisk(b"abc"), 1, PATH)
    assert str(raised.value) == "cannot read batch.bin: Input/output error; check the disk"
