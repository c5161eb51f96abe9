"""The predictability ceiling, on states whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from epochs_left.statistics.ceiling import (
    Ceiling,
    log_variance,
    predictability_ceiling,
    within_state_variances,
)
from epochs_left.statistics.scores import error_sums, r2

SEEDS = range(5)
#: Mean variance of log(1 + R) within a state, and between states.
WITHIN, BETWEEN = 0.04, 0.16
TRUTH = 1 - WITHIN / (WITHIN + BETWEEN)


def draw_logs(rng: np.random.Generator, n_states: int, k: int) -> np.ndarray:
    """Draw log(1 + R) of branches, shape (n_states, k); states differ in mean and in variance."""
    variance = rng.gamma(2, WITHIN / 2, size=(n_states, 1))
    means = rng.normal(5, BETWEEN**0.5, size=(n_states, 1))
    return means + rng.normal(size=(n_states, k)) * np.sqrt(variance)


def ceiling_of(logs: np.ndarray, converged: np.ndarray | None = None, **options: Any) -> Ceiling:
    n_states, k = logs.shape
    settings = {"total": WITHIN + BETWEEN, "random_share": 1.0, "n_replicates": 400, **options}
    return predictability_ceiling(
        np.expm1(logs).ravel(),
        np.ones(logs.size, dtype=bool) if converged is None else converged.ravel(),
        np.repeat(np.arange(n_states), k),
        rng=np.random.default_rng(1),
        **settings,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_variances_are_those_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = rng.integers(9, size=80)
    remaining, converged = rng.integers(1, 500, size=80), rng.random(80) < 0.7
    found, complete = within_state_variances(remaining, converged, state)
    for place, name in enumerate(np.unique(state)):
        mine = state == name
        expected = np.log1p(remaining[mine & converged]).var(ddof=1)
        assert found[place] == pytest.approx(expected)
        assert complete[place] == converged[mine].all()


@pytest.mark.parametrize("k", [2, 5, 16])
def test_the_estimate_is_unbiased_whatever_the_number_of_branches(k: int) -> None:
    logs = [draw_logs(np.random.default_rng(seed), 12, k) for seed in range(400)]
    found = np.array([ceiling_of(each, n_replicates=100).r2.value for each in logs])
    assert abs(found.mean() - TRUTH) < 3 * found.std() / np.sqrt(found.size)


@pytest.mark.parametrize("seed", SEEDS)
def test_many_states_find_the_truth_within_their_interval_s_width(seed: int) -> None:
    found = ceiling_of(draw_logs(np.random.default_rng(seed), 2_000, 16))
    assert found.r2.interval is not None
    lower, upper = found.r2.interval
    assert lower < found.r2.value < upper
    assert abs(found.r2.value - TRUTH) < upper - lower < 0.05
    assert found.within == pytest.approx((1 - found.r2.value) * found.total)


@pytest.mark.parametrize(("n_states", "least"), [(12, 0.84), (60, 0.89)])
def test_coverage_of_the_interval(n_states: int, least: float) -> None:
    """Nominal 95 %; a bootstrap of twelve states falls short of it: 89 % were measured."""
    hits = []
    for seed in range(200):
        found = ceiling_of(draw_logs(np.random.default_rng(seed), n_states, 16)).r2.interval
        assert found is not None
        hits.append(found[0] <= TRUTH <= found[1])
    assert least < np.mean(hits) < 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_no_predictor_exceeds_it_and_the_mean_of_the_state_reaches_it(seed: int) -> None:
    """Scored by the package's own R^2, rows weighted."""
    rng = np.random.default_rng(seed)
    means = rng.normal(5, BETWEEN**0.5, size=4_000)
    logs = means[:, None] + rng.normal(0, WITHIN**0.5, size=(4_000, 17))
    weight, rows = rng.uniform(0.5, 2, size=4_000), logs[:, 0]
    total = log_variance(np.expm1(rows), weight)
    found = ceiling_of(logs[:, 1:], total=total).r2.value

    def score(predicted: np.ndarray) -> float:
        return float(r2(error_sums(rows, predicted, np.zeros(4_000), weight)[0]))

    assert score(means) == pytest.approx(found, abs=0.03)
    for wrong in (0.9 * means, means + rng.normal(0, 0.2, 4_000), np.full(4_000, means.mean())):
        assert score(wrong) < found


@pytest.mark.parametrize("seed", SEEDS)
def test_full_batch_has_a_ceiling_of_exactly_one(seed: int) -> None:
    some = ceiling_of(draw_logs(np.random.default_rng(seed), 12, 16), random_share=0.0)
    none = ceiling_of(np.zeros((0, 16)), random_share=0.0)
    equal = ceiling_of(np.full((12, 16), np.log(7.0)))
    for found in (some, none, equal):
        assert found.r2.value == found.r2_complete == 1.0
        assert found.r2.interval == (1.0, 1.0)
        assert found.within < 1e-25
    assert some.within == none.within == 0.0


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_full_batch_rows_dilute_the_variance_within_states(share: float) -> None:
    logs = draw_logs(np.random.default_rng(0), 12, 16)
    whole, diluted = ceiling_of(logs), ceiling_of(logs, random_share=share)
    assert 1 - diluted.r2.value == pytest.approx(share * (1 - whole.r2.value))
    assert diluted.within == pytest.approx(share * whole.within)


@pytest.mark.parametrize("seed", SEEDS)
def test_late_branches_that_are_capped_leave_what_scored_rows_vary_by(seed: int) -> None:
    """Scored rows are of runs that converged: their spread ends at the cap, as of branches."""
    rng = np.random.default_rng(seed)
    logs = draw_logs(rng, 3_000, 16)
    converged = logs < 5.3
    scored = np.ma.masked_array(logs, ~converged)
    kept = converged.sum(axis=1) > 1
    expected = scored[kept].var(axis=1, ddof=1).mean()
    found = ceiling_of(logs, converged)
    assert found.within == pytest.approx(expected)
    assert found.within < ceiling_of(logs).within
    assert found.n_left_out == (~kept).sum()
    assert found.n_states == kept.sum()
    assert found.n_incomplete == (~converged.all(axis=1)).sum()
    assert found.converged_share == pytest.approx(converged.mean())
    complete = converged.all(axis=1)
    assert found.r2_complete == pytest.approx(ceiling_of(logs[complete]).r2.value)


def test_without_any_state_nothing_is_known() -> None:
    logs = draw_logs(np.random.default_rng(0), 3, 4)
    found = ceiling_of(logs, np.eye(3, 4, dtype=bool))
    assert np.isnan([found.r2.value, found.r2_complete, found.within]).all()
    assert found.r2.interval is None
    assert (found.n_states, found.n_left_out, found.n_incomplete) == (0, 3, 3)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_zero_and_one(share: float) -> None:
    with pytest.raises(ValueError, match="random_share must lie in"):
        ceiling_of(np.zeros((2, 2)), random_share=share)
