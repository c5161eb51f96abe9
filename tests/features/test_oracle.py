"""Oracle features of the unit |w.x + b| are the formulas of seed 003, section 3."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.spatial import distance

from epochs_left.features import compute_features, groups_of_view
from epochs_left.schema import View
from epochs_left.trajectories import Trajectories
from epochs_left.workloads import WORKLOADS

SEEDS = range(5)
N_RUNS, N_EPOCHS = 4, 6
ORACLE = [group for group in groups_of_view(View.ORACLE) if group.view is View.ORACLE]


def trajectories(seed: int) -> Trajectories:
    rng = np.random.default_rng(seed)
    params = rng.normal(size=(N_RUNS, N_EPOCHS, 3))
    final = rng.normal(size=(N_RUNS, 3))
    final[0, 2] = 0.0
    return Trajectories(
        lengths=np.full(N_RUNS, N_EPOCHS),
        inputs={
            "epoch": np.tile(np.arange(N_EPOCHS), (N_RUNS, 1)),
            "params": params,
            "final_params": final,
            "block_of_param": np.array(WORKLOADS["neuron"].block_of_param("abs-unit")),
        },
    )


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
    runs = trajectories(seed)
    found = compute_features(runs, ORACLE)
    for run in range(N_RUNS):
        for epoch in range(N_EPOCHS):
            expected = seed_003(runs.inputs["params"][run, epoch], runs.inputs["final_params"][run])
            for name, value in expected.items():
                np.testing.assert_allclose(found[name][run, epoch], value, rtol=2e-6, err_msg=name)


def test_every_oracle_feature_has_a_formula_or_belongs_to_the_absent_fourth_block() -> None:
    names = {name for group in ORACLE for name in group.units}
    unexplained = names - set(seed_003(np.ones(3), np.ones(3)))
    assert unexplained == {name for name in names if "3" in name}
    assert len(unexplained) == 4 + 4


@pytest.mark.parametrize("seed", SEEDS)
def test_at_the_end_every_difference_vanishes(seed: int) -> None:
    runs = trajectories(seed)
    at_end = runs.inputs["params"].copy()
    at_end[:, -1] = runs.inputs["final_params"]
    found = compute_features(
        Trajectories(lengths=runs.lengths, inputs={**runs.inputs, "params": at_end}), ORACLE
    )
    for name, values in found.items():
        if not name.startswith(("ratio", "log_")):
            np.testing.assert_allclose(values[:, -1], 0.0, atol=1e-12, err_msg=name)
