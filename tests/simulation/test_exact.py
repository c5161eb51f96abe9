"""The engine against what is known exactly about |w.x + b| on centred XOR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics.closed_form import NORMAL_CONVERGED_SHARE, predict_outcomes
from epochs_left.dynamics.criterion import CAPPED, CONVERGED, DIVERGED, STUCK, Criterion
from epochs_left.simulation.neuron import NeuronRuns

Build = Callable[..., NeuronRuns]
Train = Callable[[NeuronRuns], tuple[np.ndarray, np.ndarray]]


def draw(scheme: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    params = rng.uniform(-1, 1, (n, 3)) if scheme == "uniform" else rng.standard_normal((n, 3))
    if scheme == "zero bias":
        params[:, 2] = 0.0
    return params.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("scheme", ["normal", "uniform", "zero bias"])
@pytest.mark.parametrize("seed", range(3))
def test_every_run_equals_the_closed_form(
    scheme: str, seed: int, unit_runs: Build, outcomes_of: Train, criterion: Criterion
) -> None:
    params = draw(scheme, 2_000, seed)
    lr = np.random.default_rng(seed).uniform(0.001, 0.5, len(params))
    codes, epochs = outcomes_of(unit_runs(params, lr))
    expected_codes, expected_epochs = predict_outcomes(params, lr, criterion)
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_array_equal(epochs, expected_epochs)
    assert {CONVERGED, CAPPED} <= set(codes.tolist())
    assert (STUCK in codes) == (scheme != "zero bias")


@pytest.mark.parametrize(
    ("scheme", "share"),
    [("normal", NORMAL_CONVERGED_SHARE), ("uniform", 7 / 12), ("zero bias", 1.0)],
)
def test_converged_share_is_the_one_of_theory(
    scheme: str, share: float, unit_runs: Build, outcomes_of: Train
) -> None:
    codes, _ = outcomes_of(unit_runs(draw(scheme, 100_000, 0), 0.3))
    error = 3 * np.sqrt(share * (1 - share) / codes.size)
    assert np.mean(codes == CONVERGED) == pytest.approx(share, abs=error)
    assert np.isin(codes, [CONVERGED, STUCK]).all()


@pytest.mark.parametrize(("lr", "median"), [(0.01, 351), (0.1, 32), (0.3, 8), (0.5, 1), (0.9, 31)])
def test_median_epochs_are_the_measured_ones(
    lr: float, median: int, unit_runs: Build, outcomes_of: Train
) -> None:
    codes, epochs = outcomes_of(unit_runs(draw("normal", 20_000, 1), lr))
    # At 0.01 the median lies at the edge of two epochs.
    assert np.median(epochs[codes == CONVERGED]) == pytest.approx(median, rel=0.003)


def test_unit_learning_rate_oscillates_for_ever(unit_runs: Build, outcomes_of: Train) -> None:
    codes, epochs = outcomes_of(unit_runs(draw("normal", 2_000, 2), 1.0))
    assert set(codes.tolist()) == {CAPPED}
    assert set(epochs.tolist()) == {1000}


@pytest.mark.parametrize(("lr", "expected"), [(1.001, {CAPPED}), (1.5, {DIVERGED})])
def test_larger_learning_rates_diverge_or_meet_the_cap_first(
    lr: float, expected: set[int], unit_runs: Build, outcomes_of: Train
) -> None:
    codes, _ = outcomes_of(unit_runs(draw("normal", 2_000, 3), lr))
    assert set(codes.tolist()) == expected


def test_online_runs_hover_instead_of_getting_stuck(
    unit_runs: Build, outcomes_of: Train, criterion: Criterion
) -> None:
    """Where full batch gets stuck: the single examples keep the gradient above its threshold."""
    params = draw("normal", 1_000, 4)
    online, _ = outcomes_of(unit_runs(params, 0.02, online=True))
    assert set(online.tolist()) == {CONVERGED, CAPPED}
    full, _ = predict_outcomes(params, np.full(len(params), 0.02), criterion)
    assert np.mean((online == CAPPED) == (full == STUCK)) > 0.9


@pytest.mark.parametrize(("lr", "share"), [(0.32, 1.0), (0.34, 0.0)])
def test_online_training_is_stable_up_to_a_third(
    lr: float, share: float, unit_runs: Build, outcomes_of: Train
) -> None:
    codes, _ = outcomes_of(unit_runs(draw("normal", 1_000, 5), lr, online=True))
    assert np.mean(codes == CONVERGED) == share


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_numbers_that_are_not_finite_diverge_at_once(
    bad: float, unit_runs: Build, outcomes_of: Train
) -> None:
    codes, epochs = outcomes_of(unit_runs(np.array([[bad, 0.0, 0.0]]), 0.1))
    assert (codes.tolist(), epochs.tolist()) == ([DIVERGED], [0])
