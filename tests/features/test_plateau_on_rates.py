"""Plateaus on the clock of the learning rates so far, if the present one stays (3 s)."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.features import FEATURE_GROUPS, compute_features
from epochs_left.features._plateaus import plateau_units
from epochs_left.trajectories import Trajectories

HORIZON = 60
EPOCH = np.arange(HORIZON + 1.0)
PLATEAU = 0.05
SEEDS = range(4)


def features(
    loss: np.ndarray,
    rates: np.ndarray,
    *,
    epoch: np.ndarray = EPOCH,
    group: str = "plateau_on_rates",
    plateau: float = PLATEAU,
) -> dict[str, np.ndarray]:
    """Features of one run, shape ``(n_epochs,)``."""
    inputs = {
        "epoch": epoch[None, :],
        "loss": loss[None, :],
        "lr_in_force": rates[None, :],
        "plateau": np.array([[plateau]]),
        "horizon": np.array([[float(HORIZON)]]),
    }
    runs = Trajectories(lengths=np.array([epoch.size]), inputs=inputs)
    computed = compute_features(runs, [FEATURE_GROUPS[group]])
    return {name: values[0] for name, values in computed.items()}


def noisy(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.2 + (1 + EPOCH / rng.uniform(1, 9)) ** -1.0 * np.exp(
        0.05 * rng.normal(size=EPOCH.size)
    )


def drawn_rates(seed: int) -> np.ndarray:
    moves = np.random.default_rng(seed).choice(
        [0, -1.0, 0.7, 0.05], EPOCH.size, p=[0.7, *[0.1] * 3]
    )
    return 0.1 * np.exp(np.cumsum(moves))


def test_features_are_those_of_the_other_clocks() -> None:
    assert features(noisy(0), drawn_rates(0)).keys() == plateau_units("_on_rates").keys()


@pytest.mark.parametrize("lr", [1e-6, 0.3, 40.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_constant_rate_they_are_those_of_the_epochs(seed: int, lr: float) -> None:
    of_epochs = features(noisy(seed), EPOCH, group="plateau_by_curve")
    of_rates = features(noisy(seed), np.full(EPOCH.size, lr))
    for name, values in of_epochs.items():
        np.testing.assert_allclose(of_rates[f"{name}_on_rates"], values, rtol=1e-5, atol=1e-5)
        assert np.unique(values).size > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_no_later_epoch_changes_a_bit_of_an_earlier_one(seed: int) -> None:
    """Nor a rate: also where a warm-up begins at 0 and nobody knows its end yet."""
    loss, rates = noisy(seed), drawn_rates(seed)
    rates[:4] = 0.0
    whole = features(loss, rates)
    for seen in (1, 2, 3, 4, 5, 6, 20, 45):
        part = features(loss[:seen], rates[:seen], epoch=EPOCH[:seen])
        for name, values in part.items():
            assert values.tobytes() == whole[name][:seen].tobytes(), (name, seen)
    for name, values in whole.items():
        assert np.isfinite(values).all(), name


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**13])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_unit_of_the_learning_rate_is_irrelevant(seed: int, unit: float) -> None:
    """Powers of two round nothing."""
    loss, rates = noisy(seed), drawn_rates(seed)
    expected = features(loss, rates)
    for name, values in features(loss, unit * rates).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def as_if_the_rate_stayed(rates: np.ndarray, constant: float, floor: float) -> np.ndarray:
    """Epochs to the plateau of floor + exp(-S / constant), from each epoch on at its own rate."""
    relative = rates / rates[0]
    spent = np.concatenate([[0.0], np.cumsum(relative[1:])])
    end = floor + np.exp(-(spent + relative * (HORIZON - EPOCH)) / constant)
    level = end + PLATEAU * (1 + floor - end)
    return np.maximum(-constant * np.log(level - floor) - spent, 0.0) / relative


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("at", [20, 35])
@pytest.mark.parametrize("constant", [5.0, 12.0])
def test_a_decay_on_the_clock_is_foreseen_whatever_the_rates_were(
    constant: float, at: int, factor: float
) -> None:
    """Exactly so, since the fit is of the curve that it is."""
    rates = np.where(at >= EPOCH, 0.3, 0.3 * factor)
    spent = np.concatenate([[0.0], np.cumsum(rates[1:] / rates[0])])
    found = features(0.2 + np.exp(-spent / constant), rates)
    left = np.expm1(found["log_plateau_epochs_decay_50%_on_rates"])
    expected = as_if_the_rate_stayed(rates, constant, floor=0.2)
    running = slice(8, HORIZON)
    np.testing.assert_allclose(left[running], expected[running], rtol=1e-2, atol=0.05)
    share = found["plateau_share_decay_50%_on_rates"][running]
    np.testing.assert_allclose(share, left[running] / (HORIZON - EPOCH[running]), rtol=1e-4)


def test_after_a_drop_a_slower_clock_is_waited_for_longer() -> None:
    """Before it a plateau is a matter of the present rate, whatever will be."""
    loss = 0.2 + np.exp(-EPOCH / 30)
    kept = features(loss, np.full(EPOCH.size, 0.1))["log_plateau_epochs_decay_50%_on_rates"]
    for factor in (0.1, 0.5):
        rates = np.where(EPOCH <= 20, 0.1, 0.1 * factor)
        found = features(loss, rates)["log_plateau_epochs_decay_50%_on_rates"]
        np.testing.assert_array_equal(found[:21], kept[:21])
        assert (found[22:50] != kept[22:50]).all()


def test_a_threshold_has_no_plateau() -> None:
    for values in features(noisy(0), drawn_rates(0), plateau=np.nan).values():
        assert np.isnan(values).all()
