"""Torn and flipped files: found wherever they are, set aside, and made again."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kills import Project, families, few_runs, preloaded, undisturbed

from epochs_left.stages._command import run_stage
from epochs_left.stages._paths import DAMAGED
from epochs_left.storage.params import merged, write_params

Damage = Callable[[bytes], bytes]

HANDFUL = {"runs": 4, "runs_per_shard": 2, "max_epochs": 1}
SMALLEST: dict[str, Any] = {"neuron": {"runs": 24, "runs_per_shard": 8}}


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def torn(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


DAMAGES = [flipped, torn]


def damage(path: Path, by: Damage) -> None:
    """Damage a file in place, as a disk does: whatever is linked to it is damaged too."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(by(data))
        file.truncate()
    path.chmod(mode)


@pytest.fixture(scope="module")
def simulated(
    small_params: dict[str, Any],
    run_stage_in: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder in which every family has been simulated; read only."""
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "pipeline").mkdir()
    params = few_runs(merged(small_params, SMALLEST), HANDFUL)
    write_params(folder / "pipeline" / "params.yaml", params)
    for family in families():
        run_stage_in(folder, "simulate", family)
    return folder


@pytest.fixture
def folder(simulated: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(simulated, tmp_path / "project")
    return tmp_path / "project"


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("data/.work/*-*/epochs-*"))


@pytest.mark.parametrize("by", DAMAGES)
def test_every_damaged_file_of_a_finished_shard_is_made_again(
    simulated: Path, folder: Path, run_stage_in: Callable[..., None], by: Damage
) -> None:
    expected = Project(simulated).hashes()
    assert {path.suffix for path in shards(folder)} == {".parquet", ".runs", ".json"}
    for path in shards(folder):
        damage(path, by)
    for family in families():
        run_stage_in(folder, "simulate", family)
    assert Project(folder).hashes() == expected
    for path in shards(simulated):
        assert (folder / path.relative_to(simulated)).read_bytes() == path.read_bytes(), path


def fails_with(name: str, *arguments: str) -> int:
    """Run a stage in this folder, in this process; return its exit code."""
    module = importlib.import_module(f"epochs_left.stages.{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments, "--jobs", "1"])
        with pytest.raises(SystemExit) as caught:
            run_stage(module.main)
    return int(caught.value.code or 0)


@pytest.mark.parametrize("by", DAMAGES)
def test_every_damaged_file_of_a_run_store_is_found_set_aside_and_made_again(
    simulated: Path,
    folder: Path,
    run_stage_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    by: Damage,
) -> None:
    monkeypatch.chdir(folder)
    expected = Project(simulated).hashes()
    for path in sorted(Path("data/runs/neuron").glob("*.parquet")):
        damage(path, by)
        data = path.read_bytes()
        capsys.readouterr()
        assert fails_with("featurize", "neuron") == 6
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{path} does not match the manifest" in said
        assert str(DAMAGED) in said
        assert not path.exists()
        assert (DAMAGED / "-".join(path.parts)).read_bytes() == data
        run_stage_in(folder, "simulate", "neuron")
        assert Project(folder).hashes() == expected


def test_dvc_makes_a_damaged_file_again_though_its_cache_is_damaged_too(
    small_params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's cache and the run store are one file with two names; a flip changes both."""
    params = few_runs(merged(small_params, SMALLEST), HANDFUL)
    project = Project.make(tmp_path / "project", params, lean=True)
    with preloaded(project, jobs=1) as launcher:
        expected, _ = undisturbed(project, launcher, "featurize")
        monkeypatch.chdir(project.folder)
        for by in DAMAGES:
            damage(sorted(Path("data/runs/neuron").glob("epochs-*"))[-1], by)
            assert fails_with("featurize", "neuron") == 6
            assert undisturbed(project, launcher, "featurize")[0] == expected
