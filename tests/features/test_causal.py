"""Causal features on curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import chebyshev, cityblock, cosine, euclidean

from epochs_left.dynamics.curves import EPOCH_LIMIT, LOG_FLOOR
from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.features import FEATURE_GROUPS, compute_features
from epochs_left.prediction.examples import ExamplePlan, Recipe, examples_of
from epochs_left.storage.run_store import RunStore
from epochs_left.trajectories import Trajectories
from epochs_left.workloads import WORKLOADS

N_EPOCHS = 60
T = np.arange(N_EPOCHS)
TARGET = 1e-6


def features(group: str, **inputs: np.ndarray | float) -> dict[str, np.ndarray]:
    """Features of one run, shape ``(n_epochs,)``; curves per epoch, numbers per run."""
    arrays = {name: np.asarray(value, dtype=float).reshape(1, -1) for name, value in inputs.items()}
    runs = Trajectories(
        lengths=np.array([N_EPOCHS]), inputs={"epoch": T[None, :].astype(float), **arrays}
    )
    computed = compute_features(runs, [FEATURE_GROUPS[group]])
    return {name: values[0] for name, values in computed.items()}


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_slopes_of_a_geometric_decay_give_its_rate_and_its_end(rate: float) -> None:
    loss = 2.0 * rate**T
    found = features("loss_slopes", loss=loss, target=TARGET)
    remaining = np.maximum(np.log(TARGET / loss) / np.log(rate), 0)
    for window in (1, 4, 16):
        slope = found[f"log_loss_slope_{window}"]
        np.testing.assert_allclose(slope[1:], np.log(rate), rtol=1e-5)
        epochs = np.expm1(found[f"log_epochs_at_slope_{window}"])
        np.testing.assert_allclose(epochs[1:], remaining[1:], rtol=1e-4, atol=1e-4)
        assert epochs[0] == pytest.approx(EPOCH_LIMIT, rel=1e-4)
    np.testing.assert_allclose(found["slope_change"], 0, atol=1e-6)


def test_slope_features_forget_what_lies_before_their_window() -> None:
    loss = np.where(T < 30, 1.0, 0.9 ** (T - 30))
    found = features("loss_slopes", loss=loss, target=TARGET)
    assert found["log_loss_slope_4"][34] == pytest.approx(np.log(0.9), rel=1e-5)
    assert found["log_loss_slope_16"][34] == pytest.approx(np.log(0.9) * 4 / 16, rel=1e-5)


@pytest.mark.parametrize("rate", [0.5, 0.9])
@pytest.mark.parametrize("floor", [0.0, 1e-7])
def test_limit_below_the_target_gives_the_epochs_to_it(rate: float, floor: float) -> None:
    loss = floor + rate**T
    found = features("loss_limit", loss=loss, target=TARGET)
    remaining = np.log((TARGET - floor) / rate**T) / np.log(rate)
    early = slice(3, int(remaining[0] / 2))
    epochs = np.expm1(found["log_epochs_to_limit"])
    np.testing.assert_allclose(epochs[early], remaining[early], rtol=0.02)
    np.testing.assert_allclose(found["excess_slope"][early], np.log(rate), rtol=1e-3)


def test_limit_above_the_target_is_never_reached() -> None:
    found = features("loss_limit", loss=0.25 + 0.5**T, target=TARGET)
    assert np.all(np.expm1(found["log_epochs_to_limit"][3:15]) > 50)
    assert np.all(np.diff(found["log_excess_to_limit"][3:15]) < 0)


def test_loss_level_counts_from_the_start_and_to_the_target() -> None:
    loss = 3.0 * 0.9**T
    found = features("loss_level", loss=loss, target=TARGET)
    np.testing.assert_allclose(found["log_loss"], np.log(loss), rtol=1e-6)
    np.testing.assert_allclose(found["log_gap_to_target"], np.log(loss / TARGET), rtol=1e-5)
    np.testing.assert_allclose(found["log_loss_drop"], -T * np.log(0.9), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["log_elapsed"], np.log1p(T), rtol=1e-6)


def test_gradient_dominance_of_a_quadratic_is_constant() -> None:
    distance = 0.9**T
    found = features("gradient_norm", loss=distance**2, grad_norm=2 * distance)
    np.testing.assert_allclose(found["log_gradient_dominance"], np.log(4), rtol=1e-5)
    np.testing.assert_allclose(found["log_grad_norm_slope"][1:], np.log(0.9), rtol=1e-5)


def test_expected_descent_of_a_quadratic_is_first_order_exact() -> None:
    distance, lr = 0.9**T, 1e-4
    settings = {"lr": lr, "momentum": 0.0, "batch_size": 4.0, "n_examples": 4.0}
    found = features(
        "expected_descent", loss=distance**2, grad_norm=2 * distance, target=TARGET, **settings
    )
    np.testing.assert_allclose(np.exp(found["log_expected_descent"]), 4 * lr, rtol=1e-4)
    online = features(
        "expected_descent",
        loss=distance**2,
        grad_norm=2 * distance,
        target=TARGET,
        **{**settings, "batch_size": 1.0, "momentum": 0.9},
    )
    np.testing.assert_allclose(np.exp(online["log_expected_descent"]), 160 * lr, rtol=1e-4)


def test_noise_counts_rises_and_the_spread_of_the_steps() -> None:
    smooth = features("loss_noise", loss=0.9**T)
    np.testing.assert_allclose(smooth["share_of_rises"], 0)
    np.testing.assert_allclose(smooth["slope_noise"][20:], 0, atol=1e-6)
    saw = features("loss_noise", loss=np.where(T % 2, 2.0, 1.0))
    np.testing.assert_allclose(saw["share_of_rises"][20:], 0.5)
    np.testing.assert_allclose(saw["slope_noise"][20:], np.log(2), rtol=1e-5)


def from_path(path: np.ndarray, group: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Features of one run with these parameters, shape ``(n_epochs, P)``."""
    whole = np.zeros(path.shape[1], dtype=int)
    length = np.array([len(path)])
    geometry = trajectory_geometry(path, length, block_of_param=whole, n_blocks=1)
    return features(group, **{name: geometry[name] for name in geometry}, **inputs)


