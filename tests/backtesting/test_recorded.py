"""What a log says of its runs, and what became of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.backtesting.attributes import CellPath, cell_path
from epochs_left.backtesting.recorded import Question
from epochs_left.backtesting.truth import truth
from epochs_left.dynamics.targets import plateau_epoch
from epochs_left.errors import DataError, UsageError
from epochs_left.prediction.layout import ColumnChoice, OnBad


def runs_of(losses: dict[str, list[float]], first: int = 0, step: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"run_id": name, "epoch": first + step * i, "loss": loss}
            for name, values in losses.items()
            for i, loss in enumerate(values)
        ]
    )


def test_a_path_is_a_column_before_it_is_a_key_of_one() -> None:
    assert cell_path("a.b", ["a", "a.b"], "-x") == CellPath("a.b")
    assert cell_path("a.b.c", ["a", "a.b"], "-x") == CellPath("a.b", ("c",))
    assert cell_path("a.b.c", ["a"], "-x") == CellPath("a", ("b", "c"))
    with pytest.raises(DataError, match="-x: no column 'los', did you mean 'loss'"):
        cell_path("los", ["loss"], "-x")


def test_a_number_in_json_may_be_text_with_zeros_before_it(sweep: Any, read: Any) -> None:
    found = read(sweep(0), horizon_column="config.e")
    assert set(found.horizon) == {40.0}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{}", "expected a number above 0, got nothing"),
        ('{"e": "many"}', "got 'many'"),
        ('{"e": -1}', "got '-1'"),
        ('{"e": true}', "got 'true'"),
        ('{"e": "nan"}', "got 'nan'"),
        ("{", "data row 1: expected JSON, got '{'"),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_a_horizon_that_is_none_is_refused(read: Any, config: str, says: str) -> None:
    log = runs_of({"a": [1.0, 0.5]}).assign(config=config)
    with pytest.raises(DataError, match=says) as caught:
        read(log, horizon_column="config.e")
    assert "\n" not in str(caught.value)


def test_a_run_has_one_value_and_missing_cells_say_nothing(read: Any) -> None:
    log = runs_of({"a": [1.0, 0.5, 0.2]})
    found = read(log.assign(goal=[np.nan, 0.3, np.nan]), target=None, target_column="goal")
    assert found.target.tolist() == [0.3]
    with pytest.raises(DataError, match=r"run 'a': expected one value in a run, got '0.[34]'"):
        read(log.assign(goal=[0.4, 0.3, np.nan]), target=None, target_column="goal")


def test_runs_that_differ_in_what_is_left_out_are_one_lineage(read: Any) -> None:
    settings = [{"lr": 1, "seed": 1}, {"seed": 2, "lr": 1}, {"lr": 2, "seed": 1}, {"lr": 1}]
    log = runs_of({name: [1.0, 0.5] for name in "abcd"})
    log["config"] = [json.dumps(each) for each in settings for _ in range(2)]
    log["task"] = ["x"] * 6 + ["y"] * 2
    lineage = read(log, lineage_columns=("config",), lineage_without=("config.seed",)).lineage
    assert lineage[0] == lineage[1] != lineage[2]
    assert lineage[0] == lineage[3], "without a task column"
    by_task = {"lineage_columns": ("config",), "lineage_without": ("config.seed",)}
    lineage = read(log, task_column="task", **by_task).lineage
    assert lineage[0] == lineage[1] != lineage[3], "of another task"
    assert np.unique(read(log).lineage).size == 4, "every run by itself"


def test_a_rising_metric_is_the_same_as_its_distance_from_the_ceiling(
    sweep: Any, backtest: Any
) -> None:
    log = sweep(3)
    rising = log.assign(accuracy=2.0 - log.loss).drop(columns="loss")
    asked = {"columns": ColumnChoice(metric="accuracy"), "rises": True, "ceiling": 2.0}
    falls, rises = backtest(log), backtest(rising, target=2.0 - 0.05, **asked)
    np.testing.assert_allclose(rises.truth.time, falls.truth.time)
    np.testing.assert_allclose(
        rises.of("power_law").remaining, falls.of("power_law").remaining, atol=1
    )


def test_a_metric_above_its_ceiling_is_named_with_its_row(read: Any) -> None:
    with pytest.raises(DataError, match=r"data row 2: .* ceiling 1, got 93; pass --ceiling"):
        read(runs_of({"a": [0.5, 93.0]}), rises=True)
    with pytest.raises(DataError, match=r"a target below the ceiling 1, got 3"):
        read(runs_of({"a": [0.5, 0.6]}), rises=True, target=3.0)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"target": 1.0, "plateau": 0.1},
        {"target": 1.0, "target_column": "x"},
        {"target": 1.0, "horizon": 3, "horizon_column": "x"},
        {"target": 1.0, "lineage_without": ("x.y",)},
    ],
)
def test_options_that_do_not_go_together_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="pass"):
        Question(columns=ColumnChoice(), **asked)


def test_a_target_is_reached_at_the_first_loss_at_or_below_it(read: Any) -> None:
    log = runs_of({"a": [1, 0.5, 0.3, 0.2], "b": [1, 0.9, 0.8, 0.7]}, first=1)
    found = truth(read(log, target=0.3))
    np.testing.assert_array_equal(found.time, [3, np.nan])
    assert found.known.all(), "as the log ends"


def test_a_run_is_finished_that_lasted_its_horizon(read: Any) -> None:
    """Rows every second epoch: the next one after 4 would be the horizon."""
    log = runs_of({"whole": [1, 0.9, 0.8], "reached": [1, 0.1], "stopped": [1, 0.9]}, step=2)
    found = truth(read(log, target=0.3, horizon=6))
    assert found.known.tolist() == [True, True, False]
    np.testing.assert_array_equal(found.time, [np.nan, 2, np.nan])


def test_rows_beyond_the_horizon_do_not_count(read: Any) -> None:
    log = runs_of({"a": [1, 0.9, 0.8, 0.1]})
    assert np.isnan(truth(read(log, target=0.3, horizon=2)).time).all()


def test_a_run_that_diverges_never_gets_there(read: Any) -> None:
    log = runs_of({"a": [1, np.inf, 0.1], "b": [1, 0.1, np.inf], "c": [1, np.inf, 0.9]})
    found = truth(read(log, target=0.3, horizon=9, on_bad=OnBad.FLAG))
    np.testing.assert_array_equal(found.time, [np.nan, 1, np.nan])
    np.testing.assert_array_equal(found.diverged_at, [1, np.inf, 1])
    assert found.known.all()


@pytest.mark.parametrize("seed", range(5))
def test_a_plateau_begins_where_the_dynamics_say_in_the_logs_own_epochs(
    sweep: Any, read: Any, seed: int
) -> None:
    log = sweep(seed)
    found = truth(read(log, target=None, plateau=0.05, horizon=40))
    for run, (_, rows) in enumerate(log.groupby("run_id")):
        row = plateau_epoch(rows.loss.to_numpy(), 0.05)
        expected = np.nan if row is None else rows.epoch.to_numpy()[row]
        np.testing.assert_array_equal(found.time[run], expected)


def test_what_the_log_says_of_a_run_goes_before_what_is_said_of_all(read: Any) -> None:
    log = runs_of({"a": [1.0, 0.5], "b": [1.0, 0.5]}).assign(horizon=[30, 30, np.nan, np.nan])
    assert read(log, horizon=9).horizon.tolist() == [30, 9]
    assert read(log.assign(e=7), horizon_column="e").horizon.tolist() == [7, 7]
