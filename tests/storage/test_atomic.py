"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError
from epochs_left.storage.atomic import replaced_folder, write_bytes_atomically, write_synced


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Make the operating system refuse larger files, as a full disk or a quota would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_written_bytes_are_read_back_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"one", b"", b"three"):
        write_bytes_atomically(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["a.bin"]


def test_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes_atomically(path, b"old")
    with files_of_at_most(1_000), pytest.raises(InputOutputError, match=r"cannot write .*a\.bin"):
        write_bytes_atomically(path, b"x" * 100_000)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match="No such file or directory"):
        write_bytes_atomically(tmp_path / "nowhere" / "a.bin", b"x")


def test_interrupt_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes_atomically(tmp_path / "a.bin", b"x")
    assert names(tmp_path) == []


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "bundle"
    for name in ("old.txt", "new.txt"):
        with replaced_folder(folder) as temporary:
            assert temporary.parent == folder.parent
            write_synced(temporary / name, b"x")
    assert names(folder) == ["new.txt"]
    assert names(folder.parent) == ["bundle"]


def test_nothing_is_visible_until_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with replaced_folder(folder) as temporary:
        write_synced(temporary / "a", b"x")
        assert not folder.exists()
    assert names(folder) == ["a"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), InputOutputError),
        (ValueError("bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_any_failure_leaves_the_old_folder_whole(
    tmp_path: Path, failure: BaseException, expected: type[BaseException]
) -> None:
    folder = tmp_path / "bundle"
    with replaced_folder(folder) as temporary:
        write_synced(temporary / "old", b"x")

    def fail_half_way() -> None:
        with replaced_folder(folder) as temporary:
            write_synced(temporary / "new", b"x")
            raise failure

    with pytest.raises(expected):
        fail_half_way()
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_failed_swap_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    with replaced_folder(folder) as temporary:
        write_synced(temporary / "old", b"x")
    original, calls = Path.rename, []

    def second_fails(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(path, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(InputOutputError), replaced_folder(folder) as temporary:
        write_synced(temporary / "new", b"x")
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_existing_file_is_never_overwritten_in_place(tmp_path: Path) -> None:
    write_synced(tmp_path / "a", b"x")
    with pytest.raises(FileExistsError):
        write_synced(tmp_path / "a", b"y")
