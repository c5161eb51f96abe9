"""Intervals of what stopping saves and costs, against resamples drawn one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from epochs_left.arrays import IntArray
from epochs_left.backtesting.consequences import consequences
from epochs_left.backtesting.policies import POLICIES
from epochs_left.backtesting.policy_results import policy_entries
from epochs_left.backtesting.recorded import runs_at
from epochs_left.backtesting.scores import MIN_LINEAGES, Bootstrap
from epochs_left.backtesting.stopping import Field, Stops
from epochs_left.cli.backtest_table import show

NAMES = ("epochs_saved", "slowdown", "extra_epochs")
BOOTSTRAP = Bootstrap(n_replicates=2000, seed=0)
NO_INTERVAL = {"lower": None, "upper": None}


@pytest.fixture(scope="session")
def made_up(sweep: Any, read: Any) -> Any:
    """Make n runs of three tasks, two a lineage, of which half are stopped."""
    runs = read(sweep(0, n_runs=4)).runs

    def make(seed: int, n: int = 60) -> tuple[Field, Stops]:
        rng = np.random.default_rng(seed)
        time = np.where(rng.random(n) < 0.8, rng.integers(20, 90, n).astype(float), np.inf)
        field = Field(
            task=np.arange(n) // 2 % 3,
            lineage=np.arange(n) // 2,
            end=np.minimum(time, 100.0),
            time=time,
            open=np.ones(n, dtype=np.bool_),
            cut=np.full(n, 10.0),
            p_converges=np.full(n, np.nan),
            earliest={},
            runs=runs,
        )
        stopped = rng.random(n) < 0.5
        return field, Stops(stopped=stopped, right=stopped & np.isinf(time))

    return make


def of_all(field: Field, stops: Stops, bootstrap: Bootstrap | None) -> dict[str, Any]:
    return consequences(field, stops, np.ones(field.task.size, dtype=np.bool_), bootstrap)


def chosen(field: Field, stops: Stops, index: IntArray) -> tuple[Field, Stops]:
    """Some of the runs, some of them more than once."""
    columns = ("task", "lineage", "end", "time", "open", "cut", "p_converges")
    some = replace(field, **{name: getattr(field, name)[index] for name in columns})
    return some, Stops(stopped=stops.stopped[index], right=stops.right[index])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(2))
def test_intervals_are_those_of_scipy_for_whole_lineages(
    made_up: Any, seed: int, name: str
) -> None:
    """BCa for the share saved, percentiles for what hangs on one run: the best of a task."""
    field, stops = made_up(seed)
    lineages = [np.flatnonzero(field.lineage == each) for each in np.unique(field.lineage)]

    def of_drawn(drawn: IntArray) -> float:
        index = np.concatenate([lineages[each] for each in drawn])
        return float(of_all(*chosen(field, stops, index), None)[name])

    expected = scipy_bootstrap(
        (np.arange(len(lineages)),),
        of_drawn,
        vectorized=False,
        n_resamples=1000,
        method="BCa" if name == "epochs_saved" else "percentile",
        rng=np.random.default_rng(seed),
    )
    found = of_all(field, stops, BOOTSTRAP)["intervals"][name]
    width = expected.confidence_interval.high - expected.confidence_interval.low
    ends = (expected.confidence_interval.low, expected.confidence_interval.high)
    assert (found["lower"], found["upper"]) == pytest.approx(ends, abs=0.2 * width)


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_holds_its_figure_and_does_not_hang_on_the_order_of_the_runs(
    made_up: Any, seed: int
) -> None:
    field, stops = made_up(seed)
    moved = chosen(field, stops, np.random.default_rng(seed).permutation(field.task.size))
    found, again = of_all(field, stops, BOOTSTRAP), of_all(*moved, BOOTSTRAP)
    assert {**found, "intervals": None} == pytest.approx({**again, "intervals": None})
    for name, ends in found["intervals"].items():
        assert ends["lower"] <= found[name] <= ends["upper"]
        assert again["intervals"][name] == pytest.approx(ends)


def test_too_few_lineages_have_no_interval(made_up: Any) -> None:
    for n_lineages in (MIN_LINEAGES - 1, MIN_LINEAGES):
        found = of_all(*made_up(1, n=2 * n_lineages), BOOTSTRAP)
        assert found["n_lineages"] == n_lineages
        assert (found["intervals"]["epochs_saved"] == NO_INTERVAL) == (n_lineages < MIN_LINEAGES)


def test_resamples_that_all_agree_are_no_interval(made_up: Any) -> None:
    """Nothing was stopped among 30 lineages, which bounds nothing from above."""
    field, stops = made_up(0)
    none = np.zeros(field.task.size, dtype=np.bool_)
    found = of_all(field, replace(stops, stopped=none, right=none), BOOTSTRAP)
    assert [found[name] for name in NAMES] == [0.0, 1.0, 0.0]
    assert found["intervals"] == dict.fromkeys(NAMES, NO_INTERVAL)


def test_no_run_at_all_saves_nothing_that_is_known(made_up: Any) -> None:
    field, stops = made_up(0)
    found = consequences(field, stops, np.zeros(field.task.size, dtype=np.bool_), BOOTSTRAP)
    assert [found[name] for name in NAMES] == [None] * 3
    assert (found["n_runs"], found["n_tasks"], found["n_tasks_lost"]) == (0, 0, 0)
    assert found["intervals"] == dict.fromkeys(NAMES, NO_INTERVAL)


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_the_rows_changes_nothing_that_a_policy_does(
    sweep: Any, backtest: Any, seed: int
) -> None:
    log, texts = sweep(seed, n_runs=20), [*POLICIES, "never:0.5+slower:0.6"]

    def entries(rows: Any) -> Any:
        found = backtest(rows, names=["model"])
        arguments = (found.recorded, found.truth, found.horizon, [found.replay], found.known)
        return policy_entries(*arguments, texts, Bootstrap(n_replicates=100))

    expected = entries(log)
    assert sum(entry["n_stopped"] for entry in expected) > 0
    assert entries(log.sample(frac=1.0, random_state=seed)) == expected
    assert entries(log[::-1]) == expected


def test_runs_are_taken_whole_and_in_the_order_asked_for(sweep: Any, read: Any) -> None:
    log = sweep(0, n_runs=5)
    recorded = read(log[::-1].sort_values("run_id", kind="stable", ascending=False))
    names = [recorded.names[run] for run in recorded.by_name]
    assert names == sorted(recorded.names) != list(recorded.names)
    runs = runs_at(recorded.runs, recorded.by_name[[3, 1]])
    expected = [log.loc[log.run_id == names[i], "loss"].to_numpy() for i in (3, 1)]
    np.testing.assert_array_equal(runs.rows.loss, np.concatenate(expected))
    assert (runs.starts.tolist(), runs.lengths.tolist()) == ([0, 40], [40, 40])


def test_the_table_shows_an_interval_where_there_is_one(
    made_up: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"budget": 25.0, "policy": "slower", "task": None, **of_all(*made_up(1), None)}
    entry |= {"epochs_saved": 0.25, "slowdown": 1.5}
    shown = {"epochs_saved": {"lower": 0.125, "upper": 0.5}, "slowdown": NO_INTERVAL}
    counts = dict.fromkeys(("n_runs", "n_lineages", "n_reached", "n_not_reached"), 60)
    results = {"budgets": [25.0], "scores": [], "comparisons": [], "level": 0.9}
    results |= {"runs": {**counts, "n_unfinished": 0}, "policies": [{**entry, "intervals": shown}]}
    show(results)
    row = capsys.readouterr().out.splitlines()[2]
    assert "25.0% (12.5% to 50.0%)" in row
    assert row.endswith("  1.50")
