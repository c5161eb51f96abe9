"""Changes of regime along a loss curve."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.regimes import MIN_EPOCHS, MIN_SEGMENT, change_of_regime

SEEDS = range(6)


def noise(rng: np.random.Generator, n: int, scale: float) -> FloatArray:
    """First-order autoregressive noise."""
    values = rng.normal(0, scale, n)
    for i in range(1, n):
        values[i] += 0.5 * values[i - 1]
    return values


def broken(n: int, at: int, before: float, after: float) -> FloatArray:
    t = np.arange(n)
    return np.where(t < at, before * t, before * at + after * (t - at))


def squared_error(y: FloatArray) -> float:
    t = np.arange(y.size)
    return float(np.sum((y - np.polyval(np.polyfit(t, y, 1), t)) ** 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("before", "after"), [(-0.01, -0.2), (-0.3, -0.02), (0.05, -0.3)])
def test_a_planted_break_is_found_where_it_is(seed: int, before: float, after: float) -> None:
    rng = np.random.default_rng(seed)
    n, at = 80, int(rng.integers(20, 60))
    found = change_of_regime(broken(n, at, before, after) + noise(rng, n, 0.02))
    assert found is not None
    assert abs(found.epoch - at) <= 2
    assert found.slope_before == pytest.approx(before, abs=0.01)
    assert found.slope_after == pytest.approx(after, abs=0.01)
    assert found.speeds_up == (after < before)


@pytest.mark.parametrize("kind", ["exponential", "power law", "to a floor"])
@pytest.mark.parametrize("scale", [0.0, 0.03])
def test_smooth_decay_has_no_break(kind: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(100)
    found = 0
    for _ in range(40):
        curve = {
            "exponential": -rng.uniform(0.01, 0.3) * t,
            "power law": -rng.uniform(0.5, 2) * np.log1p(t),
            "to a floor": np.log(np.exp(-rng.uniform(0.02, 0.1) * t) + rng.uniform(0.001, 0.3)),
        }[kind]
        found += change_of_regime(curve + noise(rng, t.size, scale)) is not None
    assert found <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_cut_is_that_of_fits_to_every_pair_of_segments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = broken(40, int(rng.integers(10, 30)), -0.02, -0.5) + rng.normal(0, 0.3, 40)
    errors = {
        cut: squared_error(y[:cut]) + squared_error(y[cut:])
        for cut in range(MIN_SEGMENT, y.size - MIN_SEGMENT + 1)
    }
    found = change_of_regime(y)
    assert found is not None
    assert found.epoch == min(errors, key=lambda cut: errors[cut])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_unit_of_the_loss_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curve = broken(60, 25, -0.02, -0.4) + noise(rng, 60, 0.02)
    here, there = change_of_regime(curve), change_of_regime(curve + 20)
    assert here is not None
    assert there is not None
    assert here.epoch == there.epoch
    assert here.slope_after == pytest.approx(there.slope_after)


def test_alike_slopes_are_one_regime() -> None:
    """A jump between parallel lines is no change of pace."""
    t = np.arange(60)
    assert change_of_regime(-0.1 * t - 2.0 * (t >= 30)) is None


def test_a_curve_too_short_has_none() -> None:
    curve = broken(MIN_EPOCHS, MIN_EPOCHS // 2, -0.01, -1.0)
    assert change_of_regime(curve) is not None
    assert change_of_regime(curve[:-1]) is None
