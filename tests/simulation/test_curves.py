"""The engine of the curve prior: rows, outcomes, independence of the curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.config import parse_settings
from epochs_left.dynamics.curve_prior import CurveShape, noiseless_curve
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.errors import UsageError
from epochs_left.schema import OUTCOMES, Outcome
from epochs_left.simulation.curves import CurveEngine, build_engine
from epochs_left.simulation.engine import TrainingJob
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads.curve_prior import CurvePrior, CurvePriorSettings

ROOT_SEED = 13
SEEDS = range(3)
Runs = list[dict[str, Any]]
Curves = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def settings(small_params: dict[str, Any]) -> CurvePriorSettings:
    values = {**small_params["curve_prior"], "runs": 120, "max_epochs": [1, 80]}
    return parse_settings(CurvePriorSettings, values, "curve_prior")


@pytest.fixture(scope="module")
def plan(settings: CurvePriorSettings) -> Callable[[int], pa.Table]:
    return lambda seed: CurvePrior().plan(settings, seed)


def curves_of(engine: CurveEngine, chunk_runs: int = 256) -> Curves:
    """Return (loss, lr) of each run, checking that epochs count up from 0."""
    found: Curves = []
    for block in engine.blocks(chunk_runs):
        assert block.first_run == len(found)
        for run in range(block.n_runs):
            rows = block.run == run
            np.testing.assert_array_equal(block.epoch[rows], np.arange(rows.sum()))
            found.append((block.columns["loss"][rows], block.columns["lr"][rows]))
    return found


def assert_same(one: Curves, other: Curves) -> None:
    assert [[part.tobytes() for part in curve] for curve in one] == [
        [part.tobytes() for part in curve] for curve in other
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_curve_lasts_to_its_horizon_and_is_capped(
    plan: Callable[[int], pa.Table], seed: int
) -> None:
    runs = plan(seed).to_pylist()
    engine = CurveEngine(runs, ROOT_SEED)
    curves, horizons = curves_of(engine), [run["max_epochs"] for run in runs]
    assert min(horizons) == 1
    assert [loss.size for loss, _ in curves] == [horizon + 1 for horizon in horizons]
    np.testing.assert_array_equal(engine.outcomes.epoch, horizons)
    assert {OUTCOMES[code] for code in engine.outcomes.code} == {Outcome.CAPPED}
    assert [loss[-1] for loss, _ in curves] == engine.outcomes.loss.tolist()
    assert np.isnan(engine.outcomes.grad_norm).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_loss_falls_below_epsilon_or_leaves_float32(
    plan: Callable[[int], pa.Table], seed: int
) -> None:
    runs = plan(seed).to_pylist()
    for run, (loss, _) in zip(runs, curves_of(CurveEngine(runs, ROOT_SEED)), strict=True):
        assert loss.min() > run["epsilon"]
        assert np.isfinite(loss).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_learning_rate_of_a_row_is_the_planned_one(
    plan: Callable[[int], pa.Table], seed: int
) -> None:
    runs = plan(seed).to_pylist()
    for run, (_, lr) in zip(runs, curves_of(CurveEngine(runs, ROOT_SEED)), strict=True):
        planned = learning_rates(run["lr_schedule"], run["lr"], run["max_epochs"])
        np.testing.assert_array_equal(lr, planned.astype(np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_without_noise_a_curve_is_the_closed_form(
    plan: Callable[[int], pa.Table], seed: int
) -> None:
    runs = [{**run, "noise": 0.0} for run in plan(seed).to_pylist()]
    assert {run["averaged"] for run in runs} == {False, True}
    assert any(run["lr_schedule"].startswith("step:") for run in runs)
    names = [field.name for field in fields(CurveShape)]
    for run, (loss, _) in zip(runs, curves_of(CurveEngine(runs, ROOT_SEED)), strict=True):
        rates = learning_rates(run["lr_schedule"], run["lr"], run["max_epochs"])
        shape = CurveShape(**{name: run[name] for name in names})
        np.testing.assert_allclose(loss, noiseless_curve(shape, rates, run["lr"]), rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_curve_depends_on_no_other(plan: Callable[[int], pa.Table], seed: int) -> None:
    runs = plan(seed).to_pylist()
    whole = curves_of(CurveEngine(runs, ROOT_SEED))
    backwards = curves_of(CurveEngine(runs[::-1], ROOT_SEED))
    assert_same(backwards[::-1], whole)
    alone = [curve for run in runs for curve in curves_of(CurveEngine([run], ROOT_SEED))]
    assert_same(alone, whole)


@pytest.mark.parametrize("block_rows", [1, 100, 10_000])
@pytest.mark.parametrize("chunk_runs", [1, 7])
def test_where_blocks_end_changes_no_row(
    plan: Callable[[int], pa.Table], block_rows: int, chunk_runs: int
) -> None:
    runs = plan(0).to_pylist()
    engine = CurveEngine(runs, ROOT_SEED, block_rows=block_rows)
    assert_same(curves_of(engine, chunk_runs), curves_of(CurveEngine(runs, ROOT_SEED)))


def test_root_seeds_have_noise_of_their_own(plan: Callable[[int], pa.Table]) -> None:
    runs = plan(0).to_pylist()
    one, other = (curves_of(CurveEngine(runs, seed)) for seed in (1, 2))
    assert all((a != b).any() for (a, _), (b, _) in zip(one, other, strict=True))


def test_a_device_other_than_the_cpu_is_refused(
    plan: Callable[[int], pa.Table], settings: CurvePriorSettings
) -> None:
    job = TrainingJob(runs=plan(0), settings=settings, root_seed=0, data={}, device="cuda")
    with pytest.raises(UsageError, match="on the CPU, got device 'cuda'"):
        build_engine(CurvePrior(), job)


def test_the_store_holds_loss_and_rate_of_every_epoch(
    settings: CurvePriorSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "curve_prior"
    work, execution = tmp_path / "work", Execution()
    simulate_family(
        "curve_prior", settings, ROOT_SEED, folder=folder, work_root=work, execution=execution
    )
    store = RunStore(folder)
    runs = store.runs().to_pandas()
    rows = [rows for name in store.shard_names() for rows in store.read(name)]
    assert [run for part in rows for run in part.run_ids] == runs["run_id"].tolist()
    lengths = np.concatenate([part.lengths for part in rows])
    np.testing.assert_array_equal(lengths, runs["max_epochs"] + 1)
    assert all(set(part.measures) == {"loss", "lr"} and not part.vectors for part in rows)
    assert set(runs["outcome"]) == {"capped"}
