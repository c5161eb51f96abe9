"""Locks keep two writers apart and never outlive their holder."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError
from epochs_left.storage.locks import locked

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from epochs_left.storage.locks import locked

with locked(Path(sys.argv[1])) as descriptor:
    if len(sys.argv) > 2:
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[descriptor], stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(path), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_holder_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    path = tmp_path / "work" / "fit.lock"
    with (
        holder(path),
        pytest.raises(InputOutputError, match=r"another process holds .*fit\.lock"),
        locked(path, patience=0),
    ):
        pass
    with locked(path, patience=0):
        pass


def test_a_second_holder_waits_a_little_for_the_first_to_die(tmp_path: Path) -> None:
    path = tmp_path / "fit.lock"
    with holder(path) as first:
        threading.Timer(0.3, first.kill).start()
        start = time.monotonic()
        with locked(path, patience=30):
            assert 0.2 < time.monotonic() - start < 20


def test_a_child_that_has_the_descriptor_holds_the_lock_too(tmp_path: Path) -> None:
    path = tmp_path / "profile.lock"
    with holder(path, "2") as first:
        first.kill()
        first.wait()
        with pytest.raises(InputOutputError), locked(path, patience=0):
            pass
        with locked(path, patience=30):
            pass


def test_a_lock_is_free_after_its_block_and_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fit.lock"

    def fail() -> None:
        with locked(path):
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
        with locked(path, patience=0):
            pass


def test_two_locks_do_not_disturb_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / "one.lock", patience=0), locked(tmp_path / "other.lock", patience=0):
        pass


def test_what_a_lock_file_holds_is_left_alone(tmp_path: Path) -> None:
    """DVC keeps its process id in its own."""
    (tmp_path / "lock").write_text("123")
    with locked(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock").read_text() == "123"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputOutputError, match="cannot make the lock"), locked(tmp_path / "file/x"):
        pass
