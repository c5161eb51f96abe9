"""Damaged files are set aside."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from epochs_left.storage.quarantine import set_aside


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_damaged_file_moves_and_its_other_names_lose_their_protection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[[Path, Path], None]
) -> None:
    """DVC looks into what is not protected, and so finds that its copy is damaged too."""
    monkeypatch.chdir(tmp_path)
    cached, path, place = Path("cached"), Path("runs/a.parquet"), Path("work/damaged")
    cached.write_bytes(b"damaged")
    cached.chmod(0o444)
    path.parent.mkdir()
    link(cached.resolve(), path)
    assert set_aside(path, place)
    assert not path.exists()
    assert (place / "runs-a.parquet").read_bytes() == b"damaged"
    assert cached.stat().st_mode & stat.S_IWUSR


def test_the_last_damaged_file_of_a_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (b"one", b"two"):
        Path("a").write_bytes(data)
        assert set_aside(Path("a"), Path("damaged"))
    assert [path.read_bytes() for path in Path("damaged").iterdir()] == [b"two"]


def test_a_file_that_cannot_be_moved_stays(tmp_path: Path) -> None:
    assert not set_aside(tmp_path / "nowhere", tmp_path / "damaged")
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "file").touch()
    assert not set_aside(tmp_path / "a", tmp_path / "file" / "damaged")
    assert (tmp_path / "a").read_bytes() == b"x"
