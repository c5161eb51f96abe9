"""Features of some cells are those of the whole block there, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.plateau_forecast import DECAYS, POWER_LAWS, plateau_forecast
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.features import FEATURE_GROUPS, FeatureGroup, compute_features
from epochs_left.schema import View
from epochs_left.trajectories import Trajectories, pad

N_RUNS, HORIZON = 6, 70
KNOWN = (
    {"epoch", "loss", "target", "plateau", "horizon", "grad_norm", "momentum", "optimizer"}
    | {"lr", "lr_schedule", "planned_lr", "lr_in_force"}
)  # fmt: skip
GROUPS = {
    name: group
    for name, group in FEATURE_GROUPS.items()
    if group.view is View.CAUSAL and KNOWN.issuperset(group.requires)
}
#: Groups that fit curves, the suffix of their features by name.
OF_CURVES = {
    "plateau_by_curve": "",
    "plateau_on_clock": "_on_clock",
    "plateau_on_rates": "_on_rates",
}
FITS = {
    "power_25%": (POWER_LAWS, 0.25),
    "power_50%": (POWER_LAWS, 0.5),
    "decay_50%": (DECAYS, 0.5),
}
SEEDS = range(4)


def make_runs(seed: int) -> Trajectories:
    """Runs of unequal length that fall, or blow up, on a schedule."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 50, N_RUNS)
    epoch = pad(np.concatenate([np.arange(n) for n in lengths]), lengths)
    loss = (epoch + 1) ** -rng.uniform(0.1, 1, (N_RUNS, 1))
    loss *= np.exp(0.03 * rng.standard_normal(loss.shape))
    loss[0] *= np.exp(np.minimum(20 * epoch[0], 700))
    rates = learning_rates("cosine", 0.1, HORIZON)[:-1]
    column = np.ones((N_RUNS, 1))
    inputs = {
        "epoch": epoch,
        "loss": loss,
        "grad_norm": np.sqrt(loss),
        "lr_in_force": np.where(np.isnan(epoch), np.nan, rates[: epoch.shape[1]]),
        "target": rng.uniform(1e-3, 0.1, (N_RUNS, 1)),
        "plateau": rng.uniform(0.003, 0.3, (N_RUNS, 1)),
        "horizon": HORIZON * column,
        "lr": 0.1 * column,
        "momentum": 0.9 * column,
        "planned_lr": column * rates,
        "lr_schedule": np.full((N_RUNS, 1), "cosine", dtype=object),
        "optimizer": np.full((N_RUNS, 1), "sgd", dtype=object),
    }
    return Trajectories(lengths=lengths, inputs=inputs)


def test_curves_on_every_clock_are_among_the_groups() -> None:
    assert GROUPS.keys() >= OF_CURVES.keys() | {"loss_level", "optimizer_settings", "rates_so_far"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", GROUPS)
def test_cells_have_the_features_of_the_whole_block(name: str, seed: int) -> None:
    runs = make_runs(seed)
    drawn = np.random.default_rng(seed).permutation(runs.observed.size)[:20]
    whole = compute_features(runs, [GROUPS[name]])
    of_cells = compute_features(runs, [GROUPS[name]], cells=drawn)
    assert list(of_cells) == list(whole)
    for feature, values in of_cells.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, whole[feature].ravel()[drawn], err_msg=feature)


def test_cells_without_an_input_are_missing() -> None:
    runs = make_runs(0)
    plateau = np.where(np.arange(N_RUNS) < 2, np.nan, 0.1)[:, None]
    holed = replace(runs, inputs={**runs.inputs, "plateau": plateau})
    cells = np.arange(N_RUNS) * runs.n_epochs
    for values in compute_features(holed, [GROUPS["plateau_goal"]], cells=cells).values():
        np.testing.assert_array_equal(np.isnan(values), np.arange(N_RUNS) < 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(n for n, g in GROUPS.items() if "plateau" in g.requires))
def test_a_plateau_that_is_asked_for_late_has_the_same_features_from_there_on(
    name: str, seed: int
) -> None:
    runs = make_runs(seed)
    first = int(np.random.default_rng(seed).integers(1, runs.n_epochs))
    is_late = np.arange(runs.n_epochs) >= first
    asked = np.where(is_late, runs.inputs["plateau"], np.nan)
    late = replace(runs, inputs={**runs.inputs, "plateau": asked})
    whole = compute_features(runs, [GROUPS[name]])
    for feature, values in compute_features(late, [GROUPS[name]]).items():
        np.testing.assert_array_equal(values, np.where(is_late, whole[feature], np.float32(np.nan)))


@pytest.mark.parametrize("name", OF_CURVES)
@pytest.mark.parametrize("fit", FITS)
def test_at_a_constant_rate_every_clock_tells_the_fit_by_epochs(name: str, fit: str) -> None:
    runs = make_runs(1)
    constant = {key: np.full_like(runs.inputs[key], 0.1) for key in ("planned_lr", "lr_in_force")}
    flat = replace(runs, inputs={**runs.inputs, **constant})
    features, suffix = compute_features(flat, [GROUPS[name]]), OF_CURVES[name]
    bases, share = FITS[fit]
    loss, plateau, epoch, horizon = (
        runs.inputs[key] for key in ("loss", "plateau", "epoch", "horizon")
    )
    expected = plateau_forecast(loss, plateau, epoch, horizon, share=share, bases=bases)
    left = expected.begins - epoch
    for kind, values in {
        "log_plateau_epochs": np.log1p(left),
        "plateau_share": left / (horizon - epoch),
        "log_misfit": np.clip(safe_log(expected.misfit), -10, 10),
    }.items():
        found = features[f"{kind}_{fit}{suffix}"][runs.observed]
        np.testing.assert_allclose(found, values[runs.observed], rtol=1e-5, atol=1e-6)


def test_values_of_a_group_are_spread_over_the_cells() -> None:
    runs = make_runs(0)
    shape = (N_RUNS, runs.n_epochs)
    spread = {
        "of_all": np.array([[3.0]]),
        "of_run": np.arange(float(N_RUNS))[:, None],
        "of_epoch": np.arange(float(shape[1]))[None],
        "wild": np.full(shape, np.inf),
    }
    group = FeatureGroup(
        name="made_up",
        view=View.CAUSAL,
        units=dict.fromkeys(spread, "1"),
        requires=("loss",),
        compute=lambda loss: {name: values + 0 * loss[1, 0] for name, values in spread.items()},
        summary="Made up.",
        baseline=False,
    )
    cells = np.array([0, shape[1], 2 * shape[1] + 1])
    found = compute_features(runs, [group], cells=cells)
    assert {name: values.tolist() for name, values in found.items()} == {
        "of_all": [3, 3, 3],
        "of_run": [0, 1, 2],
        "of_epoch": [0, 0, 1],
        "wild": [float(np.float32(1e30))] * 3,
    }
