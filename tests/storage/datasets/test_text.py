"""Text: the one of Python itself, and local files."""

from __future__ import annotations

import gzip
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets import load_text
from epochs_left.storage.datasets._files import MAX_BYTES

VERSE = "Wie eine Welle\nan Ufer, die – fern –\nverrinnt.\n"


def written(folder: Path, content: bytes) -> str:
    path = folder / "text.txt"
    path.write_bytes(content)
    return str(path)


def test_pythons_own_text_holds_every_topic_in_alphabetical_order() -> None:
    from pydoc_data.topics import topics  # noqa: PLC0415

    text = load_text()
    place = 0
    for name in sorted(topics):
        assert text.startswith(topics[name], place)
        place += len(topics[name]) + len("\n")
    assert place == len(text) + 1


def test_a_python_without_its_text_is_told_to_name_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(InputOutputError, match=r"pydoc_data\.topics.*; name a text file instead$"):
        load_text()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark_do_not_change_the_text(
    tmp_path: Path, mark: str, end: str
) -> None:
    content = (mark + VERSE.replace("\n", end)).encode()
    assert load_text(written(tmp_path, content)) == VERSE


def test_two_characters_are_a_text(tmp_path: Path) -> None:
    assert load_text(written(tmp_path, "aß".encode())) == "aß"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected at least 2 characters, got 0; name a longer text"),
        (b"a", "expected at least 2 characters, got 1; name a longer text"),
        ("\ufeffß".encode(), "expected at least 2 characters, got 1; name a longer text"),
        (b"\r\n", "expected at least 2 characters, got 1; name a longer text"),
        (b"caf\xe9 au lait", "expected UTF-8 text, got byte 0xe9 at 3; save the file as UTF-8"),
        (b"\xef\xbb\xbfab\xff", "expected UTF-8 text, got byte 0xff at 5; save the file as UTF-8"),
        ("ß".encode() * 9 + b"\xc3", "got byte 0xc3 at 18; save the file as UTF-8"),
        (b"\xed\xa0\x80", "expected UTF-8 text, got byte 0xed at 0; save the file as UTF-8"),
        ("ab".encode("utf-16-le"), "got binary data (a zero at byte 1); name a text file"),
        (gzip.compress(b"text", mtime=0), "got binary data (a zero at byte 3); name a text file"),
        (b"\x89PNG\r\n\x1a\n", "expected UTF-8 text, got byte 0x89 at 0; save the file as UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as raised:
        load_text(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith(message)
    assert "\n" not in str(raised.value)


def test_a_file_too_large_for_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"")
    os.truncate(path, MAX_BYTES + 1)  # a hole: takes no space on the disk
    with pytest.raises(DataError, match=r"expected at most .* bytes .*; name a smaller file$"):
        load_text(path)


def test_what_is_no_regular_file_is_an_input_output_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in [tmp_path, tmp_path / "pipe", Path("/dev/zero")]:
        with pytest.raises(InputOutputError, match="expected a regular file, got a folder, pipe"):
            load_text(str(path))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.txt", "No such file or directory"),
        ("\0", "embedded null byte"),
        ("x" * 999, "File name too long"),
    ],
)
def test_a_missing_file_is_an_input_output_error(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InputOutputError, match=f"{reason}; check the path"):
        load_text(str(tmp_path / name))


@given(content=st.binary(max_size=64))
def test_any_bytes_are_text_or_a_data_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    try:
        text = load_text(path)
    except DataError:
        return
    reference = content.decode().removeprefix("\ufeff")
    assert text.split("\n") == re.split("\r\n|\r|\n", reference)
