"""Shared by the tests: small settings, and a small run store that real stages made."""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from epochs_left.config import parse_settings
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.locks import locked
from epochs_left.storage.params import load_params, merged, write_params
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads.neuron import NeuronSettings

# The same examples on every machine, and no deadline: other processes may hold the cores.
hypothesis.settings.register_profile("epochs-left", deadline=None, derandomize=True)
hypothesis.settings.load_profile("epochs-left")

PARAMS = Path(__file__).parents[1] / "pipeline" / "params.yaml"
ROOT_SEED = 7

SMALL: dict[str, Any] = {
    "root_seed": ROOT_SEED,
    "neuron": {"runs": 96, "runs_per_shard": 32, "max_epochs": 300},
    "mlp": {
        "runs": 40,
        "runs_per_shard": 12,
        "max_epochs": 8,
        "lanes": 6,
        "fixed": {"batch_size": 32},
        "train_examples": {
            "xor_noise": 64,
            "two_moons": 64,
            "digits": 128,
            "breast_cancer": 128,
            "diabetes": 128,
        },
        # met within so few epochs by some of the runs
        "epsilon": {
            "xor_noise": 0.5,
            "two_moons": 0.4,
            "digits": 1.0,
            "breast_cancer": 0.3,
            "diabetes": 0.8,
        },
    },
    "resnet": {
        "runs": 16,
        "runs_per_shard": 4,
        "widths": {"4": 1, "8": 0, "16": 0},
        "max_epochs": 3,
        "lanes": 4,
        "train_examples": {"digits": 128},
        "epsilon": {"digits": 2.2},
    },
    "char_lm": {
        "runs": 8,
        "runs_per_shard": 4,
        "max_epochs": 3,
        "lanes": 4,
        "train_examples": {"python_topics": 16},
        "valid_examples": 4,
        "epsilon": {"python_topics": 3.8},
    },
    "curve_prior": {"runs": 80, "runs_per_shard": 20, "max_epochs": [10, 30]},
    "featurize": {"epochs_per_run": 5},
    "branch": {"states": 3, "branches": 3},
    "pool": {"families": ["neuron", "curve_prior"], "runs_per_family": 40, "folds": 2},
    "fit": {
        "regressors": {
            "linear_models": ["linear"],
            "kernels": None,
            "trees": ["xgboost"],
            "networks": None,
            "ensembles": None,
            "baselines": ["theory", "constant"],
        },
        "families": ["neuron"],
        "folds": 3,
        "row_wise_folds": 2,
    },
    "evaluate": {
        "bootstrap_replicates": 100,
        "bootstrap_refits": 10,
        "study_runs": 20,
        "plane_points": 5,
    },
}


#: Seconds that one test process waits for what another one makes for both.
PATIENCE = 1_200.0

MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Return a folder that one of the test processes fills for all of them: read only."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        place, done = root / name, root / f"{name}.done"
        with locked(root / f"{name}.lock", patience=PATIENCE):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                make(place)
                done.touch()
        return place

    return folder


@pytest.fixture(scope="session")
def bundles_folder(made_once: MadeOnce) -> Path:
    """A folder of small bundles; read only."""
    small_bundle = Path(__file__).parent / "prediction" / "small_bundle.py"
    return made_once("bundles", runpy.run_path(str(small_bundle))["make_bundles"])


#: Test files that take longest, and what they share within a file is dear: they come first, so that
#: the worker that begins with them runs all of each, and none is left at the end.
FIRST = ("stages/test_kills.py", "stages/test_disk_full.py", "simulation/test_dask.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; `--dist worksteal` takes tests from the end of a worker's."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(FIRST))


@pytest.fixture(scope="session")
def small_params() -> dict[str, Any]:
    """The pipeline's parameters, small enough for a test."""
    return merged(load_params(PARAMS), SMALL)


@pytest.fixture(scope="session")
def neuron_settings(small_params: dict[str, Any]) -> Callable[..., NeuronSettings]:
    """Build small settings of the neuron family, with overrides."""

    def build(**overrides: Any) -> NeuronSettings:
        values = {**small_params["neuron"], **overrides}
        return parse_settings(NeuronSettings, values, "neuron")

    return build


@pytest.fixture(scope="session")
def small_store(
    neuron_settings: Callable[..., NeuronSettings], tmp_path_factory: pytest.TempPathFactory
) -> RunStore:
    """A run store of the neuron family; read only."""
    root = tmp_path_factory.mktemp("runs")
    simulate_family(
        "neuron",
        neuron_settings(),
        ROOT_SEED,
        folder=root / "neuron",
        work_root=root / "work",
        execution=Execution(),
    )
    return RunStore(root / "neuron")


#: More runs than elsewhere, and two a lineage, so that the locked test set has some of every kind.
PIPELINE: dict[str, Any] = {
    "neuron": {"runs": 160, "runs_per_shard": 60, "runs_per_lineage": 2},
    "featurize": {"locked_share": 0.3},
}
STAGES = [
    ("simulate", "neuron"),
    ("simulate", "curve_prior"),
    ("branch", "neuron"),
    ("featurize", "neuron"),
    ("featurize", "curve_prior"),
    ("converges",),
    ("fit", "linear_models"),
    ("fit", "trees"),
    ("fit", "baselines"),
    ("pool",),
    ("evaluate",),
    ("report",),
]

RunStage = Callable[..., None]


@pytest.fixture(scope="session")
def run_stage_in() -> RunStage:
    """Run a stage in a folder, in this process: ``run(folder, "simulate", "neuron")``."""

    def run(folder: Path, name: str, *arguments: str) -> None:
        module = importlib.import_module(f"epochs_left.stages.{name}")
        command = [name, "--jobs", "1", *arguments]
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command)
            module.main()

    return run


@pytest.fixture(scope="session")
def pipeline_folder(
    small_params: dict[str, Any], run_stage_in: RunStage, made_once: MadeOnce
) -> Path:
    """A folder in which every stage has run; read only."""

    def make(folder: Path) -> None:
        (folder / "pipeline").mkdir()
        write_params(folder / "pipeline" / "params.yaml", merged(small_params, PIPELINE))
        for stage in STAGES:
            run_stage_in(folder, *stage)

    return made_once("pipeline", make)
