"""A forecast knows the run's prefix and nothing after it: the battery for every forecaster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.backtesting.forecasters import FORECASTERS, MODEL_AND_SIBLINGS, TRIED

GOALS = [{"target": 0.05}, {"plateau": 0.05}]
CUT = 10  # 25 % of the horizon of 40


@pytest.mark.parametrize("goal", GOALS, ids=["target", "plateau"])
@pytest.mark.parametrize("seed", range(3))
def test_what_comes_after_the_cut_changes_no_forecast(
    sweep: Any, backtest: Any, goal: dict[str, float], seed: int
) -> None:
    log, rng = sweep(seed), np.random.default_rng(seed)
    before = backtest(log, **goal)
    for run in ("run-00", "run-05"):
        garbage = log.copy()
        later = (garbage.run_id == run) & (garbage.epoch > CUT)
        garbage.loc[later, "loss"] = rng.lognormal(3.0, 4.0, int(later.sum()))
        garbage.loc[later, "lr"] = rng.uniform(0.1, 9.0, int(later.sum()))
        after = backtest(garbage, **goal)
        for name in FORECASTERS:
            np.testing.assert_array_equal(after.row(name, run), before.row(name, run), name)


@pytest.mark.parametrize("goal", GOALS, ids=["target", "plateau"])
@pytest.mark.parametrize("last", [CUT + 1, 30])
def test_how_long_a_run_went_on_changes_no_forecast(
    sweep: Any, backtest: Any, goal: dict[str, float], last: int
) -> None:
    log = sweep(4)
    before = backtest(log, **goal)
    for run in ("run-00", "run-05"):
        after = backtest(log[(log.run_id != run) | (log.epoch <= last)], **goal)
        for name in FORECASTERS:
            np.testing.assert_array_equal(after.row(name, run), before.row(name, run), name)


@pytest.mark.parametrize("last", [CUT + 1, 30])
def test_nor_does_it_where_nobody_says_a_horizon(sweep: Any, backtest: Any, last: int) -> None:
    """The length of a run is no horizon: it would tell when the run ends."""
    log = sweep(4)
    before = backtest(log, of_task_median=True)
    assert "horizon" not in before.recorded.runs.rows.numbers
    for run in ("run-00", "run-05"):
        after = backtest(log[(log.run_id != run) | (log.epoch <= last)], of_task_median=True)
        # what the model is off by on the others is read at budgets that this run's time moves
        for name in set(FORECASTERS) - {MODEL_AND_SIBLINGS}:
            np.testing.assert_array_equal(after.row(name, run), before.row(name, run), name)


@pytest.mark.parametrize("seed", range(3))
def test_no_bound_of_a_plateau_lies_beyond_the_horizon(
    sweep: Any, backtest: Any, seed: int
) -> None:
    found = backtest(sweep(seed, n_runs=24), plateau=0.05)
    for name in TRIED:
        for field in ("remaining", "lower", "upper"):
            epochs = getattr(found.of(name), field)
            left = found.recorded.horizon - found.replay.cut
            assert np.all((epochs <= left) | np.isnan(epochs))
        assert np.isfinite(found.of(name).upper).any()


def test_the_names_of_runs_change_no_forecast(sweep: Any, backtest: Any) -> None:
    log = sweep(5)
    renamed = log.assign(run_id="e=9999/" + log.run_id)
    before, after = backtest(log), backtest(renamed)
    for name in FORECASTERS:
        assert after.row(name, "e=9999/run-03") == pytest.approx(
            before.row(name, "run-03"), abs=0, rel=0, nan_ok=True
        )


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_changes_no_forecast(sweep: Any, backtest: Any, seed: int) -> None:
    log = sweep(seed)
    before, after = backtest(log), backtest(log.sample(frac=1.0, random_state=seed))
    for name in FORECASTERS:
        for run in log.run_id.unique():
            assert after.row(name, run) == pytest.approx(
                before.row(name, run), abs=0, rel=0, nan_ok=True
            )


@pytest.mark.parametrize("seed", range(3))
def test_its_own_lineage_is_never_in_a_runs_task_median(
    sweep: Any, backtest: Any, seed: int
) -> None:
    """Of a lineage of three runs, two are changed: the third hears nothing of it."""
    log = sweep(seed)
    lineage = log.run_id.map({"run-00": "a", "run-02": "a", "run-04": "a"}).fillna(log.run_id)
    log = log.assign(family=lineage)
    changed = log.copy()
    changed.loc[changed.run_id.isin(["run-02", "run-04"]), "loss"] *= 0.01
    asked = {"lineage_columns": ("family",), "of_task_median": True}
    before, after = backtest(log, **asked), backtest(changed, **asked)
    assert after.horizon[0] == before.horizon[0]
    # The budgets of the siblings are medians of the others' times, of this lineage too: what the
    # model is off by at them changes, in this mode alone.
    for name in set(FORECASTERS) - {MODEL_AND_SIBLINGS}:
        np.testing.assert_array_equal(after.row(name, "run-00"), before.row(name, "run-00"))
    alone = backtest(log[log.task == "odd"].assign(family="one"), **asked)
    assert np.isnan(alone.horizon).all()


def test_a_budget_is_of_the_horizon_and_not_of_the_length(sweep: Any, backtest: Any) -> None:
    log = sweep(1)
    short = log[(log.run_id != "run-00") | (log.epoch <= 20)]
    for found in (backtest(log), backtest(short)):
        assert set(found.replay.cut) == {CUT}


def test_a_prefix_of_fewer_than_two_rows_is_not_predictable(sweep: Any, backtest: Any) -> None:
    log = sweep(1)
    late = log[(log.run_id != "run-00") | (log.epoch >= CUT)]
    found = backtest(late)
    assert np.isnan(found.replay.cut[list(found.recorded.names).index("run-00")])
    for name in FORECASTERS:
        assert np.isnan(found.row(name, "run-00")).all()
        assert found.of(name).status[list(found.recorded.names).index("run-00")] == (
            "insufficient_history"
        )


def test_no_run_at_all_is_predictable_before_the_second_row(sweep: Any, backtest: Any) -> None:
    found = backtest(sweep(1), budget=1.0)
    assert np.isnan(found.replay.cut).all()
    for name in FORECASTERS:
        assert np.isnan(found.of(name).time).all()


def test_evaluations_that_did_not_happen_are_no_rows(sweep: Any, backtest: Any) -> None:
    log = sweep(2)
    gaps = log.assign(loss=log.loss.where(log.epoch % 2 == 1))
    dropped = log[log.epoch % 2 == 1]
    with_gaps, without = backtest(gaps), backtest(dropped)
    for name in FORECASTERS:
        pd.testing.assert_series_equal(
            pd.Series(with_gaps.of(name).remaining), pd.Series(without.of(name).remaining)
        )
