"""Stopping, on a sweep small enough to follow by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.backtesting.consequences import consequences
from epochs_left.backtesting.policies import POLICIES, Candidate, parsed_policies
from epochs_left.backtesting.policy_results import policy_entries
from epochs_left.backtesting.recorded import Recorded
from epochs_left.backtesting.scores import Bootstrap
from epochs_left.backtesting.stopping import Field, stop_runs
from epochs_left.errors import UsageError

EVERY = np.ones(6, dtype=np.bool_)
BOOTSTRAP = Bootstrap(n_replicates=200, seed=0)


def losses_of(levels: list[float]) -> pd.DataFrame:
    """Six runs of four rows, each at a level throughout."""

    return pd.DataFrame(
        {
            "run_id": np.repeat([f"r{i}" for i in range(6)], 4),
            "epoch": np.tile(range(4), 6),
            "loss": np.repeat(levels, 4),
        }
    )


@pytest.fixture
def by_hand(read: Any) -> Field:
    """Six runs, the last two of a second task; each is stopped after 2 of its epochs, or never.

    ======  =====  ====  ===  =========
    run     time   end   p    earliest
    ======  =====  ====  ===  =========
    0       20     20    .9   15
    1       never  40    .02  30
    2       10     10    .8   25         said to be slower than run 0, and is not
    3       30     30    .01  8          said never to reach, and does
    4       25     25    .9   25
    5       never  40    .5   30
    ======  =====  ====  ===  =========
    """
    recorded: Recorded = read(losses_of([1, 4, 2, 3, 1, 5]))
    return Field(
        task=np.array([0, 0, 0, 0, 1, 1]),
        lineage=np.arange(6),
        end=np.array([20.0, 40, 10, 30, 25, 40]),
        time=np.array([20, np.inf, 10, 30, 25, np.inf]),
        open=EVERY,
        cut=np.full(6, 2.0),
        p_converges=np.array([0.9, 0.02, 0.8, 0.01, 0.9, 0.5]),
        earliest={0.9: np.array([15.0, 30, 25, 8, 25, 30])},
        runs=recorded.runs,
    )


def stopped(text: str, field: Field) -> tuple[list[int], list[int]]:
    """The runs that are stopped, and those of them rightly."""
    stops = stop_runs(parsed_policies(text), field)
    return np.flatnonzero(stops.stopped).tolist(), np.flatnonzero(stops.right).tolist()


def test_never_stops_what_is_predicted_never_to_reach(by_hand: Field) -> None:
    assert stopped("never:0.95", by_hand) == ([1, 3], [1])
    assert stopped("never:0.985", by_hand) == ([3], [])
    assert stopped("never:0.4", by_hand) == ([1, 3, 5], [1, 5])


def test_slower_stops_what_is_later_than_the_best_before_it(by_hand: Field) -> None:
    """Run 4 has no earlier run in its task; run 5 is later than run 4."""
    assert stopped("slower:0.9", by_hand) == ([1, 2, 5], [1, 5])


def test_a_run_that_was_stopped_is_no_best_for_those_after_it(by_hand: Field) -> None:
    slow_first = replace(
        by_hand, p_converges=np.array([0.0, 0.9, 0.9, 0.9, 0.9, 0.9]), task=np.zeros(6, dtype=int)
    )
    assert stopped("never+slower", slow_first)[0] == [0, 4, 5]


def test_median_stops_what_is_worse_than_the_median_of_three_completed_runs(
    by_hand: Field,
) -> None:
    """Runs 0, 1 and 2 have means 1, 4 and 2: run 3, at 3, is above their median of 2."""
    assert stopped("median", by_hand) == ([3], [3])
    assert stopped("median", replace(by_hand, open=~EVERY)) == ([], [])


def test_several_policies_stop_what_any_of_them_stops(by_hand: Field) -> None:
    assert stopped("never:0.95+slower:0.9", by_hand)[0] == [1, 2, 3, 5]
    assert stopped("never+slower", by_hand) == stopped("slower + never", by_hand)


def test_consequences_are_those_counted_by_hand(by_hand: Field) -> None:
    found = consequences(by_hand, stop_runs(parsed_policies("slower:0.9"), by_hand), EVERY, None)
    assert found["n_stopped"] == 3
    assert (found["n_rightly"], found["n_wrongly"]) == (2, 1)
    assert found["epochs"] == 165
    assert found["epochs_saved"] == pytest.approx((38 + 8 + 38) / 165)
    assert (found["n_tasks"], found["n_best_stopped"], found["n_tasks_lost"]) == (2, 1, 0)
    assert found["slowdown"] == pytest.approx(np.sqrt(20 / 10))
    assert found["extra_epochs"] == pytest.approx((20 - 10) / 2)


def test_a_task_is_lost_whose_every_reaching_run_is_stopped(by_hand: Field) -> None:
    hopeless = replace(by_hand, p_converges=np.zeros(6))
    found = consequences(hopeless, stop_runs(parsed_policies("never"), hopeless), EVERY, None)
    assert (found["n_tasks_lost"], found["slowdown"], found["extra_epochs"]) == (2, None, None)


def test_who_stops_nothing_saves_nothing_and_regrets_nothing(by_hand: Field) -> None:
    closed = replace(by_hand, open=~EVERY, cut=np.full(6, np.nan))
    for text in POLICIES:
        found = consequences(closed, stop_runs(parsed_policies(text), closed), EVERY, None)
        assert (found["n_stopped"], found["epochs_saved"], found["slowdown"]) == (0, 0.0, 1.0)


def test_no_prediction_stops_nothing() -> None:
    nothing = Candidate(
        p_converges=np.nan, earliest=np.nan, best=1.0, lowest_loss=1.0, usual_loss=np.nan
    )
    assert not any(policy.stops(nothing) for name in POLICIES for policy in parsed_policies(name))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nevr", "unknown policy 'nevr', did you mean 'never'"),
        ("never:2", "between 0 and 1, got '2'; write never:0.95"),
        ("slower:0.5", "between 0.5 and 1, got '0.5'; write slower:0.9"),
        ("never:x", "got 'x'"),
        ("median:0.9", "write median"),
        ("never+", "unknown policy ''"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed_policies(text)
    assert says in str(caught.value)


def test_policies_act_on_the_models_forecasts(sweep: Any, backtest: Any) -> None:
    found = backtest(sweep(0, n_runs=20))
    arguments = (found.recorded, found.truth, found.horizon, [found.replay], found.known)
    pooled, *by_task = policy_entries(*arguments, ["never:0.5+slower:0.6"], BOOTSTRAP)
    assert (pooled["task"], [entry["task"] for entry in by_task]) == (None, ["even", "odd"])
    for name in ("n_runs", "n_open", "n_stopped", "n_rightly", "n_wrongly", "epochs", "n_tasks"):
        assert pooled[name] == sum(entry[name] for entry in by_task)
    assert pooled["n_stopped"] == pooled["n_rightly"] + pooled["n_wrongly"] > 0
