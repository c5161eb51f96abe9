"""The sweep of the neuron family, its initialisations, and its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from epochs_left.errors import UsageError
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.neuron import (
    INIT_SCHEMES,
    OPTIMIZERS,
    Neuron,
    NeuronSettings,
    n_hidden,
    n_params,
)

Build = Callable[..., NeuronSettings]
ROOT_SEED = 3


@pytest.fixture(scope="module")
def settings(neuron_settings: Build) -> NeuronSettings:
    return neuron_settings(runs=2_000)


@pytest.fixture(scope="module")
def plan(settings: NeuronSettings) -> pa.Table:
    return Neuron().plan(settings, ROOT_SEED)


def shares(values: list[Any]) -> dict[Any, float]:
    return {name: count / len(values) for name, count in Counter(values).items()}


@pytest.mark.parametrize("column", ["architecture", "init_scheme", "optimizer"])
def test_draws_have_the_shares_of_the_settings(
    plan: pa.Table, settings: NeuronSettings, column: str
) -> None:
    weights = getattr(settings, f"{column}s")
    found = shares(plan[column].to_pylist())
    for name, weight in weights.items():
        assert found[name] == pytest.approx(weight / sum(weights.values()), abs=0.01)


def test_batches_are_full_or_one_example(plan: pa.Table, settings: NeuronSettings) -> None:
    found = shares(plan["batch_size"].to_pylist())
    assert set(found) == {1, 4}
    assert found[4] == pytest.approx(settings.full_batch_share, abs=0.01)


def test_learning_rates_are_log_uniform(plan: pa.Table, settings: NeuronSettings) -> None:
    low, high = np.log(settings.lr)
    uniform = (np.log(plan["lr"].to_numpy()) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").statistic < 0.01


def test_momentum_is_log_uniform_in_its_complement_and_absent_from_sgd(
    plan: pa.Table, settings: NeuronSettings
) -> None:
    plain = plan["optimizer"].to_numpy() == "sgd"
    momentum = plan["momentum"].to_numpy()
    assert np.all(momentum[plain] == 0)
    low, high = np.log1p(-np.array(settings.momentum)[::-1])
    uniform = (np.log1p(-momentum[~plain]) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_runs_of_a_lineage_differ_in_training_alone(plan: pa.Table) -> None:
    frame = plan.to_pandas()
    start = ["architecture", "activation", "n_params", "init_scheme", "init_seed"]
    assert (frame.groupby("lineage_id")[start].nunique() == 1).all(axis=None)
    assert (frame.groupby("lineage_id").size() == 4).all()
    assert (frame.groupby("lineage_id")["lr"].nunique() == 4).all()
    assert frame["run_id"].is_unique


@pytest.mark.parametrize(
    "override",
    [
        {"lr": [1.0e-3, 1.0]},
        {"momentum": [0.6, 0.98]},
        {"optimizers": {"sgd": 1, "nesterov": 1}},
        {"full_batch_share": 0.5},
        {"init_schemes": {"normal": 1, "he": 1}},
        {"architectures": {"abs-unit": 1, "tanh-2": 1}},
    ],
)
def test_run_ids_are_equal_exactly_where_all_settings_are(
    plan: pa.Table, neuron_settings: Build, override: dict[str, Any]
) -> None:
    frame = plan.to_pandas()
    other = Neuron().plan(neuron_settings(runs=2_000, **override), ROOT_SEED).to_pandas()
    settings = [name for name in frame.columns if name not in {"run_id", "lineage_id"}]
    equal = (frame[settings] == other[settings]).all(axis=1)
    np.testing.assert_array_equal(frame["run_id"] == other["run_id"], equal)
    assert not equal.all()


def test_one_unit_of_another_activation_is_not_in_the_sweep(plan: pa.Table) -> None:
    kinds = set(zip(plan["architecture"].to_pylist(), plan["n_params"].to_pylist(), strict=True))
    assert ("abs-unit", 3) in kinds
    assert min(count for name, count in kinds if name != "abs-unit") == 9


@pytest.mark.parametrize(
    ("name", "hidden", "params"), [("abs-unit", 0, 3), ("relu-2", 2, 9), ("leaky_relu-4", 4, 17)]
)
def test_architectures_have_their_size(name: str, hidden: int, params: int) -> None:
    assert (n_hidden(name), n_params(name)) == (hidden, params)
    assert len(Neuron().block_of_param(name)) == params


@pytest.mark.parametrize("name", ["relu-0", "relu", "gelu-2", "tanh-", "tanh--2", "tanh-2.5", ""])
def test_unknown_architectures_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown architecture"):
        n_hidden(name)


def start(scheme: str, architecture: str, n: int) -> np.ndarray:
    """Initial parameters of n lineages."""
    runs = pa.table(
        {
            "lineage_id": [f"{i:016x}" for i in range(n)],
            "architecture": [architecture] * n,
            "init_scheme": [scheme] * n,
        }
    )
    return Neuron().initial_params(runs, ROOT_SEED)


WEIGHT_SPREAD = {
    "normal": 1.0,
    "uniform": 3**-0.5,
    "zero_bias": 1.0,
    "xavier": (2 / (2 + 4)) ** 0.5,
    "he": 1.0,
    "orthogonal": 0.5,  # two orthonormal columns of four
}


@pytest.mark.parametrize("scheme", INIT_SCHEMES)
def test_hidden_weights_have_the_spread_of_their_scheme(scheme: str) -> None:
    weights = start(scheme, "relu-4", 2_000)[:, :8]
    assert weights.std() == pytest.approx(WEIGHT_SPREAD[scheme], rel=0.05)
    assert weights.mean() == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("scheme", ["zero_bias", "xavier", "he", "orthogonal"])
def test_biases_are_zero_where_the_scheme_says_so(scheme: str) -> None:
    params = start(scheme, "tanh-3", 10)
    np.testing.assert_array_equal(params[:, 6:9], 0)
    np.testing.assert_array_equal(params[:, 12], 0)
    np.testing.assert_array_equal(start(scheme, "abs-unit", 10)[:, 2], 0)


def test_orthogonal_weights_are_orthonormal() -> None:
    for params in start("orthogonal", "relu-4", 20):
        weights = params[:8].reshape(4, 2)
        np.testing.assert_allclose(weights.T @ weights, np.eye(2), atol=1e-6)


def test_uniform_weights_stay_within_one() -> None:
    params = start("uniform", "abs-unit", 2_000)
    assert np.abs(params).max() < 1
    assert stats.kstest(params.ravel(), "uniform", args=(-1, 2)).pvalue > 1e-3


def test_each_run_has_its_own_stream_of_orders(plan: pa.Table) -> None:
    keys = order_keys(plan, ROOT_SEED)
    assert len({tuple(key) for key in keys.tolist()}) == plan.num_rows
    np.testing.assert_array_equal(order_keys(plan.slice(5, 3), ROOT_SEED), keys[5:8])
    assert not np.array_equal(order_keys(plan, ROOT_SEED + 1), keys)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"runs": 0}, "runs must lie in"),
        ({"lr": [0.1]}, "lr must be"),
        ({"lr": [1.0, 0.1]}, "lr must be"),
        ({"lr": [0.0, 0.1]}, "lr must be"),
        ({"momentum": [0.5, 1.0]}, "momentum must lie in"),
        ({"optimizers": {"adam": 1}}, "unknown names .'adam'. in optimizers"),
        ({"init_schemes": {"normall": 1}}, "unknown names .'normall'. in init_schemes"),
        ({"architectures": {"relu-0": 1}}, "unknown architecture 'relu-0'"),
        ({"optimizers": {"sgd": 0}}, "not all 0"),
        ({"optimizers": {"sgd": 1, "nesterov": -1}}, "must be 0 or more"),
        ({"epsilon": -1.0e-6}, "epsilon must lie in"),
        ({"divergence_loss": 1.0e-9}, "divergence_loss must lie in"),
        ({"full_batch_share": 1.5}, "full_batch_share must lie in"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    neuron_settings: Build, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        neuron_settings(**override)


def test_every_known_optimizer_can_be_planned(neuron_settings: Build) -> None:
    settings = neuron_settings(optimizers=dict.fromkeys(OPTIMIZERS, 1))
    assert set(Neuron().plan(settings, 0)["optimizer"].to_pylist()) == set(OPTIMIZERS)


@pytest.mark.parametrize("start", ["architecture", "init_scheme"])
@pytest.mark.parametrize("drawn", ["lr", "batch_size", "optimizer"])
def test_what_a_lineage_draws_says_nothing_of_what_its_runs_draw(
    neuron_settings: Build, start: str, drawn: str
) -> None:
    """Or a model would learn the learning rate from the architecture, and call it an effect."""
    settings = neuron_settings(runs=8_000)
    plan = Neuron().plan(settings, ROOT_SEED).to_pandas()
    low, high = np.log(settings.lr)
    plan["lr"] = (16 * (np.log(plan["lr"]) - low) / (high - low)).astype(int)
    statistic, _, degrees, _ = stats.chi2_contingency(pd.crosstab(plan[start], plan[drawn]))
    # independent draws give about `degrees`, low-discrepancy points less
    assert statistic < degrees + 10 * (2 * degrees) ** 0.5
