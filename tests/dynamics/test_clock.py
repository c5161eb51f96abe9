"""The cumulative learning rate as a clock."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.dynamics.clock import (
    RATE_CHANGE,
    epochs_until,
    rate_in_force,
    since_rate_change,
    time_on_clock,
)
from epochs_left.dynamics.schedules import SCHEDULES, learning_rates
from epochs_left.trajectories import pad

SEEDS = range(4)
HORIZONS = (3, 10, 37)


def plans(schedule: str, lr: float = 0.3) -> np.ndarray:
    """A run of each horizon, padded, shape ``(R, max H + 1)``."""
    rates = [learning_rates(schedule, lr, horizon) for horizon in HORIZONS]
    return pad(np.concatenate(rates), np.array([rate.size for rate in rates]))


def slow_time(plan: np.ndarray, epoch: int) -> float:
    """Pass by pass; the last rate stays in force."""
    known = plan[~np.isnan(plan)]
    return float(sum(known[min(done, known.size - 1)] for done in range(epoch)))


@pytest.mark.parametrize("lr", [1e-3, 0.5, 7.0])
def test_with_a_constant_rate_the_clock_is_proportional_to_the_epoch(lr: float) -> None:
    epoch = np.arange(100.0)[None, :].repeat(len(HORIZONS), axis=0)
    np.testing.assert_allclose(time_on_clock(plans("constant", lr), epoch), lr * epoch, rtol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_clock_is_the_sum_of_the_rates_of_the_passes_done(schedule: str) -> None:
    planned = plans(schedule)
    epoch = np.arange(60.0)[None, :].repeat(len(HORIZONS), axis=0)
    found = time_on_clock(planned, epoch)
    for row, plan in enumerate(planned):
        expected = [slow_time(plan, int(t)) for t in epoch[row]]
        np.testing.assert_allclose(found[row], expected, rtol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_clock_is_inverted_up_to_the_horizon(schedule: str) -> None:
    planned = plans(schedule)
    for row, horizon in enumerate(HORIZONS):
        epoch = np.arange(horizon + 1.0)[None, :]
        plan = planned[row : row + 1]
        np.testing.assert_allclose(epochs_until(plan, time_on_clock(plan, epoch)), epoch, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_between_two_epochs_the_rate_in_force_counts(schedule: str, seed: int) -> None:
    planned = plans(schedule)
    rng = np.random.default_rng(seed)
    whole = np.stack([rng.integers(0, horizon, 20) for horizon in HORIZONS]).astype(float)
    share = rng.random(whole.shape)
    clock = time_on_clock(planned, whole) + share * rate_in_force(planned, whole)
    np.testing.assert_allclose(epochs_until(planned, clock), whole + share, atol=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_beyond_the_horizon_the_last_rate_stays_in_force(schedule: str) -> None:
    planned = plans(schedule)
    late = np.array([[horizon + 1.0, horizon + 50.0, 10.0 * horizon] for horizon in HORIZONS])
    last = np.array([learning_rates(schedule, 0.3, horizon)[-1:] for horizon in HORIZONS])
    clock = time_on_clock(planned, late)
    at_horizon = time_on_clock(planned, np.array(HORIZONS, dtype=float)[:, None])
    expected = at_horizon + last * (late - np.array(HORIZONS)[:, None])
    np.testing.assert_allclose(clock, expected, rtol=1e-12)
    np.testing.assert_allclose(epochs_until(planned, clock), late, rtol=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_a_rate_that_has_fallen_to_zero_gets_nowhere(schedule: str) -> None:
    planned = plans(schedule)
    horizon = np.array(HORIZONS, dtype=float)[:, None]
    end = time_on_clock(planned, horizon)
    np.testing.assert_array_equal(time_on_clock(planned, horizon + 99), end)
    assert np.isinf(epochs_until(planned, end * (1 + 1e-9))).all()
    np.testing.assert_allclose(epochs_until(planned, end), horizon)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_plans_of_other_runs_change_no_bit(schedule: str) -> None:
    planned = plans(schedule)
    rng = np.random.default_rng(0)
    epoch = rng.integers(0, 200, (len(HORIZONS), 300)).astype(float)
    clock = rng.uniform(0, 30, epoch.shape)
    for row, horizon in enumerate(HORIZONS):
        alone = planned[row : row + 1, : horizon + 1]
        for function, times in (
            (time_on_clock, epoch),
            (rate_in_force, epoch),
            (epochs_until, clock),
        ):
            found = function(planned, times)[row]
            assert found.tobytes() == function(alone, times[row : row + 1])[0].tobytes()


def row_by_row(planned: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """What `epochs_until` finds, by numpy's search in one plan after another."""
    epochs = np.empty(clock.shape)
    for row, plan in enumerate(planned):
        known = plan[~np.isnan(plan)]
        total = np.concatenate([[0.0], np.cumsum(known)])
        reached = np.searchsorted(total, clock[row])
        end = np.clip(reached, 1, known.size)
        pace = np.where(reached > known.size, known[-1:].sum(), total[end] - total[end - 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            epochs[row] = np.where(reached > 0, end - (total[end] - clock[row]) / pace, 0.0)
    return epochs


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 9, 100])
def test_all_rows_at_once_are_to_the_bit_what_each_row_is_alone(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = rng.choice([0.0, 1e-9, 0.1, 0.3, 1e300], (30, width))
    lengths = rng.integers(1, width + 1, 30)
    planned = np.where(np.arange(width) < lengths[:, None], rates, np.nan)
    with np.errstate(over="ignore"):
        exact = time_on_clock(planned, rng.integers(0, width + 2, (30, 20)).astype(float))
        clock = np.concatenate([exact, rng.exponential(1.0, (30, 20)) * width], axis=1)
        clock[:, ::9] = rng.choice([-1.0, 0.0, np.inf, np.nan], clock[:, ::9].shape)
        assert epochs_until(planned, clock).tobytes() == row_by_row(planned, clock).tobytes()


def test_a_run_without_a_plan_gets_nowhere_and_spoils_no_neighbour() -> None:
    planned = np.stack([np.full(3, np.nan), np.full(3, 0.5)])
    found = epochs_until(planned, np.array([[0.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(found, [[0.0, np.inf], [0.0, 2.0]])


def test_what_is_reached_before_the_start_is_reached_at_once() -> None:
    clock = np.array([[-1.0, 0.0, 1e-9]])
    found = epochs_until(plans("constant", 1.0)[:1], clock)
    np.testing.assert_allclose(found, [[0.0, 0.0, 1e-9]], atol=1e-12)


def test_padding_is_at_time_zero_and_spoils_no_neighbour() -> None:
    planned = plans("cosine")[:1]
    found = time_on_clock(planned, np.array([[1.0, np.nan, 2.0]]))
    expected = [slow_time(planned[0], 1), 0.0, slow_time(planned[0], 2)]
    np.testing.assert_allclose(found[0], expected)


def drawn_rates(seed: int, n_runs: int = 20, n_epochs: int = 30) -> np.ndarray:
    """Rates that stay, drift, jump, and are 0 now and then, NaN in the padding."""
    rng = np.random.default_rng(seed)
    jumps = rng.choice(
        [0.0, 0.05, -0.05, 1.0, -1.0], (n_runs, n_epochs), p=[0.5, 0.2, 0.1, 0.1, 0.1]
    )
    rates = 0.1 * np.exp(np.cumsum(jumps, axis=1))
    rates[rng.random(rates.shape) < 0.1] = 0.0
    lengths = rng.integers(1, n_epochs + 1, n_runs)
    return np.where(np.arange(n_epochs) < lengths[:, None], rates, np.nan)


def slow_changes(rates: np.ndarray) -> list[int]:
    """One epoch after another: from and to 0 it is a change, however small the rate."""
    found, latest = [], 0
    for t, rate in enumerate(rates):
        before = rates[t - 1] if t else rate
        from_or_to_zero = (before == 0) != (rate == 0)
        if from_or_to_zero or (before > 0 and abs(np.log(rate / before)) > RATE_CHANGE):
            latest = t
        found.append(latest)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_latest_change_of_the_rate_is_that_of_a_slow_loop(seed: int) -> None:
    rates = drawn_rates(seed)
    found = since_rate_change(rates)
    assert found.shape == rates.shape
    for row, run in zip(found, rates, strict=True):
        known = run[~np.isnan(run)]
        assert row[: known.size].tolist() == slow_changes(known)
    assert len(np.unique(found)) > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_later_rates_move_no_change_and_their_unit_does_not_count(seed: int) -> None:
    rates = drawn_rates(seed)
    whole = since_rate_change(rates)
    for seen in range(1, rates.shape[1]):
        np.testing.assert_array_equal(since_rate_change(rates[:, :seen]), whole[:, :seen])
    np.testing.assert_array_equal(since_rate_change(1e-7 * rates), whole)


@pytest.mark.parametrize("horizon", [30, 100])
def test_drops_are_changes_and_a_smooth_schedule_has_none_but_at_its_end(horizon: int) -> None:
    """Where a rate falls to 0 its last steps are large, whatever the schedule."""
    for schedule in ("cosine", "linear", "trapezoid"):
        rates = learning_rates(schedule, 0.1, horizon)[None, :-1]
        assert since_rate_change(rates)[0, horizon * 3 // 5] == 0
        assert since_rate_change(rates)[0, -1] > 0
    dropping = since_rate_change(learning_rates("step:0.3,0.7x0.5", 0.1, horizon)[None, :-1])[0]
    assert np.unique(dropping).tolist() == [0, 3 * horizon // 10, 7 * horizon // 10]
    constant = learning_rates("constant", 0.1, horizon)[None, :]
    assert not since_rate_change(constant).any()


def test_a_change_of_a_fifth_is_where_steps_begin() -> None:
    for ratio, is_change in ((1.19, False), (1.21, True), (1 / 1.19, False), (1 / 1.21, True)):
        found = since_rate_change(np.array([[1.0, 1.0, ratio, ratio]]))
        assert found[0].tolist() == [0, 0, *(2 * [2 * is_change])]
