"""Forecasters are exact on the curve that they assume, in any unit of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.backtesting.forecasters import FORECASTERS, Forecasts, Known, point_forecasts
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers
from epochs_left.prediction.histories import LAST
from epochs_left.prediction.runs import in_order

CURVES = {
    "power_law": lambda t: (t + 1.0) ** -1.0,
    "exponential": lambda t: np.exp(-t / 5.0),
    "optimus": lambda t: 1 / (0.5 * t + 1.0),
    "last_slope": lambda t: 1 - t / 60.0,
}


def curve(name: str, step: int = 1, horizon: int = 40) -> pd.DataFrame:
    t = np.arange(horizon + 1)
    loss = CURVES[name](t)
    return pd.DataFrame({"run_id": name, "epoch": t * step, "loss": loss, "task": ""})


@pytest.mark.parametrize("name", CURVES)
def test_a_target_is_forecast_exactly(backtest: Any, name: str) -> None:
    log = curve(name)
    for at in (20, 30):
        target = float(log.loss[at]) * (1 + 1e-9)
        found = backtest(log, target=target, names=[name], budget=25.0)
        assert found.truth.time[0] == at
        assert found.of(name).time[0] == pytest.approx(at, abs=1)


@pytest.mark.parametrize("at", [15, 25])
@pytest.mark.parametrize("name", CURVES)
def test_a_plateau_is_forecast_exactly(backtest: Any, name: str, at: int) -> None:
    log = curve(name)
    share = (log.loss[at] - log.loss.min()) / (1 - log.loss.min()) * (1 + 1e-9)
    found = backtest(log, plateau=share, names=[name], budget=25.0)
    assert found.truth.time[0] == pytest.approx(at, abs=1), "a median of 3 moves it"
    assert found.of(name).time[0] == pytest.approx(at, abs=1)


@pytest.mark.parametrize("goal", [{"target": 0.08}, {"plateau": 0.1}])
@pytest.mark.parametrize("name", CURVES)
def test_times_scale_with_the_unit(backtest: Any, name: str, goal: dict[str, float]) -> None:
    in_epochs = backtest(curve(name), names=[name], **goal)
    in_steps = backtest(curve(name, step=500), names=[name], horizon=40 * 500, **goal)
    np.testing.assert_allclose(in_steps.of(name).time, 500 * in_epochs.of(name).time)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_that_rises_never_gets_there(backtest: Any, name: str) -> None:
    t = np.arange(41)
    log = pd.DataFrame({"run_id": "a", "epoch": t, "loss": 1 + t / 40, "task": ""})
    found = backtest(log, target=0.5, names=[name]).of(name)
    assert np.isinf(found.remaining[0])
    assert found.time[0] == 40, "at most the horizon, for the scores"


def test_the_model_answers_as_predict_does(sweep: Any, backtest: Any) -> None:
    """Each run by itself, with the rows up to the cut alone."""
    log = sweep(6)
    targets = log.run_id.map({name: 0.02 + 0.01 * i for i, name in enumerate(log.run_id.unique())})
    found = backtest(
        log.assign(goal=targets), target=None, target_column="goal", names=["model"], budget=25.0
    )
    recorded = found.recorded
    for run, name in enumerate(recorded.names):
        rows = recorded.runs.rows
        mine = (rows.run == recorded.runs.rows.run[recorded.runs.starts[run]]) & (rows.epoch <= 10)
        table = answers(
            in_order(rows.take(mine), list(recorded.names)),
            found.known.predictor,
            aim=Aim(target=float(recorded.target[run]), horizon=40),
            at=LAST,
            run_names=list(recorded.names),
            label_names=recorded.label_names,
        )
        said = [table[c][0].as_py() for c in ("epochs_remaining", "lower", "upper", "p_converges")]
        expected = [np.nan if value is None else value for value in said]
        np.testing.assert_array_equal(found.row("model", name), expected)


def test_what_is_not_known_lacks_history_and_never_is_an_answer() -> None:
    found = point_forecasts(np.array([3.0, np.inf, np.nan]))
    assert list(found.status) == ["ok", "ok", "insufficient_history"]
    for each in (found.lower, found.upper, found.p_converges):
        assert np.isnan(each).all()


def constant_runs(times: dict[str, int | None], horizon: int = 40) -> pd.DataFrame:
    """Runs whose loss falls below the target at a given epoch, or never."""
    rows = [
        {"run_id": name, "epoch": t, "loss": 0.01 if at is not None and t >= at else 1.0}
        for name, at in times.items()
        for t in range(horizon + 1)
    ]
    return pd.DataFrame(rows).assign(task="one")


def test_the_task_median_is_of_the_others_that_were_not_there_at_the_cut(backtest: Any) -> None:
    times = {"a": 30, "b": 20, "c": 26, "d": 5, "e": None}
    found = backtest(constant_runs(times), names=["task_median"], budget=25.0)
    remaining, lower, _, p = found.row("task_median", "a")
    assert remaining == np.median([20, 26]) - 10
    assert p == 2 / 3, "of b, c and e"
    assert np.isnan(lower), "two runs have no 90 % interval"
    assert found.row("task_median", "b")[0] == np.median([30, 26]) - 10


def test_the_interval_of_the_task_median_covers_the_others(backtest: Any) -> None:
    times: dict[str, int | None] = {f"r{i:02d}": 12 + i for i in range(25)}
    found = backtest(constant_runs(times), names=["task_median"], budget=25.0)
    _, lower, upper, _ = found.row("task_median", "r12")
    assert 2 <= lower < 5
    assert 24 < upper <= 26


def test_finished_runs_of_the_task_correct_the_model(
    backtest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that says twice as long as it takes is found out by the runs that have finished."""
    times: dict[str, int | None] = {f"r{i:02d}": 12 + i for i in range(25)}

    def twice(prefixes: Prefixes, known: Known) -> Forecasts:
        return point_forecasts(2 * known.siblings.time_of(prefixes.index) - prefixes.cut)

    monkeypatch.setitem(FORECASTERS._items, "model", twice)
    found = backtest(constant_runs(times), names=["model_and_siblings"], budget=25.0)
    for run in ("r00", "r12", "r24"):
        remaining, lower, upper, _ = found.row("model_and_siblings", run)
        truth = int(times[run] or 0) - 10
        assert remaining == pytest.approx(truth, abs=0.3)
        assert lower <= remaining <= upper


