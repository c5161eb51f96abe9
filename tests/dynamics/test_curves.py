"""Loss curves seen from epoch t backwards."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.dynamics.curves import (
    EPOCH_LIMIT,
    LOG_LIMIT,
    aitken_limit,
    epochs_at_slope,
    lagged,
    safe_log,
    trailing_mean,
    trailing_slope,
)

SEEDS = range(5)


def curves(seed: int, n_epochs: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, n_epochs))


def test_safe_log_is_the_log_within_its_bounds() -> None:
    values = np.array([[1.0, np.e, 0.0, -1.0, np.inf, np.nan, 1e-300]])
    logs = [[0.0, 1.0, -LOG_LIMIT, LOG_LIMIT, LOG_LIMIT, LOG_LIMIT, -LOG_LIMIT]]
    np.testing.assert_allclose(safe_log(values), logs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [1, 4, 16])
def test_trailing_quantities_equal_the_obvious_loops(seed: int, window: int) -> None:
    values = curves(seed)
    slope, average, before = np.empty_like(values), np.empty_like(values), np.empty_like(values)
    for run, row in enumerate(values):
        for t in range(row.size):
            start = max(t - window, 0)
            before[run, t] = row[start]
            slope[run, t] = (row[t] - row[start]) / max(t - start, 1)
            average[run, t] = np.mean(row[max(t - window + 1, 0) : t + 1])
    np.testing.assert_array_equal(lagged(values, window), before)
    np.testing.assert_allclose(trailing_slope(values, window), slope)
    np.testing.assert_allclose(trailing_mean(values, window), average)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_later_changes_nothing(seed: int) -> None:
    values = curves(seed)
    for function in (
        safe_log,
        lambda v: lagged(v, 4),
        lambda v: trailing_slope(v, 4),
        lambda v: trailing_mean(v, 16),
        aitken_limit,
    ):
        whole = function(values)
        for seen in (1, 2, 5, 20):
            np.testing.assert_array_equal(function(values[:, :seen]), whole[:, :seen])


@pytest.mark.parametrize("floor", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, -0.5])
def test_aitken_is_exact_on_a_floor_plus_a_geometric_decay(floor: float, rate: float) -> None:
    values = floor + 2.0 * rate ** np.arange(12)[None, :]
    np.testing.assert_allclose(aitken_limit(values)[:, 2:], floor, atol=1e-9)
    np.testing.assert_array_equal(aitken_limit(values)[:, :2], values[:, :2])


@pytest.mark.parametrize("rate", [1.0, 1.5, -1.0])
def test_aitken_has_no_limit_where_the_steps_do_not_shrink(rate: float) -> None:
    values = 1.0 + rate ** np.arange(8)[None, :]
    np.testing.assert_array_equal(aitken_limit(values), values)


@pytest.mark.parametrize("seed", SEEDS)
def test_epochs_at_slope_are_those_of_the_straight_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gap, slope = rng.uniform(0, 20, 50), -rng.uniform(1e-3, 3, 50)
    np.testing.assert_allclose(gap + slope * epochs_at_slope(gap, slope), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("gap", "slope", "expected"),
    [
        (-1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, EPOCH_LIMIT),
        (1.0, 0.5, EPOCH_LIMIT),
        (1.0, -1e-300, EPOCH_LIMIT),
    ],
)
def test_epochs_at_slope_at_the_edges(gap: float, slope: float, expected: float) -> None:
    assert epochs_at_slope(np.array([gap]), np.array([slope]))[0] == expected
