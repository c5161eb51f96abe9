"""Outputs appear whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError
from epochs_left.storage import atomic
from epochs_left.storage.atomic import (
    make_writable,
    new_file,
    remove_temporaries,
    replaced_file,
    replaced_folder,
    temporary_beside,
    write_bytes_atomically,
    write_synced,
)


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


#: Linux exchanges two names in one step; its usual file systems all can.
ONE_STEP = sys.platform == "linux"


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that cannot exchange two names."""
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)


@pytest.mark.usefixtures("without_exchange")
def test_a_folder_is_replaced_where_names_cannot_be_exchanged(tmp_path: Path) -> None:
    test_folder_is_replaced_as_a_whole(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_refuses_the_exchange_gets_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*names: object) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(atomic, "_renameat2", lambda: refuse)
    test_folder_is_replaced_as_a_whole(tmp_path)


def test_an_exchange_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*names: object) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    folder = tmp_path / "bundle"
    with replaced_folder(folder) as temporary:
        write_synced(temporary / "old", b"x")
    monkeypatch.setattr(atomic, "_renameat2", lambda: fail)
    with (
        pytest.raises(InputOutputError, match=r"bundle: Input/output error"),
        replaced_folder(folder) as temporary,
    ):
        write_synced(temporary / "new", b"x")
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["bundle"]


@pytest.mark.skipif(not ONE_STEP, reason="elsewhere it takes two steps")
def test_a_reader_never_misses_a_folder_that_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    done = threading.Event()

    def write() -> None:
        for _ in range(60):
            with replaced_folder(folder) as temporary:
                write_synced(temporary / "a", b"x")
        done.set()

    with replaced_folder(folder) as temporary:
        write_synced(temporary / "a", b"x")
    writer = threading.Thread(target=write)
    writer.start()
    looks, misses = 0, 0
    while not done.is_set():
        looks += 1
        misses += not folder.is_dir()
    writer.join()
    assert looks > 0
    assert misses == 0


WRITER = """
import sys
from pathlib import Path
from epochs_left.storage.atomic import (
    remove_temporaries, replaced_folder, write_bytes_atomically, write_synced
)

place = Path(sys.argv[1])
for name in ("folder", "file"):
    remove_temporaries(place, name)
number = 0
while True:
    number += 1
    data = str(number).encode() * 10_000
    with replaced_folder(place / "folder") as temporary:
        for name in ("a", "b"):
            write_synced(temporary / name, data)
    write_bytes_atomically(place / "file", data)
    if number == 1:
        print("ready", flush=True)
"""


def test_whoever_is_killed_while_writing_leaves_outputs_whole(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(8):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.1))
            writer.kill()
        data = (tmp_path / "file").read_bytes()
        assert data == data[: len(data) // 10_000] * 10_000
        if ONE_STEP or (tmp_path / "folder").exists():
            assert names(tmp_path / "folder") == ["a", "b"]
            both = {(tmp_path / "folder" / name).read_bytes() for name in ("a", "b")}
            assert len(both) == 1
    remove_temporaries(tmp_path)
    assert set(names(tmp_path)) <= {"file", "folder"}


@pytest.mark.usefixtures("without_exchange")
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


@pytest.mark.parametrize("failure", [None, OSError(errno.EIO, "x"), KeyboardInterrupt()])
def test_a_file_is_replaced_when_its_block_ends_without_an_error(
    tmp_path: Path, failure: BaseException | None
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write() -> None:
        with replaced_file(path) as temporary, new_file(temporary) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
            if failure is not None:
                raise failure

    if failure is None:
        write()
    else:
        with pytest.raises(type(failure)):
            write()
    assert path.read_bytes() == (b"new" if failure is None else b"old")
    assert names(tmp_path) == ["a"]


def test_temporary_names_are_hidden_new_and_known_to_who_removes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    found = {temporary_beside(path) for _ in range(100)}
    assert len(found) == 100
    for temporary in found:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".a.parquet.")
        temporary.touch()
    remove_temporaries(tmp_path, path.name)
    assert names(tmp_path) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_temporaries_of_an_output_are_removed_and_nothing_else(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    kept = ["a", ".a", ".a.tmp", ".a.012345.tmp", ".ab.0123456789ab.tmp", "a.0123456789ab.tmp"]
    kept += [".a.parquet.0123456789ab.tmp"]
    for name in [*kept, ".a.0123456789ab.tmp"]:
        make(tmp_path / name)
    remove_temporaries(tmp_path, "a")
    assert names(tmp_path) == sorted(kept)
    remove_temporaries(tmp_path)
    assert names(tmp_path) == sorted(kept[:4] + kept[5:6])


@pytest.mark.parametrize("place", ["", "a", "a/b/c"])
def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    make_writable(folder)
    make_writable(folder)
    assert names(folder) == []


@pytest.mark.parametrize("place", ["file", "file/a", "file/a/b"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputOutputError, match=r"cannot write .*file.*; any earlier") as caught:
        make_writable(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_a_folder_on_a_full_disk_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with files_of_at_most(0), pytest.raises(InputOutputError, match="File too large"):
        make_writable(tmp_path)
    make_writable(tmp_path)  # and what a killed one leaves is removed
    assert names(tmp_path) == ["old"]


def test_there_is_nothing_to_remove_in_a_missing_folder(tmp_path: Path) -> None:
    remove_temporaries(tmp_path / "nowhere")
    assert names(tmp_path) == []
