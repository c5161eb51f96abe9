"""Scores against scikit-learn and scipy, and against what a perfect forecaster gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, roc_auc_score

from epochs_left.backtesting.scores import (
    MIN_LINEAGES,
    Bootstrap,
    Cases,
    paired,
    score,
    weighted_spearman,
)


def made_up(seed: int, n: int = 60, **changes: Any) -> Cases:
    rng = np.random.default_rng(seed)
    time = np.where(rng.random(n) < 0.7, rng.integers(20, 90, n).astype(float), np.nan)
    predicted = np.where(np.isnan(time), 60.0, time) * rng.lognormal(0, 0.4, n)
    remaining = np.maximum(predicted - 10, 0)
    columns = {
        "time": time,
        "predicted": predicted,
        "cut": np.full(n, 10.0),
        "lower": remaining * 0.7,
        "upper": remaining * 1.6,
        "chance": rng.random(n) + 0.3 * ~np.isnan(time),
        "lineage": rng.integers(0, 25, n),
    }
    return Cases(**(columns | changes))


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn_and_scipy(seed: int) -> None:
    cases = made_up(seed)
    found = {name: each.value for name, each in score(cases, None).items()}
    use = cases.scored
    time, predicted, left = cases.time[use], cases.predicted[use], (cases.time - cases.cut)[use]
    assert found["r2"] == pytest.approx(r2_score(time, predicted))
    assert found["r2_log"] == pytest.approx(r2_score(np.log(time), np.log(predicted)))
    assert found["spearman"] == pytest.approx(spearmanr(time, predicted).statistic)
    assert found["auc"] == pytest.approx(roc_auc_score(~np.isnan(cases.time), cases.chance))
    error = np.sort(abs(predicted - time) / time)
    assert found["median_relative_error"] == pytest.approx(error[(error.size - 1) // 2])
    inside = (cases.lower[use] <= left) & (left <= cases.upper[use])
    assert found["coverage"] == pytest.approx(inside.mean())
    width = np.sort((1 + cases.upper[use]) / (1 + cases.lower[use]))
    assert found["width_factor"] == pytest.approx(width[(width.size - 1) // 2])


def test_a_perfect_forecaster_has_no_error() -> None:
    cases = made_up(0)
    time = np.where(np.isnan(cases.time), 70.0, cases.time)
    left = time - cases.cut
    perfect = made_up(
        0,
        predicted=time,
        lower=left,
        upper=left,
        chance=(~np.isnan(cases.time)).astype(float),
    )
    found = {name: each.value for name, each in score(perfect, None).items()}
    assert found.pop("median_relative_error") == 0
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_weighted_spearman_is_that_of_rows_repeated_so_often(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 8, (2, 30)).astype(float)
    weight = rng.integers(0, 4, (3, 30))
    expected = [spearmanr(np.repeat(x, w), np.repeat(y, w)).statistic for w in weight]
    np.testing.assert_allclose(weighted_spearman(x, y, weight.astype(float)), expected)


def test_spearman_of_what_does_not_vary_is_undefined() -> None:
    same, weight = np.ones(5), np.ones((1, 5))
    assert np.isnan(weighted_spearman(same, np.arange(5.0), weight)).all()
    assert np.isnan(weighted_spearman(np.arange(5.0), same, weight)).all()


def test_what_nobody_says_is_not_scored() -> None:
    nothing = np.full(60, np.nan)
    found = score(made_up(1, lower=nothing, upper=nothing, chance=nothing), None)
    assert set(found) == {"median_relative_error", "r2", "r2_log", "spearman"}
    assert not score(made_up(1, predicted=nothing, chance=nothing), None)


def test_an_upper_end_that_is_not_finite_covers_everything_above() -> None:
    cases = made_up(2, lower=np.zeros(60), upper=np.full(60, np.nan))
    found = score(cases, None)
    assert found["coverage"].value == 1
    assert np.isinf(found["width_factor"].value)


def test_intervals_hold_the_score_and_do_not_depend_on_the_order_of_the_runs() -> None:
    cases, order = made_up(3), np.random.default_rng(0).permutation(60)
    moved = Cases(**{name: values[order] for name, values in vars(cases).items()})
    bootstrap = Bootstrap(n_replicates=300, seed=1)
    found, again = score(cases, bootstrap), score(moved, bootstrap)
    for name, estimate in found.items():
        assert estimate.interval is not None
        assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
        assert again[name].value == pytest.approx(estimate.value)
        assert again[name].interval == pytest.approx(estimate.interval)


@pytest.mark.parametrize("seed", range(3))
def test_too_few_lineages_have_no_interval_and_no_winner(seed: int) -> None:
    """However many runs they have; the scores themselves are what they are."""
    bootstrap = Bootstrap(n_replicates=100)
    for n_lineages in (1, MIN_LINEAGES - 1, MIN_LINEAGES):
        good = made_up(seed, n=300, lineage=np.arange(300) % n_lineages)
        found, enough = score(good, bootstrap), n_lineages >= MIN_LINEAGES
        assert {each.interval is not None for each in found.values()} == {enough}
        plain = {name: each.value for name, each in score(good, None).items()}
        assert {name: each.value for name, each in found.items()} == plain
        other = paired(good, replace(good, predicted=good.predicted * 3), bootstrap)
        assert other is not None
        assert other.better is (True if enough else None)


@pytest.mark.parametrize("seed", range(3))
def test_the_better_of_two_is_found_and_wins_and_losses_swap(seed: int) -> None:
    good, bootstrap = made_up(seed, n=300), Bootstrap(n_replicates=200)
    bad = made_up(seed, n=300, predicted=good.predicted * 3)
    one, other = paired(good, bad, bootstrap), paired(bad, good, bootstrap)
    assert one is not None
    assert other is not None
    assert (one.better, other.better) == (True, False)
    assert (one.wins, one.losses, one.ties) == (other.losses, other.wins, other.ties)
    assert one.wins + one.losses + one.ties == one.n_runs == int(good.scored.sum())
    itself = paired(good, good, bootstrap)
    assert itself is not None
    assert (itself.better, itself.wins, itself.ties) == (None, 0, itself.n_runs)


def test_nothing_is_compared_where_one_of_both_is_silent() -> None:
    silent = made_up(0, predicted=np.full(60, np.nan))
    assert paired(made_up(0), silent, Bootstrap(n_replicates=10)) is None
