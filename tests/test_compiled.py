"""The name of the cache of compiled code changes with every source that it may come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from epochs_left import compiled
from epochs_left.compiled import source_fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a subpackage and a module."""
    (tmp_path / "dynamics").mkdir()
    (tmp_path / "dynamics" / "xor.py").write_text("A = 1\n")
    (tmp_path / "schema.py").write_text("B = 1\n")
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["dynamics/xor.py", "schema.py"])
def test_an_edit_changes_the_fingerprint(package: Path, name: str) -> None:
    before = source_fingerprint("dynamics", "schema.py")
    (package / name).write_text("A = 2\n")
    assert source_fingerprint("dynamics", "schema.py") != before


def test_a_new_file_and_a_renamed_one_change_it_too(package: Path) -> None:
    before = source_fingerprint("dynamics")
    (package / "dynamics" / "more.py").write_text("")
    more = source_fingerprint("dynamics")
    (package / "dynamics" / "more.py").rename(package / "dynamics" / "other.py")
    assert len({before, more, source_fingerprint("dynamics")}) == 3


def test_other_sources_and_the_order_of_names_change_nothing(package: Path) -> None:
    before = source_fingerprint("dynamics", "schema.py")
    (package / "other.py").write_text("C = 1\n")
    assert source_fingerprint("schema.py", "dynamics") == before


def test_a_missing_source_is_an_error(package: Path) -> None:
    with pytest.raises(FileNotFoundError):
        source_fingerprint("nowhere.py")
