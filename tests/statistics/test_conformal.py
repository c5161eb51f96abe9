"""Group conformal offsets: against the order statistic, and by their coverage of new runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from epochs_left.statistics.conformal import (
    LEVELS,
    centre_and_half_width,
    conformal_offsets,
    offsets_at,
)
from epochs_left.statistics.folds import grouped_folds, row_wise_folds

SEEDS = range(5)


def residuals(seed: int, n_groups: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), rng.integers(1, 30, size=n_groups))
    return rng.normal(size=n_groups)[group] + 0.1 * rng.normal(size=group.size), group


@pytest.mark.parametrize("n_groups", [19, 20, 99, 100, 250])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.8, 0.9])
def test_one_row_a_group_is_the_split_conformal_order_statistic(
    n_groups: int, level: float
) -> None:
    """With single rows the rank is ceil((1 - alpha / 2) (K + 1)), counted from either side."""
    values = np.random.default_rng(n_groups).normal(size=n_groups)
    rank = math.ceil(round((1 + level) / 2 * (n_groups + 1), 9))
    ordered = np.sort(values)
    _, lower, upper = conformal_offsets(values, np.arange(n_groups), levels=[level])
    assert upper[0] == ordered[rank - 1]
    assert lower[0] == ordered[n_groups - rank]


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_equal_a_slow_reference(seed: int) -> None:
    """Search every residual for the smallest one that enough of the groups' mass lies below."""
    values, group = residuals(seed)
    n_groups = np.unique(group).size

    def mass_within(bound: float) -> float:
        shares = [np.mean(values[group == name] <= bound) for name in range(n_groups)]
        return float(np.sum(shares)) / (n_groups + 1)

    for level in (0.3, 0.8, 0.9):
        wanted = (1 + level) / 2 - 1e-12
        slow = min(value for value in values if mass_within(value) >= wanted)
        assert conformal_offsets(values, group, levels=[level])[2][0] == slow


@pytest.mark.parametrize("seed", SEEDS)
def test_higher_levels_are_never_narrower(seed: int) -> None:
    levels, lower, upper = conformal_offsets(*residuals(seed))
    assert np.all(np.diff(levels) > 0)
    assert np.all(np.diff(lower) <= 0)
    assert np.all(np.diff(upper) >= 0)
    assert np.all(lower <= upper)


@pytest.mark.parametrize("seed", SEEDS)
def test_more_rows_of_the_same_run_change_nothing(seed: int) -> None:
    values, group = residuals(seed)
    times = np.where(group == 3, 50, 1)
    plain = conformal_offsets(values, group)
    repeated = conformal_offsets(np.repeat(values, times), np.repeat(group, times))
    for one, other in zip(plain, repeated, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_mirrored_residuals_mirror_the_offsets(seed: int) -> None:
    values, group = residuals(seed)
    _, lower, upper = conformal_offsets(values, group)
    _, mirrored_lower, mirrored_upper = conformal_offsets(-values, group)
    np.testing.assert_array_equal(mirrored_lower, -upper)
    np.testing.assert_array_equal(mirrored_upper, -lower)


def test_weights_share_the_mass_within_a_group() -> None:
    values, group = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 0, 1, 1])
    heavy_low = conformal_offsets(values, group, np.array([9.0, 1.0, 9.0, 1.0]), levels=[0.1])
    heavy_high = conformal_offsets(values, group, np.array([1.0, 9.0, 1.0, 9.0]), levels=[0.1])
    assert heavy_low[2][0] == 0.0
    assert heavy_high[2][0] == 1.0


def test_a_group_counts_for_what_its_rows_weigh() -> None:
    """By hand: 4 groups have 4 / 5 of the mass, and weights 1, 1, 1, 5 share it by eighths."""
    values, group, weight = np.arange(4.0), np.arange(4), np.array([1.0, 1.0, 1.0, 5.0])
    _, lower, upper = conformal_offsets(values, group, weight, levels=[0.3, 0.5])
    assert upper.tolist() == [3.0, 3.0]  # from below .1, .2, .3 and .8 against .65 and .75
    assert lower.tolist() == [1.0, 0.0]  # from above .5, .6, .7 and .8 against the same
    heavier = conformal_offsets(values, group, 7 * weight, levels=[0.3, 0.5])
    np.testing.assert_array_equal(heavier[1:], [lower, upper])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_groups", [2, 4, 19, 39])
