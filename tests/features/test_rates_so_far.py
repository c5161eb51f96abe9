"""The learning rates so far as features, against a loop over prefixes of one run (2 s)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from epochs_left.dynamics.clock import RATE_CHANGE
from epochs_left.dynamics.schedules import SCHEDULES, learning_rates
from epochs_left.features import FEATURE_GROUPS, compute_features
from epochs_left.trajectories import Trajectories

GROUP = FEATURE_GROUPS["rates_so_far"]
N_EPOCHS = 50
PLATEAU = 0.05
SEEDS = range(6)
Run = dict[str, np.ndarray]


def features(run: Run, plateau: float = PLATEAU) -> dict[str, np.ndarray]:
    """Features of one run, shape ``(n_epochs,)``."""
    inputs = {name: values[None, :] for name, values in run.items()}
    inputs["plateau"] = np.array([[plateau]])
    runs = Trajectories(lengths=np.array([run["epoch"].size]), inputs=inputs)
    return {name: values[0] for name, values in compute_features(runs, [GROUP]).items()}


def drawn(seed: int, *, even: bool = True, zeros: bool = False) -> Run:
    """A run whose rate drifts and jumps, and is 0 for a while where asked."""
    rng = np.random.default_rng(seed)
    gaps = np.ones(N_EPOCHS) if even else rng.integers(1, 5, N_EPOCHS).astype(float)
    drift = np.cumsum(rng.choice([0.0, 0.03, -0.03], N_EPOCHS))
    levels = rng.choice([-3.0, -1.5, 0.0], N_EPOCHS)
    stays = np.maximum.accumulate(np.where(rng.random(N_EPOCHS) < 0.2, np.arange(N_EPOCHS), 0))
    rates = 0.1 * np.exp(drift + levels[stays])
    if zeros:
        rates[:3], rates[20:24] = 0.0, 0.0
    loss = np.exp(-0.05 * np.arange(N_EPOCHS) + 0.2 * rng.normal(size=N_EPOCHS)) + 0.1
    return {"epoch": np.cumsum(gaps) - 1, "loss": loss, "lr_in_force": rates}


def prefix(run: Run, seen: int) -> Run:
    return {name: values[:seen] for name, values in run.items()}


def at_the_end_of(run: Run) -> dict[str, float]:
    """What the features say at the last epoch of a run, an epoch after the other."""
    epoch, loss, rates = (run[name].tolist() for name in ("epoch", "loss", "lr_in_force"))
    logs = [math.log(rate) for rate in rates]
    start, spent, last = 0, 0.0, len(rates) - 1
    for t, rate in enumerate(rates):
        spent += rate * (epoch[t] - (epoch[t - 1] if t else 0.0))
        if t and abs(logs[t] - logs[t - 1]) > RATE_CHANGE:
            start = t
    before = max(start - 1, 0)
    fall, width = loss[before] - loss[last], PLATEAU * (loss[0] - min(loss))
    steep = 10.0 if width <= 0 < fall else -10.0
    in_widths = math.log(fall / width) if fall > 0 and width > 0 else steep
    return {
        "log_rate_over_highest": logs[last] - max(logs),
        "log_late_rate_change": logs[last] - logs[last // 2],
        "log_last_rate_change": logs[start] - logs[before],
        "log_epochs_since_rate_change": math.log1p(epoch[last] - epoch[start]),
        "log_spent_at_rate": math.log1p(spent / rates[last]),
        "log_loss_since_rate_change": math.log(loss[last] / loss[before]),
        "log_fall_since_rate_change_over_plateau": min(max(in_widths, -10.0), 10.0),
    }


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_epoch_is_that_of_a_loop_over_the_run_so_far(seed: int, even: bool) -> None:
    run = drawn(seed, even=even)
    found = features(run)
    expected = [at_the_end_of(prefix(run, t + 1)) for t in range(N_EPOCHS)]
    assert found.keys() == expected[0].keys() == GROUP.units.keys()
    for name, values in found.items():
        of_name = np.array([each[name] for each in expected])
        np.testing.assert_allclose(values, of_name, rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.unique(of_name).size > 3, name


@pytest.mark.parametrize("seed", SEEDS)
def test_no_later_epoch_changes_a_bit_of_an_earlier_one(seed: int) -> None:
    run = drawn(seed, even=False, zeros=True)
    whole = features(run)
    for seen in range(1, N_EPOCHS):
        for name, values in features(prefix(run, seen)).items():
            assert values.tobytes() == whole[name][:seen].tobytes(), (name, seen)


@pytest.mark.parametrize("unit", [1e-4, 7.0, 1e4])
@pytest.mark.parametrize("seed", SEEDS)
def test_units_of_the_learning_rate_and_of_the_loss_are_irrelevant(seed: int, unit: float) -> None:
    run = drawn(seed)
    for name in ("lr_in_force", "loss"):
        for feature, values in features({**run, name: unit * run[name]}).items():
            expected = features(run)[feature]
            np.testing.assert_allclose(values, expected, atol=1e-4, err_msg=f"{feature}, {name}")


@pytest.mark.parametrize("lr", [1e-5, 0.1, 30.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_constant_rate_the_run_counts_from_its_start(seed: int, lr: float) -> None:
    run = {**drawn(seed), "lr_in_force": np.full(N_EPOCHS, lr)}
    found, loss = features(run), run["loss"]
    for name in ("log_rate_over_highest", "log_late_rate_change", "log_last_rate_change"):
        np.testing.assert_array_equal(found[name], 0.0)
    for name in ("log_epochs_since_rate_change", "log_spent_at_rate"):
        np.testing.assert_allclose(found[name], np.log1p(run["epoch"]), rtol=1e-5)
    np.testing.assert_allclose(
        found["log_loss_since_rate_change"], np.log(loss / loss[0]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("drop", [10, 25])
@pytest.mark.parametrize("factor", [0.1, 0.5])
def test_a_drop_is_where_counting_begins_again(drop: int, factor: float) -> None:
    run = drawn(0)
    run["lr_in_force"] = np.where(run["epoch"] < drop, 0.1, 0.1 * factor)
    found, after = features(run), run["epoch"] >= drop
    for name in ("log_rate_over_highest", "log_last_rate_change"):
        np.testing.assert_allclose(found[name], np.where(after, np.log(factor), 0), atol=1e-6)
    since = np.expm1(found["log_epochs_since_rate_change"])
    np.testing.assert_allclose(since, run["epoch"] - drop * after, rtol=1e-5)
    fallen = np.log(run["loss"] / run["loss"][drop - 1])
    np.testing.assert_allclose(found["log_loss_since_rate_change"][after], fallen[after], rtol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_was_spent_counts_in_epochs_at_the_present_rate(schedule: str) -> None:
    run = drawn(0)
    passes = learning_rates(schedule, 0.1, N_EPOCHS)[: N_EPOCHS - 1]
    run["lr_in_force"] = np.concatenate([passes[:1], passes])
    spent = np.concatenate([[0.0], np.cumsum(passes)]) / run["lr_in_force"]
    np.testing.assert_allclose(features(run)["log_spent_at_rate"], np.log1p(spent), rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_of_zero_say_something_finite_and_begin_and_end_a_stretch(seed: int) -> None:
    run = drawn(seed, zeros=True)
    found, loss = features(run), run["loss"]
    for name, values in found.items():
        assert np.isfinite(values).all(), name
    for start, end in ((3, 4), (20, 24), (24, 25)):
        since = np.expm1(found["log_epochs_since_rate_change"][start:end])
        np.testing.assert_allclose(since, np.arange(end - start), rtol=1e-5)
        fall = np.log(loss[start:end] / loss[start - 1])
        np.testing.assert_allclose(found["log_loss_since_rate_change"][start:end], fall, rtol=1e-4)
    for values in features({**run, "lr_in_force": np.zeros(N_EPOCHS)}).values():
        assert np.isfinite(values).all()