def test_a_straight_path_is_straight_and_a_closed_one_is_not() -> None:
    ahead = np.stack([T, 2.0 * T, 1 + 0 * T], axis=-1)
    there_and_back = np.where(T < 30, T, 60 - T)
    back = np.stack([there_and_back, 0 * T, 1 + 0 * T], axis=-1)
    for params, step, at_end in ((ahead, 5**0.5, 1.0), (back, 1.0, 1 / 59)):
        found = from_path(params, "distance_from_start", path_length=step * T)
        assert found["straightness"][-1] == pytest.approx(at_end, rel=1e-5)
        assert found["straightness"][0] == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_distances_from_the_start_are_those_of_scipy(seed: int) -> None:
    path = np.random.default_rng(seed).normal(size=(N_EPOCHS, 7))
    found = from_path(path, "distance_from_start", path_length=1.0 * T)
    metrics = {"l1": cityblock, "l2": euclidean, "chebyshev": chebyshev, "cosine": cosine}
    for name, metric in metrics.items():
        expected = [np.log(metric(theta, path[0])) for theta in path[1:]]
        np.testing.assert_allclose(found[f"log_{name}_from_start"][1:], expected, rtol=1e-5)


def test_settings_are_what_they_say() -> None:
    found = features("learning_rate", lr=0.1)
    np.testing.assert_allclose(found["log_lr"], np.log(0.1), rtol=1e-6)
    found = features("batch", batch_size=1.0, n_examples=4.0)
    np.testing.assert_allclose(found["batch_share"], 0.25)
    np.testing.assert_allclose(found["log_steps"], np.log(4))
    found = features("weight_decay", weight_decay=1e-4)
    np.testing.assert_allclose(found["log_weight_decay"], np.log(1e-4), rtol=1e-6)
    assert np.all(features("weight_decay", weight_decay=0.0)["log_weight_decay"] == LOG_FLOOR)


def test_theory_is_exact_for_the_unit_in_full_batch(small_store: RunStore) -> None:
    """Rounding to float32 may move a crossing by one epoch, never more."""
    recipe = Recipe(
        plan=ExamplePlan(
            epochs_per_run=1_000, landmarks=(), locked_share=0.0, extra_share=0.0, root_seed=0
        ),
        groups=[FEATURE_GROUPS["theory"]],
        block_of_param=WORKLOADS["neuron"].block_of_param,
        geometry=lambda *_: {},
        probe=None,
    )
    differences: list[float] = []
    for name in small_store.shard_names():
        for rows in small_store.read(name):
            runs = small_store.runs().to_pandas().set_index("run_id").loc[rows.run_ids]
            plain = (runs["architecture"] == "abs-unit") & (runs["batch_size"] == 4)
            exact = plain & (runs["optimizer"] == "sgd") & (runs["lr"] < 0.5)
            wanted = runs.index[exact & (runs["outcome"] == "converged")]
            for part in examples_of(rows, pa.Table.from_pandas(runs.reset_index()), recipe):
                frame = part.to_pandas()
                frame = frame[frame["run_id"].isin(wanted)]
                predicted = frame["theory_epochs_remaining"]
                differences += (predicted - frame["remaining"]).tolist()
    assert len(differences) > 500
    assert np.abs(differences).max() <= 1
    assert np.mean(np.array(differences) == 0) > 0.99
