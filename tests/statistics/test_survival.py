"""Survival curves: known cases, simulated runs, and scikit-survival's own functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import lognorm

from epochs_left.statistics.survival import (
    kaplan_meier,
    log_normal_survival,
    restricted_mean,
    two_part_survival,
)

SEEDS = range(5)
SHARES = np.arange(1, 100) / 100


def censored_times(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponential times with rates of their own, censored at random: times, events, rates."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(size=n))
    time, end = rng.exponential(1 / rate), rng.exponential(2.0, size=n)
    return np.minimum(time, end), time <= end, rate


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_curve_of_a_uniform_time_is_a_line_down_to_those_that_never_converge(p: float) -> None:
    times = np.array([0.0, 25.0, 50.0, 99.0])
    curve = two_part_survival(np.array([p]), 100 * SHARES[None], SHARES, times)
    np.testing.assert_allclose(curve[0], 1 - p * times / 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_curves_fall_and_stay_above_those_that_never_converge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, quantiles = rng.random(40), np.sort(np.round(rng.exponential(20, size=(40, 99))), axis=1)
    curve = two_part_survival(p, quantiles, SHARES, np.arange(1.0, 200.0))
    assert np.all(np.diff(curve, axis=1) <= 0)
    assert np.all(curve >= 1 - p[:, None])
    np.testing.assert_allclose(curve[:, -1], 1 - 0.99 * p)


def test_a_jump_of_the_distribution_is_a_jump_of_the_curve() -> None:
    quantiles = np.array([[5.0, 5.0, 5.0, 9.0]])
    shares = np.array([0.2, 0.4, 0.6, 0.8])
    curve = two_part_survival(np.ones(1), quantiles, shares, np.array([5.0, 7.0, 9.0, 50.0]))
    np.testing.assert_allclose(curve[0], [0.4, 0.3, 0.2, 0.2])


def test_beyond_an_unknown_quantile_nothing_more_converges() -> None:
    quantiles = np.array([[4.0, np.inf]])
    curve = two_part_survival(np.ones(1), quantiles, np.array([0.5, 0.9]), np.array([4.0, 100.0]))
    np.testing.assert_allclose(curve[0], [0.5, 0.5])


def test_log_normal_curve_is_scipy_s() -> None:
    times = np.geomspace(0.1, 100, 20)
    curve = log_normal_survival(np.array([3.0, 30.0]), 0.7, times)
    for row, median in zip(curve, (3.0, 30.0), strict=True):
        np.testing.assert_allclose(row, lognorm.sf(times, 0.7, scale=median))


def test_kaplan_meier_of_a_textbook_case() -> None:
    """Without censoring it is the share that is left; a censored run leaves the denominator."""
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    plain = kaplan_meier(np.array([1.0, 2.0, 2.0, 4.0]), np.ones(4, dtype=bool), times)
    np.testing.assert_allclose(plain, [1, 0.75, 0.25, 0.25, 0, 0])
    event = np.array([True, False, True, True])
    censored = kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), event, times)
    np.testing.assert_allclose(censored, [1, 0.75, 0.75, 0.375, 0, 0])
    nobody = kaplan_meier(np.ones(3), np.zeros(3, dtype=bool), times)
    assert nobody.tolist() == [1.0] * 6


@pytest.mark.parametrize("seed", SEEDS)
def test_kaplan_meier_equals_scikit_survival_s(seed: int) -> None:
    nonparametric = pytest.importorskip("sksurv.nonparametric")
    duration, event, _ = censored_times(seed)
    duration = np.ceil(duration * 10)  # ties, also of events with censoring
    times, expected = nonparametric.kaplan_meier_estimator(event, duration)
    np.testing.assert_allclose(kaplan_meier(duration, event, times), expected)


def test_restricted_mean_of_an_exponential_is_the_closed_form() -> None:
    times = np.linspace(0.001, 3, 3_000)
    curve = np.exp(-np.outer([0.5, 2.0], times))
    expected = [(1 - np.exp(-0.5 * 3)) / 0.5, (1 - np.exp(-2.0 * 3)) / 2]
    np.testing.assert_allclose(restricted_mean(curve, times), expected, rtol=1e-4)


def test_who_never_converges_has_the_longest_restricted_mean() -> None:
    times, quantiles = np.arange(1.0, 60.0), 50 * np.tile(SHARES, (3, 1))
    means = restricted_mean(
        two_part_survival(np.array([1, 0.5, 0]), quantiles, SHARES, times), times
    )
    assert means[0] < means[1] < means[2] == pytest.approx(59.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_true_model_has_the_best_integrated_brier_score(seed: int) -> None:
    metrics = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    duration, event, rate = censored_times(seed, n=2_000)
    outcomes = util.Surv.from_arrays(event, duration)
    times = np.linspace(duration.min() + 0.01, np.quantile(duration, 0.9), 30)

    def score(rates: np.ndarray) -> float:
        curves = np.exp(-np.outer(rates, times))
        return float(metrics.integrated_brier_score(outcomes, outcomes, curves, times))

    others = [rate * 1.7, rate / 1.7, np.full(rate.size, 1.0), np.roll(rate, 1)]
    assert all(score(rate) < score(other) for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_concordance_without_censoring_is_the_share_of_pairs_in_order(seed: int) -> None:
    metrics = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    rng = np.random.default_rng(seed)
    duration, at_risk = rng.exponential(size=(2, 60))
    outcomes = util.Surv.from_arrays(np.ones(60, dtype=bool), duration)
    pairs = [(i, j) for i in range(60) for j in range(60) if duration[i] < duration[j]]
    expected = np.mean([at_risk[i] > at_risk[j] for i, j in pairs])
    found = metrics.concordance_index_ipcw(outcomes, outcomes, at_risk)[0]
    assert found == pytest.approx(expected)