def test_a_new_group_has_the_mass_of_one_in_k_plus_1_whatever_the_weights(
    seed: int, n_groups: int
) -> None:
    """The highest level is 1 - 2 / (K + 1), also where one group outweighs all the others."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), rng.integers(1, 9, n_groups))
    weight = np.exp(3 * rng.normal(size=group.size))
    weight[group == 0] *= 1e4
    highest = 1 - 2 / (n_groups + 1)
    wanted = [highest - 1e-6, highest, highest + 1e-6]
    levels, lower, upper = conformal_offsets(rng.normal(size=group.size), group, weight, wanted)
    assert levels.tolist() == wanted[:2]
    assert np.isfinite([lower, upper]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_are_covered_where_lonely_ones_are_the_hard_ones(seed: int) -> None:
    """Lineages of which one run converged are the hard ones; runs are what is counted."""
    rng = np.random.default_rng(seed)
    n_runs = rng.choice([1, 4], 4_000)
    group = np.repeat(np.arange(n_runs.size), n_runs)
    values = rng.normal(size=group.size) * np.where(n_runs[group] == 1, 3.0, 1.0)
    known = group < 3_000
    covered = {}
    for name, weight in (("runs", np.ones(group.size)), ("lineages", 1 / n_runs[group])):
        _, lower, upper = conformal_offsets(
            values[known], group[known], weight[known], levels=[0.9]
        )
        inside = (values[~known] >= lower[0]) & (values[~known] <= upper[0])
        covered[name] = inside.mean()
    assert covered["runs"] == pytest.approx(0.9, abs=0.02)
    assert covered["lineages"] > 0.93


def test_levels_that_the_groups_cannot_support_are_left_out() -> None:
    for n_groups in (1, 2, 19, 39):
        levels, _, _ = conformal_offsets(np.arange(n_groups) * 1.0, np.arange(n_groups))
        assert levels.tolist() == [x for x in LEVELS if x <= 1 - 2 / (n_groups + 1) + 1e-9]


GRID = (np.array([0.5, 0.8, 0.9]), np.array([-1.0, -2.0, -3.0]), np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("level", "bound"), [(0.1, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.85, 3), (0.9, 3)]
)
def test_between_grid_points_the_next_level_answers(level: float, bound: float) -> None:
    assert offsets_at(level, GRID) == (-bound, bound)


def test_above_the_grid_nothing_finite_is_supported() -> None:
    assert offsets_at(0.95, GRID) == (-math.inf, math.inf)
    assert offsets_at(0.5, (np.empty(0), np.empty(0), np.empty(0))) == (-math.inf, math.inf)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5, math.nan])
def test_level_outside_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie in"):
        offsets_at(level, GRID)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_row_is_so_certain_that_its_score_is_infinite(seed: int) -> None:
    """Quantiles of 1 of 3 rows coincide; a run still ends within 1 % of no prediction by law."""
    rng = np.random.default_rng(seed)
    values, group = residuals(seed)
    quantiles = values[:, None] + rng.normal(size=(values.size, 2))
    quantiles[::3, 1] = quantiles[::3, 0]
    centre, half_width = centre_and_half_width(quantiles)
    assert half_width.min() == pytest.approx(0.01)
    _, lower, upper = conformal_offsets((values - centre) / half_width, group)
    assert np.isfinite([lower, upper]).all()


def nearest(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A model that memorises: the target of the training row with the nearest feature."""
    return y[np.argmin(abs(at[:, None] - x), axis=1)]


def coverage_of_new_runs(seed: int, level: float) -> tuple[float, float]:
    """Coverage by group conformal and by row-wise split conformal, same data and model.

    The rows of a run share a feature and an error, so a memorising model knows a run that it has
    seen: row-wise calibration residuals are those of known runs.
    """
    rng = np.random.default_rng(seed)
    n_runs, n_new = 40, 40
    rows = rng.integers(3, 12, size=n_runs)
    run = np.repeat(np.arange(n_runs), rows)
    feature, effect = rng.normal(size=(2, n_runs + n_new))
    x, y = feature[run], (feature + effect)[run] + 0.05 * rng.normal(size=run.size)
    new = np.arange(n_runs, n_runs + n_new)
    actual = (feature + effect)[new] + 0.05 * rng.normal(size=n_new)

    out_of_fold = np.empty_like(y)
    for train, test in grouped_folds(run, 5, seed):
        out_of_fold[test] = nearest(x[train], y[train], x[test])
    by_group = offsets_at(level, conformal_offsets(y - out_of_fold, run))
    grouped = actual - nearest(x, y, feature[new])

    train, held_out = row_wise_folds(run.size, 2, seed)[0]
    leaked = y[held_out] - nearest(x[train], y[train], x[held_out])
    by_row = offsets_at(level, conformal_offsets(leaked, np.arange(held_out.size)))
    split = actual - nearest(x[train], y[train], feature[new])
    return (
        float(np.mean((by_group[0] <= grouped) & (grouped <= by_group[1]))),
        float(np.mean((by_row[0] <= split) & (split <= by_row[1]))),
    )


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_new_runs_are_covered_and_row_wise_conformal_under_covers(level: float) -> None:
    """Over 100 data sets; the standard error of the mean coverage is below .01."""
    grouped, row_wise = np.mean([coverage_of_new_runs(s, level) for s in range(100)], axis=0)
    assert level - 0.02 <= grouped <= level + 0.08
    assert row_wise < level - 0.1
