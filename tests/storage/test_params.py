"""params.yaml is read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from epochs_left.errors import InputOutputError, UsageError
from epochs_left.storage.params import load_params, merged, write_params


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def test_numbers_are_numbers_in_yaml_1_2(path: Path) -> None:
    path.write_text("a: 1.0e-6\nb: 1e-6\nc: 0o17\nd: on\ne: 017\n")
    assert load_params(path) == {"a": 1e-6, "b": 1e-6, "c": 15, "d": "on", "e": 17}


def test_quoted_numbers_are_text(path: Path) -> None:
    path.write_text("a: '1e-6'\n")
    assert load_params(path) == {"a": "1e-6"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: [1\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("- 1\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("text\n", "expected a mapping"),
    ],
)
def test_anything_else_is_refused_in_one_line(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(InputOutputError, match=r"params\.yaml: No such file.*in the checkout"):
        load_params(path)


def test_a_folder_is_no_file_of_parameters(path: Path) -> None:
    path.mkdir()
    with pytest.raises(InputOutputError, match=r"params\.yaml: Is a directory.*expected a file"):
        load_params(path)


@pytest.mark.parametrize(("start", "byte"), [(3, 0xFF), (70_000, 0xE9)])
def test_a_file_that_is_not_utf_8_is_refused_in_one_line(path: Path, start: int, byte: int) -> None:
    path.write_bytes(b"#" * start + bytes([byte]) + b"\na: 1\n")
    with pytest.raises(UsageError, match=f"got byte {byte:#x} at {start:,}; save") as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_overrides_replace_single_entries() -> None:
    params = {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": [1, 2]}
    overrides = {"b": {"d": {"e": 4}}, "f": [5]}
    assert merged(params, overrides) == {"a": 1, "b": {"c": 2, "d": {"e": 4}}, "f": [5]}
    assert params == {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": [1, 2]}


@pytest.mark.parametrize(("overrides", "name"), [({"x": 1}, "'x'"), ({"b": {"x": 1}}, "'b.x'")])
def test_an_override_of_nothing_is_refused(overrides: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown parameter {name}"):
        merged({"a": 1, "b": {"c": 2}}, overrides)


def test_written_parameters_are_read_back(path: Path) -> None:
    params = {"a": 1.0e-6, "b": {"c": [1, 2], "d": "text"}, "e": 1_000_000.0}
    write_params(path, params)
    assert load_params(path) == params
