"""The plan that the network families share, on perceptrons: cohorts, lineages, draws, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from epochs_left.config import parse_settings
from epochs_left.errors import UsageError
from epochs_left.schema import VALIDATED_MEASURES
from epochs_left.simulation.recording import LaneRows, VectorColumns
from epochs_left.workloads._initialisation import NETWORK_SCHEMES
from epochs_left.workloads._limits import lane_bytes
from epochs_left.workloads._networks import OPTIMIZERS
from epochs_left.workloads.mlp import Mlp, MlpSettings, layer_sizes

Build = Callable[..., MlpSettings]
ROOT_SEED = 5
N_RUNS = 2_000
START = ["cohort", "task", "architecture", "activation", "n_params", "init_scheme", "init_seed"]
#: Mappings of which an override may name some entries.
PARTLY = {"fixed", "lr", "train_examples"}
WIDTHS = {"xor_noise": 16, "two_moons": 16, "digits": 32, "breast_cancer": 16, "diabetes": 16}


@pytest.fixture(scope="module")
def mlp_settings(small_params: dict[str, Any]) -> Build:
    """Build settings of the mlp family, with overrides of single entries."""

    def build(**overrides: Any) -> MlpSettings:
        values = dict(small_params["mlp"])
        for name, value in overrides.items():
            values[name] = {**values[name], **value} if name in PARTLY else value
        return parse_settings(MlpSettings, values, "mlp")

    return build


@pytest.fixture(scope="module")
def settings(mlp_settings: Build) -> MlpSettings:
    return mlp_settings(runs=N_RUNS)


@pytest.fixture(scope="module")
def plan(settings: MlpSettings) -> pd.DataFrame:
    return Mlp().plan(settings, ROOT_SEED).to_pandas()


@pytest.fixture(scope="module")
def swept(plan: pd.DataFrame) -> pd.DataFrame:
    return plan[plan["cohort"] == "swept"]


def assert_shares(values: pd.Series, weights: Mapping[str, float], error: float) -> None:
    found = values.astype(str).value_counts(normalize=True)
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        assert found.get(name, 0.0) == pytest.approx(share, abs=error), name


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_lineages_is_fixed(mlp_settings: Build, share: float) -> None:
    plan = Mlp().plan(mlp_settings(runs=N_RUNS, fixed_share=share), ROOT_SEED).to_pandas()
    cohorts = plan.groupby("lineage_id")["cohort"].unique()
    assert all(len(names) == 1 for names in cohorts)
    assert np.mean(plan["cohort"] == "fixed") == pytest.approx(share, abs=0.005)


def test_fixed_runs_differ_in_initialisation_and_order_alone(
    plan: pd.DataFrame, settings: MlpSettings
) -> None:
    fixed = plan[plan["cohort"] == "fixed"]
    varying = {name for name in fixed.columns if fixed[name].nunique() > 1}
    assert varying == {"run_id", "lineage_id", "init_seed", "order_seed"}
    first = fixed.iloc[0]
    for name in ("task", "architecture", "activation", "init_scheme", "optimizer", "lr"):
        assert first[name] == getattr(settings.fixed, name)
    for name in ("momentum", "batch_size", "lr_schedule"):
        assert first[name] == getattr(settings.fixed, name)
    assert (first["weight_decay"], first["weight_decay_mode"]) == (0.0, "none")


def test_a_lineage_is_four_runs_that_start_alike(plan: pd.DataFrame) -> None:
    lineages = plan.groupby("lineage_id")
    assert (lineages.size() == 4).all()
    assert (lineages[START].nunique() == 1).all(axis=None)
    assert (lineages["order_seed"].nunique() == 4).all()
    assert lineages.ngroups == plan["init_seed"].nunique()


def test_runs_of_a_lineage_share_their_initial_parameters(settings: MlpSettings) -> None:
    workload = Mlp()
    table = workload.plan(settings, ROOT_SEED)
    for architecture in ("2-16-16-1", "64-32-32-10"):
        names = table["architecture"].to_numpy(zero_copy_only=False)
        runs = table.take(np.flatnonzero(names == architecture))
        params = workload.initial_params(runs, ROOT_SEED)
        by_lineage = pd.Series([row.tobytes() for row in params]).groupby(
            runs["lineage_id"].to_pandas()
        )
        assert (by_lineage.nunique() == 1).all()
        assert by_lineage.first().is_unique


def test_swept_runs_of_a_lineage_train_differently(swept: pd.DataFrame) -> None:
    lineages = swept.groupby("lineage_id")
    assert (lineages["lr"].nunique() == 4).all()
    assert lineages["optimizer"].nunique().mean() > 2


@pytest.mark.parametrize(
    ("column", "weights"),
    [
        ("task", "tasks"),
        ("activation", "activations"),
        ("init_scheme", "init_schemes"),
        ("optimizer", "optimizers"),
        ("lr_schedule", "lr_schedules"),
    ],
)
def test_draws_have_the_shares_of_the_settings(
    swept: pd.DataFrame, settings: MlpSettings, column: str, weights: str
) -> None:
    assert_shares(swept[column], getattr(settings, weights), error=0.02)


def test_depths_have_the_shares_of_the_settings(swept: pd.DataFrame, settings: MlpSettings) -> None:
    depths = swept["architecture"].map(lambda name: len(layer_sizes(name)) - 2)
    assert_shares(depths, settings.depths, error=0.02)
    widths = swept["architecture"].map(lambda name: set(layer_sizes(name)[1:-1]))
    assert (widths == swept["task"].map(lambda task: {settings.widths[task]})).all()


def position(plan: pd.DataFrame, settings: MlpSettings) -> np.ndarray:
    """Where each learning rate lies in its range, in [0, 1) on a logarithmic scale."""
    low, high = np.log([settings.lr[OPTIMIZERS[name]] for name in plan["optimizer"]]).T
    return (np.log(plan["lr"].to_numpy()) - low) / (high - low)


@pytest.fixture(scope="module")
def large_plan(mlp_settings: Build) -> pd.DataFrame:
    """Many swept runs of tasks with the same batch sizes; learning rates in sixteenths."""
    settings = mlp_settings(runs=4_000, fixed_share=0.0, tasks={"xor_noise": 1, "two_moons": 1})
    plan = Mlp().plan(settings, ROOT_SEED).to_pandas()
    plan["lr"] = (16 * position(plan, settings)).astype(int)
    return plan


@pytest.mark.parametrize("start", ["task", "init_scheme", "architecture", "activation"])
@pytest.mark.parametrize(
    "drawn", ["optimizer", "weight_decay_mode", "lr_schedule", "lr", "batch_size"]
)
def test_what_a_lineage_draws_says_nothing_of_what_its_runs_draw(
    large_plan: pd.DataFrame, start: str, drawn: str
) -> None:
    """Or a model would learn the learning rate from the activation, and call it an effect.

    Over all runs, and among those of each optimizer.
    """
    groups = [large_plan, *(group for _, group in large_plan.groupby("optimizer"))]
    for runs in groups[:1] if drawn == "optimizer" else groups:
        table = pd.crosstab(runs[start], runs[drawn])
        if min(table.shape) > 1:  # AdamW has one mode of weight decay
            statistic, _, degrees, _ = stats.chi2_contingency(table)
            # independent draws give about `degrees`, low-discrepancy points less
            assert statistic < degrees + 10 * (2 * degrees) ** 0.5, runs["optimizer"].unique()


def test_learning_rates_are_log_uniform_in_the_range_of_their_kind(
    swept: pd.DataFrame, settings: MlpSettings
) -> None:
    for name, kind in OPTIMIZERS.items():
        low, high = np.log(settings.lr[kind])
        lr = np.log(swept.loc[swept["optimizer"] == name, "lr"])
        assert stats.kstest((lr - low) / (high - low), "uniform").pvalue > 1e-3, name


def test_momentum_belongs_to_the_optimizer(swept: pd.DataFrame, settings: MlpSettings) -> None:
    momentum = {name: swept.loc[swept["optimizer"] == name, "momentum"] for name in OPTIMIZERS}
    for name in ("sgd", "rmsprop"):
        assert (momentum[name] == 0).all()
    for name in ("adam", "adamw"):
        assert (momentum[name] == 0.9).all()
    low, high = np.log1p(-np.array(settings.momentum)[::-1])
    for name in ("momentum", "nesterov"):
        uniform = (np.log1p(-momentum[name]) - low) / (high - low)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_weight_decay_is_zero_where_there_is_none(
    swept: pd.DataFrame, settings: MlpSettings
) -> None:
    none = swept["weight_decay_mode"] == "none"
    assert (swept.loc[none, "weight_decay"] == 0).all()
    assert swept.loc[~none, "weight_decay"].between(*settings.weight_decay).all()
    assert (swept.loc[swept["optimizer"] == "adamw", "weight_decay_mode"] == "decoupled").all()
    others = swept[swept["optimizer"] != "adamw"]
    assert_shares(others["weight_decay_mode"], settings.weight_decay_modes, error=0.03)


def test_batch_sizes_divide_the_training_set(plan: pd.DataFrame, settings: MlpSettings) -> None:
    assert (plan["n_examples"] == plan["task"].map(settings.train_examples)).all()
    assert (plan["n_examples"] % plan["batch_size"] == 0).all()
    steps = plan["n_examples"] // plan["batch_size"]
    assert steps.max() <= settings.max_steps_per_epoch
    assert (steps == 1).any()


def test_batch_sizes_with_too_many_steps_are_not_drawn(mlp_settings: Build) -> None:
    settings = mlp_settings(
        batch_sizes={"1": 1, "8": 2, "full": 3},
        max_steps_per_epoch=16,
        train_examples={"two_moons": 64, "xor_noise": 128},
    )
    assert settings.sizes_for("two_moons") == {8: 2, 64: 3}
    assert settings.sizes_for("xor_noise") == {8: 2, 128: 3}
    alike = mlp_settings(batch_sizes={"64": 1, "full": 3}, train_examples={"two_moons": 64})
    assert alike.sizes_for("two_moons") == {64: 4}


def test_thresholds_are_those_of_the_task(plan: pd.DataFrame, settings: MlpSettings) -> None:
    assert (plan["epsilon"] == plan["task"].map(settings.epsilon)).all()
    assert (plan["max_epochs"] == settings.max_epochs).all()
    assert (plan["delta"] == settings.delta).all()


def weight_deviation(scheme: str, n_in: int, n_out: int) -> float:
    return {
        "normal": 0.1,
        "uniform": (3 * n_in) ** -0.5,
        "zero_bias": (3 * n_in) ** -0.5,
        "xavier": (2 / (n_in + n_out)) ** 0.5,
        "he": (2 / n_in) ** 0.5,
        "orthogonal": max(n_in, n_out) ** -0.5,
    }[scheme]


@pytest.mark.parametrize("scheme", NETWORK_SCHEMES)
def test_every_layer_has_the_spread_of_its_scheme(mlp_settings: Build, scheme: str) -> None:
    settings = mlp_settings(
        runs=160,
        fixed_share=1.0,
        fixed={"architecture": "64-32-16-10", "init_scheme": scheme},
    )
    workload = Mlp()
    params = workload.initial_params(workload.plan(settings, ROOT_SEED), ROOT_SEED)[::4]
    start = 0
    for n_in, n_out in pairwise([64, 32, 16, 10]):
        weights, biases = np.split(params[:, start : start + (n_in + 1) * n_out], [n_in * n_out], 1)
        start += (n_in + 1) * n_out
        assert weights.std() == pytest.approx(weight_deviation(scheme, n_in, n_out), rel=0.05)
        expected = {"normal": 0.1, "uniform": (3 * n_in) ** -0.5}.get(scheme, 0.0)
        assert biases.std() == pytest.approx(expected, rel=0.1)
    assert start == params.shape[1]


def test_orthogonal_layers_are_orthonormal(mlp_settings: Build) -> None:
    fixed = {"architecture": "64-32-16-10", "init_scheme": "orthogonal"}
    workload = Mlp()
    settings = mlp_settings(runs=8, fixed_share=1.0, fixed=fixed)
    for params in workload.initial_params(workload.plan(settings, ROOT_SEED), ROOT_SEED):
        weights = params[: 64 * 32].reshape(64, 32)
        np.testing.assert_allclose(weights.T @ weights, np.eye(32), atol=1e-5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"runs": 0}, "runs must lie in"),
        ({"lanes": 1}, "lanes must lie in"),
        ({"fixed_share": 1.5}, "fixed_share must lie in"),
        ({"momentum": [0.99, 0.5]}, "momentum must be .low, high."),
        ({"lr": {"sgd": [1.0, 0.1]}}, "lr.sgd must be .low, high."),
        ({"weight_decay": [0.0, 0.1]}, "weight_decay must be .low, high."),
        ({"tasks": {"digit": 1}}, "unknown names .'digit'. in tasks"),
        ({"train_examples": {"digit": 128}}, "unknown names .'digit'. in train_examples"),
        ({"epsilon": {"digits": 0.1, "digit": 0.1}}, "unknown names .'digit'. in epsilon"),
        ({"widths": {"digits": 32, "digit": 32}}, "unknown names .'digit'. in widths"),
        ({"lr": {"sdg": [0.1, 1.0]}}, "unknown names .'sdg'. in lr"),
        ({"lr": {"sgd": [0.1, 1.0e9]}}, "lr.sgd must be .low, high. with 0 < low < high <= 1e.06"),
        ({"momentum": [0.5, 1.0]}, "momentum must be .low, high. with .* <= 0.9999"),
        ({"weight_decay": [0.1, 2.0]}, "weight_decay must be .low, high. with .* <= 1,"),
        ({"train_examples": {"two_moons": 0}}, "train_examples.two_moons must lie in .1,"),
        ({"max_steps_per_epoch": 0}, "max_steps_per_epoch must lie in .1,"),
        ({"divergence_loss": 0}, "epsilon.* must lie above 0 and below divergence_loss .0"),
        ({"divergence_loss": 0.9}, "epsilon.digits must lie above 0 and below .* .0.9., got 1.0"),
        ({"optimizers": {"adan": 1}}, "unknown names .'adan'. in optimizers"),
        ({"init_schemes": {"kaiming": 1}}, "unknown names .'kaiming'. in init_schemes"),
        ({"activations": {"swish": 1}}, "unknown names .'swish'. in activations"),
        ({"depths": {"5": 1}}, "unknown names .'5'. in depths"),
        ({"lr_schedules": {"cosin": 1}}, "unknown names .'cosin'. in lr_schedules"),
        ({"weight_decay_modes": {"l2": 1}}, "unknown names .'l2'. in weight_decay_modes"),
        ({"batch_sizes": {"0": 1}}, "batch_sizes must be positive integers or full, got '0'"),
        ({"batch_sizes": {"half": 1}}, "batch_sizes must be positive integers or full, got 'half'"),
        ({"batch_sizes": {"7": 1}}, "must be a multiple of batch size 7"),
        ({"fixed": {"optimizer": "adan"}}, "unknown names .'adan'. in optimizer"),
        ({"fixed": {"lr_schedule": "cosin"}}, "unknown names .'cosin'. in lr_schedule"),
        ({"fixed": {"init_scheme": "kaiming"}}, "unknown names .'kaiming'. in init_scheme"),
        ({"fixed": {"activation": "swish"}}, "unknown names .'swish'"),
        ({"fixed": {"task": "digit"}}, "unknown names .'digit'. in fixed.task"),
        ({"fixed": {"architecture": "64-32-32"}}, "architecture"),
        ({"fixed": {"architecture": "64-32-x"}}, "architecture"),
        ({"fixed": {"architecture": "64-30-10"}}, "multiples of 4 up to 4,096 .* 30 in 64-30-10"),
        ({"fixed": {"architecture": "64-8192-10"}}, "multiples of 4 up to 4,096 .* got 8192"),
        ({"fixed": {"optimizer": "sgd"}}, "momentum must be 0.0 for sgd .* got 0.9"),
        ({"fixed": {"optimizer": "rmsprop"}}, "momentum must be 0.0 for rmsprop .* got 0.9"),
        ({"fixed": {"optimizer": "adam", "momentum": 0.8}}, "must be 0.9 for adam .* got 0.8"),
        ({"fixed": {"optimizer": "adamw", "momentum": 0.0}}, "must be 0.9 for adamw .* got 0.0"),
        ({"widths": {**WIDTHS, "digits": 30}}, "multiples of 4 .* got 30"),
        (
            {"widths": {**WIDTHS, "two_moons": 4}},
            "'2-4-1' has 17 parameters, expected more than 32",
        ),
        ({"widths": {**WIDTHS, "two_moons": 0}}, "unknown architecture '2-0-1'"),
        ({"fixed": {"batch_size": 7}}, "multiple of batch size 7"),
        ({"fixed": {"batch_size": 0}}, "batch_size"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(
    mlp_settings: Build, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        mlp_settings(**override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.0e3])
@pytest.mark.parametrize("task", WIDTHS)
def test_every_epsilon_lies_above_zero_and_below_divergence(
    mlp_settings: Build, small_params: dict[str, Any], task: str, value: float
) -> None:
    epsilon = {**small_params["mlp"]["epsilon"], task: value}
    with pytest.raises(UsageError, match=f"epsilon.{task} must lie above 0 and below"):
        mlp_settings(epsilon=epsilon)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw", "momentum", "nesterov"])
def test_fixed_runs_record_the_momentum_that_swept_ones_would(
    mlp_settings: Build, optimizer: str
) -> None:
    momentum = {"sgd": 0.0, "rmsprop": 0.0}.get(optimizer, 0.9)
    fixed = {"optimizer": optimizer, "momentum": momentum}
    plan = Mlp().plan(mlp_settings(runs=N_RUNS, fixed=fixed), ROOT_SEED).to_pandas()
    recorded = plan[plan["optimizer"] == optimizer].groupby("cohort")["momentum"]
    if optimizer in {"momentum", "nesterov"}:
        assert (recorded.get_group("fixed") == momentum).all()
    else:
        assert (recorded.get_group("fixed") == recorded.get_group("swept").iloc[0]).all()


@pytest.mark.parametrize("lanes", [2, 8, 64])
@pytest.mark.parametrize("architecture", ["64-32-32-10", "2-256-256-1"])
def test_lanes_take_the_memory_that_their_tensors_have(lanes: int, architecture: str) -> None:
    """A narrow model's rows are its parameters, a wide one's four statistics a tensor and a sketch.

    The bound may be above, for the optimizers that hold less.
    """
    n_params, epochs = Mlp().n_params(architecture), 50
    tensors = Mlp().tensors(architecture)
    widths = VectorColumns(tensors, torch.device("cpu")).widths
    rows = LaneRows(VALIDATED_MEASURES, widths, lanes, epochs)
    held = sum(values.nbytes for values in (rows._scalars, *rows._vectors.values()))
    sizes = SimpleNamespace(lanes=lanes, runs=1_000, runs_per_shard=1_000, max_epochs=epochs)
    assert lane_bytes(sizes, tensors) == held + 8 * 4 * lanes * n_params
    few = SimpleNamespace(lanes=lanes, runs=1, runs_per_shard=1_000, max_epochs=epochs)
    assert lane_bytes(few, tensors) * lanes == lane_bytes(sizes, tensors)


@pytest.mark.parametrize(
    "override",
    [
        {"lanes": 4_096, "max_epochs": 1_000},
        {"max_epochs": 1_000_000},
        {"lanes": 4_096, "widths": {"digits": 4_096}},
    ],
)
def test_lanes_that_no_memory_holds_are_refused(
    mlp_settings: Build, override: dict[str, Any]
) -> None:
    override = {"runs": 10_000, "runs_per_shard": 10_000, **override}
    override["widths"] = {**WIDTHS, **override.get("widths", {})}
    with pytest.raises(UsageError, match="GiB of each worker's memory, expected at most 4; lower"):
        mlp_settings(**override)


@pytest.mark.parametrize("missing", ["train_examples", "epsilon", "widths"])
def test_a_task_without_its_entry_is_named(small_params: dict[str, Any], missing: str) -> None:
    values = dict(small_params["mlp"])
    values[missing] = {name: value for name, value in values[missing].items() if name != "diabetes"}
    with pytest.raises(UsageError, match=f"{missing} lacks the tasks .'diabetes'.; add them"):
        parse_settings(MlpSettings, values, "mlp")


@pytest.mark.parametrize(
    "name", ["", "64", "64-", "64-0-10", "64-x-10", "64--10", "064-10", "-3-2"]
)
def test_unknown_architectures_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown architecture"):
        layer_sizes(name)


@pytest.mark.parametrize(("name", "params"), [("2-16-16-1", 337), ("64-32-32-10", 3466)])
def test_architectures_have_their_size(name: str, params: int) -> None:
    assert Mlp().n_params(name) == params
    assert [tensor.name for tensor in Mlp().tensors(name)][:2] == ["layer1.weight", "layer1.bias"]
