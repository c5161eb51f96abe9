"""What runs are asked for: their own criterion, further thresholds, plateaus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.dynamics.targets import LATEST_PLATEAU, first_below, plateau_epoch, record_epochs
from epochs_left.prediction.goals import PLATEAU_SHARES, Goal, extra_goals, primary_goals
from epochs_left.schema import Outcome, TargetKind
from epochs_left.seeding import content_id

HORIZON = 60
N_RUNS = 400
ROOT_SEED = 5


def draw_losses(seed: int = 0, n_runs: int = N_RUNS) -> list[np.ndarray]:
    """Noisy decays; two of three last to the horizon."""
    rng = np.random.default_rng(seed)
    lengths = np.where(rng.random(n_runs) < 1 / 3, rng.integers(1, HORIZON, n_runs), HORIZON + 1)
    return [
        np.float32(rng.uniform(0, 0.3) + np.exp(-rng.uniform(0.02, 0.3) * np.arange(n)))
        * np.exp(0.05 * rng.normal(size=n))
        for n in lengths
    ]


def runs_of(losses: Sequence[np.ndarray], names: Sequence[str] | None = None) -> pa.Table:
    """Rows of runs.parquet: capped where the run lasted to the horizon, else converged."""
    n = len(losses)
    full = [loss.size == HORIZON + 1 for loss in losses]
    return pa.table(
        {
            "run_id": [content_id({"run": i}) for i in range(n)] if names is None else names,
            "outcome": [
                (Outcome.CAPPED if is_full else Outcome.CONVERGED).value for is_full in full
            ],
            "outcome_epoch": [loss.size - 1 for loss in losses],
            "max_epochs": [HORIZON] * n,
            "epsilon": [0.01 * (i + 1) for i in range(n)],
        }
    )


LOSSES = draw_losses()
RUNS = runs_of(LOSSES)
GOALS = extra_goals(RUNS, LOSSES, 1.0, ROOT_SEED)


def of_kind(kind: TargetKind) -> list[tuple[np.ndarray, Goal]]:
    pairs = zip(LOSSES, GOALS, strict=True)
    return [(loss, goal) for loss, goal in pairs if goal is not None and goal.kind is kind]


def fields(goal: Goal | None) -> tuple[object, ...]:
    """For comparison: NaN is equal to NaN."""
    return () if goal is None else tuple(map(str, vars(goal).values()))


def test_the_primary_goal_is_the_run_s_own_criterion() -> None:
    goals = primary_goals(RUNS)
    assert [goal.target for goal in goals] == RUNS["epsilon"].to_pylist()
    assert [goal.epoch for goal in goals] == RUNS["outcome_epoch"].to_pylist()
    converged = [outcome == "converged" for outcome in RUNS["outcome"].to_pylist()]
    assert [goal.reached for goal in goals] == converged
    assert all(np.isnan(goal.plateau) for goal in goals)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.CONVERGED])
def test_no_other_outcome_reaches_the_criterion(outcome: Outcome) -> None:
    runs = RUNS.set_column(1, "outcome", pa.array([outcome.value] * len(RUNS)))
    assert not any(goal.reached for goal in primary_goals(runs))


def test_a_goal_depends_on_its_own_run_alone() -> None:
    order = np.random.default_rng(0).permutation(N_RUNS)[:50]
    alone = extra_goals(RUNS.take(order), [LOSSES[i] for i in order], 1.0, ROOT_SEED)
    assert list(map(fields, alone)) == [fields(GOALS[i]) for i in order]


def test_a_goal_depends_on_the_root_seed_and_the_run_id() -> None:
    same_curve = [LOSSES[3]] * 40
    names = [content_id({"other": i}) for i in range(40)]
    goals = [extra_goals(runs_of(same_curve, names), same_curve, 1.0, seed) for seed in (0, 1)]
    assert len({fields(goal) for part in goals for goal in part}) > 60


def test_a_larger_share_keeps_the_goals_of_a_smaller_one() -> None:
    few, many = (extra_goals(RUNS, LOSSES, share, ROOT_SEED) for share in (0.2, 0.6))
    for small, large, whole in zip(few, many, GOALS, strict=True):
        assert small is None or fields(small) == fields(large)
        assert large is None or fields(large) == fields(whole)
    counts = [sum(goal is not None for goal in goals) / N_RUNS for goals in (few, many)]
    np.testing.assert_allclose(counts, [0.2, 0.6], atol=0.08)
    assert not any(extra_goals(RUNS, LOSSES, 0.0, ROOT_SEED))


def test_every_reached_threshold_is_reached_exactly_at_its_epoch() -> None:
    reached = [(loss, goal) for loss, goal in of_kind(TargetKind.THRESHOLD) if goal.reached]
    assert len(reached) > 100
    for loss, goal in reached:
        assert first_below(loss, goal.target) == goal.epoch >= 1
        assert np.isnan(goal.plateau)


def test_thresholds_out_of_reach_lie_below_all_that_a_capped_run_reached() -> None:
    missed = [(loss, goal) for loss, goal in of_kind(TargetKind.THRESHOLD) if not goal.reached]
    assert len(missed) > 20
    for loss, goal in missed:
        assert loss.min() / 10 <= goal.target <= loss.min()
        assert first_below(loss, goal.target) is None
        assert goal.epoch == loss.size - 1 == HORIZON  # runs that converged stop early on purpose


def test_epochs_of_thresholds_are_spread_over_the_run() -> None:
    """And not crowded where the loss falls at every epoch."""
    rng = np.random.default_rng(1)
    losses = [np.exp(-rng.uniform(0.1, 0.2) * np.arange(HORIZON + 1)) for _ in range(N_RUNS)]
    goals = extra_goals(runs_of(losses), losses, 1.0, ROOT_SEED)
    epochs = [
        goal.epoch for goal in goals if goal and goal.kind is TargetKind.THRESHOLD and goal.reached
    ]
    counts = np.histogram(epochs, bins=[1, 16, 31, 46, HORIZON + 1])[0] / len(epochs)
    np.testing.assert_allclose(counts, 0.25, atol=0.1)


def test_plateaus_are_asked_of_runs_of_full_length_alone() -> None:
    plateaus = of_kind(TargetKind.PLATEAU)
    assert len(plateaus) > 80
    for loss, goal in plateaus:
        assert loss.size == HORIZON + 1
        assert np.isnan(goal.target)
        assert PLATEAU_SHARES[0] <= goal.plateau <= PLATEAU_SHARES[1]
        epoch = plateau_epoch(loss, goal.plateau)
        assert goal.reached == (epoch is not None)
        assert goal.epoch == (HORIZON if epoch is None else epoch)
        assert not goal.reached or goal.epoch <= LATEST_PLATEAU * HORIZON
    assert {goal.reached for _, goal in plateaus} == {True, False}


def test_plateau_shares_are_even_on_the_log_scale() -> None:
    shares = np.log([goal.plateau for _, goal in of_kind(TargetKind.PLATEAU)])
    low, high = np.log(PLATEAU_SHARES)
    counts = np.histogram(shares, bins=np.linspace(low, high, 4))[0] / shares.size
    np.testing.assert_allclose(counts, 1 / 3, atol=0.12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_curves_that_are_no_positive_numbers_are_asked_for_nothing(bad: float) -> None:
    broken = [np.append(loss[:-1], bad) for loss in LOSSES[:50]]
    assert not any(extra_goals(RUNS.slice(0, 50), broken, 1.0, ROOT_SEED))


def test_a_converged_run_that_never_falls_is_asked_for_nothing() -> None:
    rising = [np.linspace(1, 2, 20)] * 50
    assert not record_epochs(rising[0]).size
    names = [content_id({"rising": i}) for i in range(50)]
    assert not any(extra_goals(runs_of(rising, names), rising, 1.0, ROOT_SEED))
