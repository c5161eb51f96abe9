"""Text to learn characters from."""

from __future__ import annotations

from pathlib import Path

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets._files import check_bound, opened, read_exactly, size_of

#: A character to predict another one from.
MIN_CHARACTERS = 2


def load_text(path: str = "") -> str:
    """Return the text of a local UTF-8 file, or the one that ships with Python.

    Lines end in a newline character, whatever the file has, and a byte order mark is dropped.

    Parameters
    ----------
    path
        A regular file; empty for the language reference that Python's ``help`` shows
        (`pydoc_data.topics`), topics in alphabetical order, which differs between versions of
        Python.

    Raises
    ------
    InputOutputError
        If the file is missing or cannot be read, or this Python has no such text.
    DataError
        If it is not UTF-8, is binary, too large, or shorter than two characters.
    """
    return _read_text(Path(path)) if path else _text_of_python()


def _text_of_python() -> str:
    try:
        from pydoc_data.topics import topics  # noqa: PLC0415
    except ImportError as error:
        raise InputOutputError(
            "cannot read pydoc_data.topics: expected it in this Python, got none; "
            "name a text file instead"
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


def _read_text(path: Path) -> str:
    with opened(path) as file:
        n_bytes = size_of(file)
        check_bound(path, n_bytes, "name a smaller file")
        data = read_exactly(file, n_bytes, path)
    text = _decoded(data, path).replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < MIN_CHARACTERS:
        raise DataError(
            f"{path}: expected at least {MIN_CHARACTERS} characters, got {len(text)}; "
            "name a longer text"
        )
    return text


def _decoded(data: bytes, path: Path) -> str:
    if b"\x00" in data:
        raise DataError(
            f"{path}: expected UTF-8 text, got binary data (a zero at byte {data.index(0):,}); "
            "name a text file"
        )
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8 text, got byte {data[error.start]:#04x} at {error.start:,}; "
            "save the file as UTF-8"
        ) from error
