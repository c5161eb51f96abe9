"""The neuron family: the unit y = |w.x + b| of seed 003 on centred XOR, and small hidden layers.

One ReLU, leaky ReLU or tanh unit cannot represent XOR, so its outcome would be given away by its
name; those activations get 2-4 hidden units, y = sum_j a_j phi(w_j . x + b_j) + c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.config import check_range
from epochs_left.dynamics.criterion import Criterion
from epochs_left.dynamics.xor import N_EXAMPLES, N_INPUTS
from epochs_left.schema import EPOCH_MEASURES, OUTCOMES, Outcome
from epochs_left.seeding import Purpose, Scalar, content_id, generator, key_of
from epochs_left.workloads import Source, TaskData, Tensor, blocks_of, workload
from epochs_left.workloads._initialisation import Scheme, he, orthogonal, xavier
from epochs_left.workloads._sweep import (
    check_limits,
    check_weights,
    choose,
    lineage_points,
    log_uniform,
    momentum_at,
    table_of,
)

#: Optimizers that the engine knows; all but the first have momentum.
OPTIMIZERS = ("sgd", "momentum", "nesterov")


@dataclass(frozen=True, kw_only=True)
class NeuronSettings:
    """The sweep of the neuron family; reasons and units stand in params.yaml."""

    runs: int
    runs_per_lineage: int
    architectures: Mapping[str, float]
    init_schemes: Mapping[str, float]
    optimizers: Mapping[str, float]
    full_batch_share: float
    lr: tuple[float, ...]
    momentum: tuple[float, ...]
    epsilon: float
    delta: float
    divergence_loss: float
    max_epochs: int
    runs_per_shard: int

    def __post_init__(self) -> None:
        check_range("runs", self.runs, 1, 100_000_000)
        check_range("runs_per_lineage", self.runs_per_lineage, 1, 1_000)
        check_range("full_batch_share", self.full_batch_share, 0, 1)
        check_range("max_epochs", self.max_epochs, 1, 1_000_000)
        check_range("runs_per_shard", self.runs_per_shard, 1, 1_000_000)
        check_range("epsilon", self.epsilon, 0, 1)
        check_range("delta", self.delta, 0, 1)
        check_range("divergence_loss", self.divergence_loss, self.epsilon, 1e30)
        check_limits("lr", self.lr)
        check_limits("momentum", self.momentum)
        check_range("momentum", self.momentum[1], 0, 0.999)
        check_weights("init_schemes", self.init_schemes, INIT_SCHEMES)
        check_weights("optimizers", self.optimizers, OPTIMIZERS)
        check_weights("architectures", self.architectures, self.architectures)
        for name in self.architectures:
            n_hidden(name)

    @property
    def criterion(self) -> Criterion:
        """Thresholds of the convergence criterion."""
        return Criterion(
            epsilon=self.epsilon,
            delta=self.delta,
            divergence_loss=self.divergence_loss,
            max_epochs=self.max_epochs,
        )


def n_hidden(architecture: str) -> int:
    """Return the hidden units of ``"abs-unit"`` (0) or ``"<activation>-<n>"``.

    Raises
    ------
    ValueError
        For any other name.
    """
    if architecture == "abs-unit":
        return 0
    activation, _, units = architecture.rpartition("-")
    known = activation in {"abs", "relu", "leaky_relu", "tanh"} and units.isdecimal()
    if not known or int(units) == 0:
        raise ValueError(
            f"unknown architecture {architecture!r}; expected abs-unit or <activation>-<units>"
        )
    return int(units)


def n_params(architecture: str) -> int:
    """Return the parameter count: 3 for the unit, 4 h + 1 for h hidden units."""
    units = n_hidden(architecture)
    return 4 * units + 1 if units else N_INPUTS + 1


@workload
class Neuron:
    """Plans and initialises the runs of the family."""

    name: ClassVar[str] = "neuron"
    settings_type: ClassVar[type[NeuronSettings]] = NeuronSettings
    engine: ClassVar[str] = "neuron"
    measures: ClassVar[tuple[str, ...]] = EPOCH_MEASURES
    outcomes: ClassVar[tuple[Outcome, ...]] = OUTCOMES
    shard_columns: ClassVar[tuple[str, ...]] = ("n_params",)
    order_columns: ClassVar[tuple[str, ...]] = ()

    def plan(self, settings: NeuronSettings, root_seed: int) -> pa.Table:
        """Return the sweep, a row a run; `settings.runs_per_lineage` runs share a lineage.

        A scrambled Sobol sequence picks architecture and initialisation of each lineage, and
        learning rate, batch and optimizer of each of its runs.
        """
        per_lineage = settings.runs_per_lineage
        lineages, runs = lineage_points(settings.runs, per_lineage, (2, 4), root_seed, stream=0)
        return table_of(
            _run(settings, root_seed, lineages[i // per_lineage], runs[i], i // per_lineage, i)
            for i in range(settings.runs)
        )

    def initial_params(self, runs: pa.Table, root_seed: int) -> FloatArray:
        """Return theta_0; runs of a lineage start alike."""
        lineages = runs["lineage_id"].to_pylist()
        architectures = runs["architecture"].to_pylist()
        schemes = runs["init_scheme"].to_pylist()
        drawn = {
            key: _draw(key[1], key[2], generator(root_seed, key_of(key[0]), Purpose.INITIALISATION))
            for key in set(zip(lineages, architectures, schemes, strict=True))
        }
        params = [drawn[key] for key in zip(lineages, architectures, schemes, strict=True)]
        return np.stack(params).astype(np.float32).astype(np.float64)

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return one tensor a parameter for the unit, else hidden and output layers."""
        units = n_hidden(architecture)
        if not units:
            return tuple(Tensor(name=name, shape=(1,), kind="weight") for name in ("w1", "w2", "b"))
        return (
            Tensor(name="w", shape=(units, N_INPUTS), kind="weight", fan_in=2, fan_out=units),
            Tensor(name="b", shape=(units,), kind="bias"),
            Tensor(name="a", shape=(units,), kind="weight", fan_in=units, fan_out=1),
            Tensor(name="c", shape=(1,), kind="bias"),
        )

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return one block a tensor."""
        return blocks_of(self.tensors(architecture))

    def sources(self, settings: NeuronSettings) -> Mapping[str, Source]:
        """Return nothing: XOR needs no file."""
        del settings
        return {}

    def task_data(
        self, task: str, settings: NeuronSettings, source: Any, root_seed: int
    ) -> TaskData | None:
        """Return None: the four examples are part of the engine."""
        del task, settings, source, root_seed
        return None


def _run(
    settings: NeuronSettings,
    root_seed: int,
    lineage_point: FloatArray,
    run_point: FloatArray,
    lineage: int,
    index: int,
) -> dict[str, Scalar]:
    architecture = choose(settings.architectures, lineage_point[0])
    start: dict[str, Scalar] = {
        "family": "neuron",
        "task": "xor",
        "architecture": architecture,
        "activation": architecture.split("-")[0],
        "n_params": n_params(architecture),
        "init_scheme": choose(settings.init_schemes, lineage_point[1]),
        "init_seed": lineage,
    }
    optimizer = choose(settings.optimizers, run_point[2])
    momentum = 0.0
    if optimizer != "sgd":
        momentum = momentum_at(run_point[3], settings.momentum)
    training: dict[str, Scalar] = {
        "optimizer": optimizer,
        "lr": log_uniform(run_point[0], settings.lr),
        "momentum": momentum,
        "weight_decay": 0.0,
        "weight_decay_mode": "none",
        "batch_size": N_EXAMPLES if run_point[1] < settings.full_batch_share else 1,
        "n_examples": N_EXAMPLES,
        "lr_schedule": "constant",
        "order_seed": index,
        "epsilon": settings.epsilon,
        "delta": settings.delta,
        "divergence_loss": settings.divergence_loss,
        "max_epochs": settings.max_epochs,
    }
    lineage_id = content_id({"root_seed": root_seed, **start})
    run_id = content_id({"lineage_id": lineage_id, **training})
    return {
        "run_id": run_id,
        "lineage_id": lineage_id,
        "cohort": "swept",
        **start,
        **training,
    }


def _draw(architecture: str, scheme: str, rng: np.random.Generator) -> FloatArray:
    """Draw one initialisation, flattened as (hidden weights, hidden biases, out weights, bias)."""
    units = n_hidden(architecture)
    draw = INIT_SCHEMES[scheme]
    weights, biases = draw(rng, max(units, 1), N_INPUTS)
    if not units:
        return np.concatenate([weights.ravel(), biases])
    out_weights, out_bias = draw(rng, 1, units)
    return np.concatenate([weights.ravel(), biases, out_weights.ravel(), out_bias])


def _normal(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    return rng.standard_normal((n_out, n_in)), rng.standard_normal(n_out)


def _uniform(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    return rng.uniform(-1, 1, (n_out, n_in)), rng.uniform(-1, 1, n_out)


def _zero_bias(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    return rng.standard_normal((n_out, n_in)), np.zeros(n_out)


#: Initialisation schemes by name.
INIT_SCHEMES: dict[str, Scheme] = {
    "normal": _normal,
    "uniform": _uniform,
    "zero_bias": _zero_bias,
    "xavier": xavier,
    "he": he,
    "orthogonal": orthogonal,
}
