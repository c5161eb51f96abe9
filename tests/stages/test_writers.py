"""One writer at a time, and no trace of those that were killed."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError
from epochs_left.stages import _command
from epochs_left.stages._command import sole_writer
from epochs_left.stages._paths import WORK
from epochs_left.storage.atomic import temporary_beside
from epochs_left.storage.locks import locked

RunStage = Callable[..., None]

#: Outputs of each stage.
OUTPUTS = {
    "simulate neuron": ["data/runs/neuron"],
    "branch neuron": ["data/branches/neuron.parquet"],
    "featurize neuron": ["features/neuron/examples.parquet", "features/neuron/features.json"],
    "converges": ["models/converges/neuron"],
    "fit linear_models": [
        "models/linear_models/linear/neuron-causal",
        "models/linear_models/linear/neuron-oracle",
        "models/linear_models/linear/out_of_fold.parquet",
    ],
    "fit baselines": [
        "models/baselines/theory/neuron-causal",
        "models/baselines/theory/out_of_fold.parquet",
    ],
    "pool": [
        "models/pooled/threshold",
        "models/pooled/plateau",
        "models/pooled/out_of_fold.parquet",
    ],
    "evaluate": [
        "reports/results/data_card.json",
        "reports/results/neuron/scores.json",
        "reports/metrics.json",
    ],
    "report": ["reports/index.html", "reports/pictures/parameter_plane_true.png"],
    "dictionary": ["features/README.md"],
}

#: Name of the lock of each stage; a family's simulation has the family's name, and features are
#: made of all families at once.
LOCKS = {stage: stage.replace(" ", "-") for stage in OUTPUTS} | {
    "simulate neuron": "neuron",
    "featurize neuron": "featurize",
}


@pytest.fixture
def project(pipeline_folder: Path, tmp_path: Path) -> Path:
    """A copy of a folder in which every stage has run."""
    shutil.copytree(pipeline_folder, tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_is_refused_while_another_process_runs_it(
    project: Path, run_stage_in: RunStage, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(_command, "locked", functools.partial(locked, patience=0))
    with (
        locked(project / WORK / f"{LOCKS[stage]}.lock"),
        pytest.raises(InputOutputError, match=rf"another process holds .*{LOCKS[stage]}\.lock"),
    ):
        run_stage_in(project, *stage.split())
    assert InputOutputError.exit_code == 5


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_runs_beside_all_others_and_removes_what_its_own_killed_runs_left(
    project: Path, run_stage_in: RunStage, stage: str
) -> None:
    mine = [leave(project / output) for output in OUTPUTS[stage]]
    others = [
        leave(project / output)
        for other, outputs in OUTPUTS.items()
        for output in outputs
        if other != stage
    ]
    with ExitStack() as held:
        for other, lock in LOCKS.items():
            if other != stage:
                held.enter_context(locked(project / WORK / f"{lock}.lock"))
        run_stage_in(project, *stage.split())
    assert not any(path.exists() for path in mine)
    assert all(path.exists() for path in others)


def leave(output: Path) -> Path:
    """Leave what a writer of an output leaves when it is killed."""
    leftover = temporary_beside(output)
    if output.is_dir():
        leftover.mkdir()
        (leftover / "half").touch()
    else:
        leftover.touch()
    return leftover


def test_a_profile_is_refused_while_another_process_runs_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, run_stage_in: RunStage
) -> None:
    monkeypatch.setattr(_command, "locked", functools.partial(locked, patience=0))
    profile = project / "pipeline" / "profiles" / "tiny.yaml"
    profile.parent.mkdir()
    profile.write_text("root_seed: 1\n")
    with (
        locked(project / WORK / "profile-tiny.lock"),
        pytest.raises(InputOutputError, match="another process holds"),
    ):
        run_stage_in(project, "profile", "tiny")
    assert not (project / "build").exists()


def test_mending_names_what_it_removes(
    project: Path, run_stage_in: RunStage, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".dvc").mkdir()
    (project / "dvc.lock").write_text("schema: '2.0'\nstages:\n  simu")
    for said in (
        "epochs-left: removed dvc.lock, torn when DVC was killed; DVC makes it again\n",
        "",
    ):
        run_stage_in(project, "mend")
        assert capsys.readouterr().err == said


def test_a_lock_goes_with_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with sole_writer("fit-linear_models", Path("models/linear_models/linear/*")):
            assert (WORK / "fit-linear_models.lock").exists()
    with sole_writer("fit-linear_models"), sole_writer("fit-trees"):
        pass
