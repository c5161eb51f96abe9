"""Calibration: laws over seeds, and slow, obvious references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import brier_score_loss, mean_pinball_loss

from epochs_left.statistics.calibration import (
    brier_score,
    calibration_error,
    crps,
    equal_count_bins,
    interval_score,
    pinball_loss,
    pit,
    pit_histogram,
    reliability_table,
)

SEEDS = range(5)
SHARES = np.arange(1, 200) / 200


def forecasts(seed: int, n: int = 400, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes drawn with probabilities, and the latter shifted by a bias."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(0.6, 0.6, size=n)
    return rng.random(n) < truth, np.clip(truth + bias, 0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_score_is_the_sum_of_its_parts(seed: int) -> None:
    outcome, probability = forecasts(seed)
    found = brier_score(outcome, probability)
    assert found.score == pytest.approx(brier_score_loss(outcome, probability))
    total = found.reliability - found.resolution + found.uncertainty + found.within
    assert total == pytest.approx(found.score, abs=1e-12)


def test_parts_of_forecasts_that_are_known() -> None:
    outcome = np.array([True, False] * 50)
    sure = brier_score(outcome, outcome.astype(float))
    assert (sure.score, sure.reliability, sure.resolution) == (0, 0, 0.25)
    base_rate = brier_score(outcome, np.full(100, 0.5))
    assert (base_rate.score, base_rate.resolution, base_rate.uncertainty) == (0.25, 0, 0.25)
    assert base_rate.within == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_bins_hold_as_many_rows_each_and_keep_equal_forecasts_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    different = rng.permutation(100) / 100
    assert np.bincount(equal_count_bins(different, 10)).tolist() == [10] * 10
    tied = rng.integers(4, size=100) / 4
    bins = equal_count_bins(tied, 10)
    assert np.unique(np.stack([tied, bins]), axis=1).shape == (2, np.unique(tied).size)
    assert np.all(np.diff(bins[np.argsort(tied)]) >= 0)
    assert np.unique(bins).tolist() == list(range(bins.max() + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_error_equals_a_loop_over_bins(seed: int) -> None:
    outcome, probability = forecasts(seed, bias=0.1)
    order = np.argsort(probability, kind="stable")
    # clipped forecasts are equal: they share a bin, which a plain split would not know
    outcome, probability = outcome[order][:300], probability[order][:300]
    parts = np.array_split(np.arange(300), 10)
    expected = sum(abs(outcome[i].mean() - probability[i].mean()) for i in parts) / 10
    assert calibration_error(outcome, probability)[0] == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_a_perfect_forecaster_is_what_chance_makes_it() -> None:
    found = np.array([calibration_error(*forecasts(seed)) for seed in range(200)])
    error, by_chance = found.mean(axis=0)
    assert error == pytest.approx(by_chance, rel=0.05)
    biased = np.mean([calibration_error(*forecasts(seed, bias=0.1))[0] for seed in range(20)])
    assert biased > 1.5 * by_chance


@pytest.mark.parametrize("seed", SEEDS)
def test_reliability_has_wilson_s_bounds_of_the_lineages(seed: int) -> None:
    outcome, probability = forecasts(seed)
    runs = reliability_table(outcome, probability, np.arange(400))
    lineages = reliability_table(outcome, probability, np.arange(400) // 4)
    for one, other in zip(runs, lineages, strict=True):
        exact = binomtest(round(one["observed"] * one["n"]), one["n"]).proportion_ci(
            method="wilson"
        )
        assert (one["lower"], one["upper"]) == pytest.approx((exact.low, exact.high), abs=1e-9)
        assert other["n_clusters"] < one["n_clusters"] == one["n"]
        assert other["upper"] - other["lower"] > one["upper"] - one["lower"]
    assert sum(part["n"] for part in runs) == 400


def test_reliability_of_a_perfect_forecaster_is_within_its_bounds() -> None:
    inside = [
        part["lower"] <= part["predicted"] <= part["upper"]
        for seed in range(60)
        for part in reliability_table(*forecasts(seed), np.arange(400))
    ]
    assert 0.92 < np.mean(inside) < 0.98


def test_reliability_of_nothing_is_empty() -> None:
    none = np.empty(0)
    assert reliability_table(none.astype(bool), none, none) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_true_quantiles_have_the_smallest_interval_score(seed: int, level: float) -> None:
    actual = np.random.default_rng(seed).normal(size=200_000)
    bound = norm.ppf((1 + level) / 2)
    truth = interval_score(actual, np.array(-bound), np.array(bound), level).mean()
    for factor in (0.7, 0.85, 1.2, 1.5):
        other = interval_score(actual, np.array(-factor * bound), np.array(factor * bound), level)
        assert other.mean() > truth
    shifted = interval_score(actual, np.array(0.3 - bound), np.array(0.3 + bound), level)
    assert shifted.mean() > truth


def test_interval_score_is_the_width_and_a_fine() -> None:
    actual = np.array([0.0, 2.0, 5.0])
    score = interval_score(actual, np.full(3, 1.0), np.full(3, 3.0), 0.8)
    np.testing.assert_allclose(score, [2 + 10, 2, 2 + 20])
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\)"):
        interval_score(actual, actual, actual, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_pinball_loss_equals_scikit_learn_s_and_makes_the_interval_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual, lower = rng.normal(size=(2, 50))
    upper = lower + rng.exponential(size=50)
    loss = pinball_loss(actual, lower, np.array(0.05))
    assert loss.mean() == pytest.approx(mean_pinball_loss(actual, lower, alpha=0.05))
    both = loss + pinball_loss(actual, upper, np.array(0.95))
    np.testing.assert_allclose(both * 2 / 0.1, interval_score(actual, lower, upper, 0.9))


@pytest.mark.parametrize("seed", SEEDS)
def test_crps_of_normal_quantiles_is_the_closed_form(seed: int) -> None:
    """Gneiting & Raftery 2007, eq. 21."""
    y = np.random.default_rng(seed).normal(size=30)
    exact = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    quantiles = np.broadcast_to(norm.ppf(SHARES), (30, SHARES.size))
    np.testing.assert_allclose(crps(y, quantiles, SHARES), exact, atol=0.01)


def test_crps_of_a_point_is_the_absolute_error() -> None:
    actual = np.array([1.0, 4.0, 9.0])
    quantiles = np.full((3, 5), 3.0)
    np.testing.assert_allclose(crps(actual, quantiles, np.arange(1, 6) / 6), abs(actual - 3))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_calibrated_forecaster_has_a_flat_pit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre, width = rng.normal(size=4_000), rng.exponential(size=4_000)
    actual = centre + width * rng.normal(size=4_000)

    def histogram(factor: float) -> np.ndarray:
        quantiles = centre[:, None] + factor * width[:, None] * norm.ppf(SHARES)
        return pit_histogram(*pit(actual, quantiles, SHARES), np.ones(4_000))

    flat = histogram(1.0)
    assert flat.sum() == pytest.approx(1.0)
    assert np.abs(flat - 0.1).max() < 4 * np.sqrt(0.09 / 4_000)
    assert histogram(0.5)[[0, -1]].min() > 0.15  # too narrow: the truth lies outside
    assert histogram(2.0)[[0, -1]].max() < 0.05


def test_pit_of_quantiles_that_are_known() -> None:
    quantiles = np.tile([1.0, 2.0, 2.0, 4.0], (6, 1))
    shares = np.array([0.2, 0.4, 0.6, 0.8])
    low, high = pit(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 9.0]), quantiles, shares)
    np.testing.assert_allclose(low, [0, 0.2, 0.3, 0.4, 0.7, 0.8])
    np.testing.assert_allclose(high, [0.2, 0.2, 0.3, 0.6, 0.7, 1])


def test_pit_of_an_unknown_tail_is_spread_over_it() -> None:
    low, high = pit(np.array([9.0]), np.array([[1.0, np.inf]]), np.array([0.4, 0.8]))
    assert (low.tolist(), high.tolist()) == ([0.4], [0.8])
    spread = pit_histogram(low, high, np.ones(1), 10)
    np.testing.assert_allclose(spread, [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0, 0], atol=1e-9)


def test_pit_histogram_weighs_rows() -> None:
    low = np.array([0.05, 0.95])
    found = pit_histogram(low, low, np.array([3.0, 1.0]))
    np.testing.assert_allclose(found[[0, -1]], [0.75, 0.25])