def test_a_model_that_tells_nothing_gives_way_to_the_median(
    backtest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: dict[str, int | None] = {f"r{i:02d}": 30 + i % 3 for i in range(25)}

    def noise(prefixes: Prefixes, known: Known) -> Forecasts:
        del known
        rng = np.random.default_rng(0)
        return point_forecasts(np.exp(rng.normal(3, 2, prefixes.n_runs)))

    monkeypatch.setitem(FORECASTERS._items, "model", noise)
    found = backtest(constant_runs(times), names=["model_and_siblings"], budget=25.0)
    for run in times:
        assert found.row("model_and_siblings", run)[0] == pytest.approx(21, abs=1.0)


def test_too_few_finished_runs_leave_the_model_alone(sweep: Any, backtest: Any) -> None:
    log = sweep(0, n_runs=6)  # of two tasks: two others each, if all reach
    found = backtest(log)
    for field in ("remaining", "lower", "upper", "p_converges"):
        both = (getattr(found.of(name), field) for name in ("model", "model_and_siblings"))
        np.testing.assert_array_equal(*both)


def test_what_a_run_became_does_not_move_its_own_lineage(sweep: Any, backtest: Any) -> None:
    """Else runs that differ in their budget alone would tell each other when they end."""
    log = sweep(3, n_runs=16)
    late = log.copy()
    rows = (late["run_id"] == "run-04") & (late["epoch"] > 10)
    late.loc[rows, "loss"] = 1.0  # it never reaches
    before, after = (backtest(each) for each in (log, late))
    assert before.row("model_and_siblings", "run-04") == after.row("model_and_siblings", "run-04")
    assert before.row("model_and_siblings", "run-06") != after.row("model_and_siblings", "run-06")


@pytest.mark.parametrize("seed", range(3))
def test_no_forecast_passes_the_horizon_in_the_scores(sweep: Any, backtest: Any, seed: int) -> None:
    found = backtest(sweep(seed))
    for name in FORECASTERS:
        time = found.of(name).time
        assert np.all((time >= found.replay.cut) & (time <= 40))
