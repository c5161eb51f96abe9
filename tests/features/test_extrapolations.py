"""Curve-fit baselines on curves of their own form, and on recorded runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.features import FEATURE_GROUPS, compute_features
from epochs_left.schema import View
from epochs_left.trajectories import Trajectories

N_EPOCHS = 60
T = np.arange(float(N_EPOCHS))
FLOOR = 0.009
TARGET = 0.01
GROUPS = ("last_slope", "exponential_fit", "power_law", "optimus")

#: A curve on which each feature is right from the fifth epoch on; half has to be a shift in time.
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last_slope_epochs_remaining": lambda t: 2.0 - 0.03 * t,
    "exponential_epochs_remaining": lambda t: 0.95**t,
    "exponential_8_epochs_remaining": lambda t: 0.95**t,
    "exponential_floor_epochs_remaining": lambda t: FLOOR + 0.95**t,
    "power_law_epochs_remaining": lambda t: (t + 1) ** -0.8,
    "power_law_floor_epochs_remaining": lambda t: FLOOR + (t + 1) ** -1.5,
    "optimus_epochs_remaining": lambda t: FLOOR + 1 / (0.2 * t + 1),
    "optimus_half_epochs_remaining": lambda t: FLOOR + 1 / (0.2 * t + 1),
}


def features_of(loss: np.ndarray, target: float = TARGET) -> dict[str, np.ndarray]:
    """Features of one run, shape ``(n_epochs,)``."""
    inputs = {"epoch": T[None, :], "loss": loss[None, :], "target": np.array([[target]])}
    runs = Trajectories(lengths=np.array([N_EPOCHS]), inputs=inputs)
    groups = [FEATURE_GROUPS[name] for name in GROUPS]
    return {name: values[0] for name, values in compute_features(runs, groups).items()}


def test_every_curve_fit_is_a_causal_baseline_in_epochs() -> None:
    names = [name for group in GROUPS for name in FEATURE_GROUPS[group].units]
    assert sorted(names) == sorted(CURVES)
    for group in (FEATURE_GROUPS[name] for name in GROUPS):
        assert group.baseline
        assert group.view is View.CAUSAL
        assert set(group.requires) == {"loss", "epoch", "target"}
        assert set(group.units.values()) == {"epochs"}


@pytest.mark.parametrize("name", CURVES)
def test_feature_is_right_on_a_curve_of_its_own_form(name: str) -> None:
    reached_at = np.flatnonzero(CURVES[name](np.arange(100_000.0)) < TARGET)[0]
    remaining = np.maximum(reached_at - T, 0)
    found = features_of(CURVES[name](T))[name]
    assert found[0] == EPOCH_LIMIT
    np.testing.assert_allclose(found[5:], remaining[5:], rtol=1e-4, atol=1)


def test_short_memory_forgets_an_early_plateau_and_half_does_not() -> None:
    loss = np.where(T < 30, 1.0, 0.9 ** (T - 30))
    found = features_of(loss, target=1e-6)
    remaining = 30 + np.ceil(np.log(1e-6) / np.log(0.9)) - T
    assert found["exponential_8_epochs_remaining"][38] == pytest.approx(remaining[38], abs=1)
    assert found["exponential_epochs_remaining"][38] > 1.2 * remaining[38]


@pytest.mark.parametrize("seed", range(3))
def test_noise_moves_a_longer_stretch_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = features_of(0.95**T * np.exp(0.1 * rng.normal(size=N_EPOCHS)), target=1e-6)
    spread = {
        name: np.std(np.log(found[f"{name}_epochs_remaining"][30:] + T[30:]))
        for name in ("last_slope", "exponential_8", "exponential")
    }
    assert spread["exponential"] < spread["exponential_8"] < spread["last_slope"]
