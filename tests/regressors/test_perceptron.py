"""The numpy forward pass, training and its reproducibility."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from epochs_left.regressors import REGRESSORS, _perceptron
from epochs_left.regressors._perceptron import HELD_OUT_FOLDS, MultilayerPerceptron
from epochs_left.regressors._tuning import folds_of_groups
from epochs_left.storage.estimators import dump_estimator


def table(seed: int, n: int = 1_500) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X, 3 + np.abs(X[:, 0]) * X[:, 1]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_forward_pass_is_that_of_torch(depth: int) -> None:
    X, y = table(depth)
    model = MultilayerPerceptron(depth=depth, steps=20).fit(X, y)
    layers: list[torch.nn.Module] = []
    for weights, biases in zip(model.weights_, model.biases_, strict=True):
        layer = torch.nn.Linear(*weights.shape, dtype=torch.float64)
        layer.weight.data = torch.from_numpy(weights.T.copy())
        layer.bias.data = torch.from_numpy(biases.copy())
        layers += [layer, torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    assert len(model.weights_) == depth + 1
    expected = network(torch.from_numpy(X)).detach().numpy()[:, 0]
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(2))
def test_it_learns_an_interaction(seed: int) -> None:
    X, y = table(seed)
    new, actual = table(seed + 10)
    model = MultilayerPerceptron(random_state=seed).fit(X, y)
    assert np.mean((model.predict(new) - actual) ** 2) < 0.1 * np.var(actual)


def test_bytes_are_the_same_at_any_number_of_threads() -> None:
    X, y = table(0)
    threads, stored = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            stored.append(dump_estimator(MultilayerPerceptron(steps=30).fit(X, y)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert stored[0] == stored[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_step_that_is_best_on_the_groups_held_out_is_kept(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 12 groups of noise the last step is worse than an earlier one."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(12), 50)
    X, y = rng.normal(size=(12, 30))[groups], rng.normal(size=12)[groups]
    held_out = folds_of_groups(groups, HELD_OUT_FOLDS)[0][1]
    errors = []
    for every in (20, 200):
        monkeypatch.setattr(_perceptron, "CHECK_EVERY", every)
        model = MultilayerPerceptron(steps=200, random_state=seed).fit(X, y, groups=groups)
        errors.append(np.mean((model.predict(X[held_out]) - y[held_out]) ** 2))
    assert errors[0] < errors[1]


LOADING = """
import sys
from epochs_left.storage.estimators import load_estimator
model = load_estimator(".skops", open(sys.argv[1], "rb").read())
print(float(model.predict([[0.5, -1.0, 2.0]])[0]), "torch" in sys.modules)
"""


def test_a_stored_perceptron_needs_no_torch(tmp_path_factory: pytest.TempPathFactory) -> None:
    X, y = table(0)
    model = REGRESSORS["mlp"].build(0).fit(X, y)
    path = tmp_path_factory.mktemp("mlp") / "model.skops"
    path.write_bytes(dump_estimator(model)[1])
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(float(model.predict([[0.5, -1.0, 2.0]])[0])), "False"]
