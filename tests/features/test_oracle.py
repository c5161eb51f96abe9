"""Oracle features of the unit |w.x + b|: the formulas of seed 003, section 3, and known paths."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.spatial import distance

from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.features import compute_features, groups_of_view
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.schema import View
from epochs_left.trajectories import Trajectories, pad
from epochs_left.workloads import WORKLOADS

SEEDS = range(5)
N_RUNS, N_EPOCHS = 4, 6
BLOCKS = np.array(WORKLOADS["neuron"].block_of_param("abs-unit"))
ORACLE = [group for group in groups_of_view(View.ORACLE) if group.view is View.ORACLE]
#: Groups of seed 003, sections 3.1 and 3.2.
OF_THE_SEED = ("oracle_distances", "oracle_differences", "oracle_ratios", "oracle_interactions")


def draw_params(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters ``(R, E, 3)``, and final ones beyond the last epoch, ``(R, 3)``; one is 0."""
    rng = np.random.default_rng(seed)
    params, final = rng.normal(size=(N_RUNS, N_EPOCHS, 3)), rng.normal(size=(N_RUNS, 3))
    final[0, 2] = 0.0
    return params, final


def computed(params: np.ndarray, final: np.ndarray, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Oracle features of these paths."""
    lengths = np.full(len(params), params.shape[1])
    geometry = trajectory_geometry(
        params.reshape(-1, 3), lengths, final=final, block_of_param=BLOCKS, n_blocks=N_BLOCKS
    )
    of_run = geometry.pop("final_block_mean")[:, None]
    epoch = np.tile(np.arange(float(params.shape[1])), (len(params), 1))
    known = {name: pad(values, lengths) for name, values in geometry.items()}
    everything = {"epoch": epoch, "final_block_mean": of_run, **known, **inputs}
    return compute_features(Trajectories(lengths=lengths, inputs=everything), ORACLE)


def seed_003(current: np.ndarray, final: np.ndarray) -> dict[str, float]:
    """Sections 3.1 and 3.2 for one pair of parameter vectors."""
    difference = current - final
    formulas = {
        "l1_to_final": distance.cityblock(current, final),
        "l2_to_final": distance.euclidean(current, final),
        "cosine_to_final": distance.cosine(current, final),
        "chebyshev_to_final": distance.chebyshev(current, final),
    }
    formulas |= {f"log_{name}": np.log(value + 1e-8) for name, value in formulas.items()}
    for i in range(3):
        epsilon = -1e-3 if final[i] < 0 else 1e-3
        formulas[f"absolute_difference_{i}"] = abs(difference[i])
        formulas[f"signed_difference_{i}"] = difference[i]
        formulas[f"log_difference_{i}"] = np.log(abs(difference[i]) + 1e-8)
        formulas[f"ratio_{i}"] = np.clip(current[i] / (final[i] + epsilon), -1e3, 1e3)
    for i, j in combinations_with_replacement(range(3), 2):
        formulas[f"interaction_{i}_{j}"] = difference[i] * difference[j]
    return formulas


@pytest.mark.parametrize("seed", SEEDS)
def test_features_equal_the_formulas_of_the_seed(seed: int) -> None:
    params, final = draw_params(seed)
    found = computed(params, final)
    for run in range(N_RUNS):
        for epoch in range(N_EPOCHS):
            for name, value in seed_003(params[run, epoch], final[run]).items():
                np.testing.assert_allclose(found[name][run, epoch], value, rtol=2e-6, err_msg=name)


def test_every_feature_of_the_seed_has_a_formula_or_belongs_to_the_absent_fourth_block() -> None:
    names = {name for group in ORACLE if group.name in OF_THE_SEED for name in group.units}
    unexplained = names - set(seed_003(np.ones(3), np.ones(3)))
    assert unexplained == {name for name in names if "3" in name}
    assert len(unexplained) == 4 + 4


@pytest.mark.parametrize("seed", SEEDS)
def test_at_the_end_every_difference_vanishes(seed: int) -> None:
    params, final = draw_params(seed)
    params[:, -1] = final
    found = computed(params, final)
    names = {name for group in ORACLE if group.name in OF_THE_SEED for name in group.units}
    for name in names:
        if not name.startswith(("ratio", "log_")):
            np.testing.assert_allclose(found[name][:, -1], 0.0, atol=1e-12, err_msg=name)


STEPS = 40  # to the end of a straight path


def straight(velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A path of constant velocity, cut off before its end, and that end."""
    start = np.array([0.3, -1.2, 0.7])
    path = start + velocity * np.arange(STEPS + 1)[:, None]
    return path[None, : STEPS - 5], path[None, -1]


def speeds(velocity: np.ndarray, **settings: float) -> dict[str, np.ndarray]:
    """Epochs to the end of a straight path by each speed feature, shape ``(n_epochs,)``."""
    params, final = straight(velocity)
    size = np.full(params.shape[:2], np.linalg.norm(velocity))
    size[:, 0] = 0.0
    columns = {name: np.full((1, 1), value) for name, value in settings.items()}
    steps = settings["n_examples"] / settings["batch_size"]
    rate = settings["lr"] / (1 - settings["momentum"])
    gradient = np.full(size.shape, size[0, 1] / (rate * steps))
    found = computed(params, final, update_norm=size, grad_norm=gradient, **columns)
    return {
        name: np.expm1(values[0]) for name, values in found.items() if name.startswith("log_epochs")
    }


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("batch_size", [4.0, 32.0])
def test_speeds_are_exact_on_a_straight_path_of_constant_speed(
    momentum: float, batch_size: float
) -> None:
    settings = {"lr": 0.1, "momentum": momentum, "batch_size": batch_size, "n_examples": 32.0}
    found = speeds(np.array([0.02, -0.01, 0.03]), n_params=3.0, **settings)
    remaining = STEPS - np.arange(STEPS - 5.0)
    for name in ("log_epochs_at_speed", "log_epochs_at_headway"):
        np.testing.assert_allclose(found[name][1:], remaining[1:], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(found["log_epochs_at_gradient_step"], remaining, rtol=1e-5)


def test_unit_steps_are_exact_where_each_coordinate_moves_by_lr_a_step() -> None:
    settings = {"lr": 0.01, "momentum": 0.9, "batch_size": 8.0, "n_examples": 32.0}
    found = speeds(0.01 * 4 * np.array([1.0, -1.0, 1.0]), n_params=3.0, **settings)
    remaining = STEPS - np.arange(STEPS - 5.0)
    np.testing.assert_allclose(found["log_epochs_at_unit_step"], remaining, rtol=1e-5)


def test_headway_counts_the_part_of_the_update_that_leads_to_the_end() -> None:
    """Zigzag at 60 degrees to the way: half of the speed is headway."""
    ahead, aside = np.array([1.0, 0.0, 0.0]), np.array([0.0, 3**0.5, 0.0])
    t = np.arange(60)[:, None]
    path = 0.01 * (t * ahead + (t % 2) * aside)[None]
    size = np.full((1, 60), 0.02)
    columns = {name: np.ones((1, 1)) for name in ("lr", "batch_size", "n_examples")}
    columns |= {"momentum": np.zeros((1, 1)), "grad_norm": size}
    found = computed(path, 0.01 * 1000 * ahead[None], update_norm=size, **columns)
    at_speed, at_headway = (
        np.expm1(found[f"log_epochs_at_{name}"][0, 1:]) for name in ("speed", "headway")
    )
    np.testing.assert_allclose(at_speed, (1000 - np.arange(1, 60)) / 2, rtol=1e-3)
    np.testing.assert_allclose(at_headway, 1000 - np.arange(1, 60), rtol=1e-2)


def test_heading_is_one_on_the_way_and_minus_one_on_the_way_back() -> None:
    params, final = straight(np.array([0.02, -0.01, 0.03]))
    np.testing.assert_allclose(computed(params, final)["homing_cosine"][0, 1:], 1.0, atol=1e-6)
    back = computed(params, 2 * params[:, 0] - final)["homing_cosine"]
    np.testing.assert_allclose(back[0, 1:], -1.0, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_alignment_is_split_into_size_sign_and_cosine(seed: int) -> None:
    params, final = draw_params(seed)
    rng = np.random.default_rng(seed)
    alignment = rng.choice([-1, 0, 1], (N_RUNS, N_EPOCHS)) * rng.uniform(
        1e-3, 2, (N_RUNS, N_EPOCHS)
    )
    cosine = rng.uniform(-1, 1, alignment.shape)
    found = computed(params, final, grad_alignment=alignment, grad_alignment_cosine=cosine)
    np.testing.assert_allclose(
        found["grad_alignment_sign"] * np.exp(found["log_grad_alignment"]), alignment, rtol=1e-5
    )
    np.testing.assert_array_equal(found["grad_alignment_cosine"], cosine.astype(np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_in_function_space_are_logs(seed: int) -> None:
    params, final = draw_params(seed)
    rng = np.random.default_rng(seed)
    names = ("kl_to_final", "ntk_to_final", "fisher_rao_to_final")
    values = {name: rng.uniform(1e-4, 10, (N_RUNS, N_EPOCHS)) for name in names}
    found = computed(params, final, **values)
    for name in names:
        np.testing.assert_allclose(np.exp(found[f"log_{name}"]), values[name], rtol=1e-5)


def test_every_oracle_group_is_tested_here() -> None:
    others = ("oracle_speed", "oracle_unit_step", "oracle_heading", "oracle_alignment")
    known = {*OF_THE_SEED, *others, "function_distance_to_final"}
    assert {group.name for group in ORACLE} == known
