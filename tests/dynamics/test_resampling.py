"""Even grids over uneven times (1 s)."""

import numpy as np
import pytest

from epochs_left.dynamics.resampling import even_grid, evenly_spaced, grid_step

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_even_curve_stays_as_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 9) + rng.uniform(0.1, 5) * np.arange(30)
    values = rng.normal(size=30)
    step = grid_step(time, 500)
    assert even_grid(time, step) == pytest.approx(time)
    assert evenly_spaced(time, values, step) == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_grid_is_even_and_within_the_time_and_ends_with_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.exponential(size=40))
    step = grid_step(time, 20)
    grid = even_grid(time, step)
    assert np.diff(grid) == pytest.approx(step)
    assert grid[-1] == time[-1]
    assert time[0] - 1e-6 <= grid[0] < time[0] + step
    assert grid.size <= 20
    assert evenly_spaced(time, time, step) == pytest.approx(np.maximum(grid, time[0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_interpolation_agrees_with_a_slow_search_for_the_neighbours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, values = np.cumsum(rng.exponential(size=40)), rng.normal(size=40)
    step = grid_step(time, 30)
    for at, found in zip(even_grid(time, step), evenly_spaced(time, values, step), strict=True):
        after = next(i for i, t in enumerate(time) if t >= at - 1e-12 and i > 0)
        share = (at - time[after - 1]) / (time[after] - time[after - 1])
        assert found == pytest.approx((1 - share) * values[after - 1] + share * values[after])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_unit_of_time_changes_no_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, values = np.cumsum(rng.exponential(size=40)), rng.normal(size=40)
    in_steps = evenly_spaced(1024 * time, values, grid_step(1024 * time, 500))
    assert np.array_equal(in_steps, evenly_spaced(time, values, grid_step(time, 500)))


def test_one_long_gap_does_not_widen_the_step() -> None:
    assert grid_step(np.array([0.0, 1, 2, 3, 50]), 500) == 1
    assert grid_step(np.array([0.0, 1, 2, 3, 50]), 11) == 5


def test_a_gap_in_the_values_stays_one() -> None:
    time, values = np.arange(5.0), np.array([0, np.nan, 2, 3, 4])
    assert np.isnan(evenly_spaced(time, values, 1.0)).tolist() == [False, True, False, False, False]
    assert np.isnan(evenly_spaced(time, values, 0.5)).sum() == 3
