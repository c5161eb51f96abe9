"""What a killed DVC leaves half-made is removed, and nothing else."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epochs_left.storage.dvc_files import remove_torn_files
from epochs_left.storage.locks import locked

ROOT = Path(__file__).parents[2]
CONFIG = "[core]\n    no_scm = true\n    analytics = false\n"
PIPELINE = """
stages:
  copy:
    cmd: cp a b
    deps: [a]
    outs: [b]
  again:
    cmd: cp b c
    deps: [b]
    outs: [c]
  from_nothing:
    cmd: echo x > d
    outs: [d]
"""


def repro(project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", "repro"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project that DVC has reproduced; read only."""
    project = tmp_path_factory.mktemp("dvc") / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text(CONFIG)
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "a").write_text("x")
    done = repro(project)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "project")
    return tmp_path / "project"


def test_whole_files_stay(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert remove_torn_files(project) == []
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert any(path.is_file() for path in (project / ".dvc" / "cache" / "runs").rglob("*"))


def test_this_projects_own_lock_file_is_whole(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / "dvc.lock", tmp_path)
    assert remove_torn_files(tmp_path) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_lock_file_that_breaks_off_anywhere_is_removed(project: Path, seed: int) -> None:
    data = (project / "dvc.lock").read_bytes()
    entry = data.rindex(b"- path:")  # one that ends before an entry does DVC no harm
    last_hash = data.rindex(b"md5: ") + len(b"md5: ") + 32
    for size in [0, 1, *random.Random(seed).sample(range(entry + 2, last_hash), 30)]:
        (project / "dvc.lock").write_bytes(data[:size])
        assert remove_torn_files(project) == ["dvc.lock"], size
        assert not (project / "dvc.lock").exists()


@pytest.mark.parametrize("data", [b"", b"{", b'{"read": {"a": [{"pid": 1'])
def test_a_torn_table_of_busy_paths_is_removed(project: Path, data: bytes) -> None:
    (project / ".dvc" / "tmp" / "rwlock").write_bytes(data)
    assert remove_torn_files(project) == [".dvc/tmp/rwlock"]


def test_unfinished_entries_of_the_cache_of_runs_are_removed(project: Path) -> None:
    runs = project / ".dvc" / "cache" / "runs"
    entry = next(path for path in runs.rglob("*") if path.is_file())
    (empty := runs / "ab" / ("ab" * 32)).mkdir(parents=True)
    (half := runs / "cd" / ("cd" * 32)).mkdir(parents=True)
    for folder in (half, entry.parent):
        (folder / ".0123.tmp").write_text("cmd: c")
    assert {*remove_torn_files(project)} == {
        str(path.relative_to(project))
        for path in (empty, half, half / ".0123.tmp", entry.parent / ".0123.tmp")
    }
    assert entry.exists()


def test_nothing_is_touched_while_dvc_runs(project: Path) -> None:
    (project / "dvc.lock").write_bytes(b"")
    with locked(project / ".dvc" / "tmp" / "lock"):
        assert remove_torn_files(project) == []
    assert (project / "dvc.lock").exists()


def test_where_dvc_has_never_run_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert remove_torn_files(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def tear_lock_file(project: Path) -> None:
    data = (project / "dvc.lock").read_bytes()
    (project / "dvc.lock").write_bytes(data[: data.index(b"deps:") + 2])


def tear_busy_paths(project: Path) -> None:
    (project / ".dvc" / "tmp" / "rwlock").write_bytes(b"")


def empty_cache_of_runs(project: Path) -> None:
    (project / "dvc.lock").unlink()
    for entry in [path for path in (project / ".dvc/cache/runs").rglob("*") if path.is_file()]:
        entry.unlink()


@pytest.mark.parametrize("break_", [tear_lock_file, tear_busy_paths, empty_cache_of_runs])
def test_dvc_stops_at_what_is_half_made_and_goes_on_when_it_is_removed(
    project: Path, break_: object
) -> None:
    """Once DVC no longer stops, there is no need for any of this."""
    break_(project)
    (project / "b").unlink()
    assert repro(project).returncode != 0
    assert remove_torn_files(project)
    done = repro(project)
    assert done.returncode == 0, done.stderr
    assert (project / "c").read_text() == "x"
