"""SIGKILL at any moment: the next run goes on from there and ends with the same bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from kills import (
    GRACE,
    Commands,
    Launcher,
    Project,
    Torment,
    below,
    families,
    few_runs,
    is_alive,
    kind_of,
    preloaded,
    undisturbed,
)

from epochs_left.storage.params import merged

#: Enough for every stage to do its work, and no more.
SMALLEST: dict[str, Any] = {
    "neuron": {"runs": 160, "runs_per_shard": 40, "runs_per_lineage": 8},
    "featurize": {"locked_share": 0.3},
    "fit": {
        "regressors": {"linear_models": ["linear"], "trees": None, "baselines": ["constant"]},
        "folds": 2,
        "row_wise_folds": 1,
    },
    "evaluate": {"study_runs": 10, "bootstrap_refits": 1},  # too few lineages for most studies
}

#: For the families that no model is fitted on.
HANDFUL = {"runs": 4, "runs_per_shard": 2, "max_epochs": 1}

SIMULATIONS = tuple(f"simulate@{family}" for family in families())

#: Kills of the whole pipeline, and of simulations with two workers: more than 50 together.
PIPELINE_KILLS, SIMULATION_KILLS = 44, 8

#: Starting workers takes most of a test's time: one family is enough, a network's.
WITH_WORKERS = SIMULATIONS[1:2]


@pytest.fixture(scope="module")
def params(small_params: dict[str, Any]) -> dict[str, Any]:
    few = few_runs(merged(small_params, SMALLEST), HANDFUL)
    # A predictor of plateaus wants curves with one and curves without.
    curves = {"runs": 300, "runs_per_shard": 150, "max_epochs": [20, 60]}
    return merged(few, {"curve_prior": curves})


@pytest.fixture(scope="module")
def project(params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.make(tmp_path_factory.mktemp("kills") / "project", params, lean=True)


@pytest.fixture(scope="module")
def launcher(project: Project) -> Iterator[Launcher]:
    with preloaded(project, jobs=1) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def expected(project: Project, launcher: Launcher) -> tuple[dict[str, str], dict[str, float]]:
    """Hashes of what an undisturbed run makes, and the lives of its stages."""
    return undisturbed(project, launcher)


def of_family(hashes: dict[str, str], family: str) -> dict[str, str]:
    return {name: each for name, each in hashes.items() if name.startswith(f"data/runs/{family}/")}


def test_a_pipeline_that_is_killed_again_and_again_makes_the_same_bytes(
    project: Project, launcher: Launcher, expected: tuple[dict[str, str], dict[str, float]]
) -> None:
    hashes, lives = expected
    project.forget()
    toll = Torment(project, launcher, hashes, seed=1, lives=lives).inflict(PIPELINE_KILLS)
    assert toll.kills == PIPELINE_KILLS
    assert {what.partition(",")[0] for _, what in toll.hits} >= {"parent", "group", "stage"}


def test_simulations_whose_workers_are_killed_make_the_same_bytes(
    project: Project, expected: tuple[dict[str, str], dict[str, float]]
) -> None:
    hashes, lives = expected
    project.forget()
    runs = {
        name: sha256
        for stage in WITH_WORKERS
        for name, sha256 in of_family(hashes, stage.partition("@")[2]).items()
    }
    longer = {name: life + 1.5 for name, life in lives.items()}  # workers have to import
    with preloaded(project, jobs=2) as launcher:
        torment = Torment(project, launcher, runs, seed=2, lives=longer, stages=WITH_WORKERS)
        toll = torment.inflict(SIMULATION_KILLS)
    assert toll.kills == SIMULATION_KILLS


@contextmanager
def simulation(project: Project, family: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a simulation with two workers in a folder of its own, as a person would."""
    folder = project.folder.parent / "alone"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pipeline").mkdir(parents=True)
    shutil.copy(project.folder / "pipeline" / "params.yaml", folder / "pipeline")
    command = [sys.executable, "-m", "epochs_left.stages", "simulate", family, "--jobs", "2"]
    with subprocess.Popen(command, cwd=folder, env=project.environment) as stage:
        yield stage, folder


def workers_of(stage: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until both workers of a stage are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and stage.poll() is None:
        found = [each for each in below(stage.pid) if kind_of(each, stage.pid) == "worker"]
        if len(found) == 2:
            return found
        time.sleep(0.005)
    raise AssertionError("the stage has ended, or has no workers")


def test_nothing_is_left_of_a_stage_that_is_killed_alone(project: Project) -> None:
    with simulation(project, families()[0]) as (stage, _):
        workers_of(stage)
        family = below(stage.pid)
        stage.kill()
    deadline = time.monotonic() + GRACE
    while any(is_alive(each) for each in family):
        assert time.monotonic() < deadline, family
        time.sleep(0.02)


@pytest.mark.parametrize("family", families()[:2])
def test_what_a_killed_worker_had_to_do_is_done_again(
    project: Project, expected: tuple[dict[str, str], dict[str, float]], family: str
) -> None:
    with simulation(project, family) as (stage, folder):
        workers_of(stage)[0].kill()
        assert stage.wait(120) == 0
    assert Project(folder).hashes() == of_family(expected[0], family)


def test_of_two_runs_at_once_one_goes_on(
    project: Project, expected: tuple[dict[str, str], dict[str, float]]
) -> None:
    project.forget()
    dvc = Commands()
    runs = [dvc.start(project, SIMULATIONS[0], log=f"{name}.txt") for name in ("one", "other")]
    codes = sorted(run.wait(120) or 0 for run in runs)
    said = "".join(run.log.read_text() for run in runs)
    assert codes[0] == 0, said
    assert codes[1] == 0 or "busy" in said or "another process holds" in said
    assert project.hashes() == of_family(expected[0], families()[0])
