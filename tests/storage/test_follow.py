"""Files that grow (2 s)."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage import follow
from epochs_left.storage.follow import Follower, whole_lines


@given(st.binary(max_size=40))
def test_whole_lines_and_the_rest_are_all_there_is(data: bytes) -> None:
    lines, rest = whole_lines(data)
    assert lines + rest == data
    assert b"\n" not in rest
    assert not lines or lines.endswith(b"\n")


@pytest.mark.parametrize("seed", range(4))
def test_a_file_that_grows_in_pieces_is_read_line_by_line_once(tmp_path: Path, seed: int) -> None:
    rng, path = np.random.default_rng(seed), tmp_path / "log"
    content = b"".join(b"line %d\n" % i for i in range(200))
    cuts = [0, *sorted(rng.integers(0, len(content), 20)), len(content)]
    path.touch()
    follower, seen = Follower(path, block_bytes=64), b""
    with path.open("ab", buffering=0) as file:
        for start, end in itertools.pairwise(cuts):
            file.write(content[start:end])
            while (news := follower.read()).lines or seen + follower.rest != content[:end]:
                assert not news.restarted
                seen += news.lines
            assert seen == whole_lines(content[:end])[0]
    assert seen == content
    assert follower.rest == b""


def test_a_thread_that_writes_is_followed_to_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            for i in range(100):
                file.write(b"half a ")
                time.sleep(0.0005)
                file.write(b"line %d\n" % i)

    writer = threading.Thread(target=write)
    follower, seen = Follower(path), b""
    writer.start()
    deadline = time.monotonic() + 60
    while seen.count(b"\n") < 100 and time.monotonic() < deadline:
        seen += follower.read().lines
    writer.join()
    assert seen == b"".join(b"half a line %d\n" % i for i in range(100))


def test_a_file_that_is_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    path, other = tmp_path / "log", tmp_path / "other"
    path.write_bytes(b"old 1\nold 2\nunfinished")
    follower = Follower(path)
    follower.read()
    other.write_bytes(b"new 1\nnew 2\nnew 3 and longer than before\n")
    other.replace(path)
    news = follower.read()
    assert news.restarted == "the file was replaced"
    assert news.lines == b"new 1\nnew 2\nnew 3 and longer than before\n"
    assert follower.read().restarted == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\n", "the file was cut short"),
        (b"", "the file was cut short"),
        (b"new 1\nnew 2\nnew 3 and longer than before\n", "the file was written anew"),
        (b"old 1\nold x\nold 3 and longer than before\n", "the file was written anew"),
    ],
)
def test_a_file_with_another_beginning_is_read_from_its_start(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old 1\nold 2\n")
    follower = Follower(path)
    follower.read()
    path.write_bytes(content)
    news = follower.read()
    assert (news.restarted, news.lines) == (reason, content)


def test_a_file_that_is_gone_for_a_moment_has_no_news(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n")
    follower = Follower(path)
    assert follower.read().lines == b"1\n"
    path.rename(tmp_path / "log.1")
    assert follower.read().lines == b""
    path.write_bytes(b"2\n")
    assert follower.read().lines == b"2\n"


def test_a_file_that_was_never_there_or_is_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match="No such file or directory; check the path"):
        Follower(tmp_path / "log").read()
    with pytest.raises(InputOutputError, match="Is a directory"):
        Follower(tmp_path).read()


def test_a_line_without_end_is_refused_and_the_time_of_writing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n")
    os.utime(path, (1000.0, 2000.0))
    follower = Follower(path)
    assert follower.read().written == 2000.0
    monkeypatch.setattr(follow, "MAX_LINE_BYTES", 100)
    path.write_bytes(b"1\n" + b"x" * 101)
    with pytest.raises(DataError, match="lines below 100 bytes"):
        follower.read()
