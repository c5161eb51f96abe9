"""The neuron family: the unit y = |w.x + b| of seed 003 on centred XOR, and small hidden layers.

One ReLU, leaky ReLU or tanh unit cannot represent XOR, so its outcome would be given away by its
name; those activations get 2-4 hidden units, y = sum_j a_j phi(w_j . x + b_j) + c.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from scipy.stats import qmc

from epochs_left.arrays import FloatArray
from epochs_left.config import check_range
from epochs_left.dynamics.criterion import Criterion
from epochs_left.dynamics.xor import N_EXAMPLES, N_INPUTS
from epochs_left.seeding import Purpose, Scalar, content_id, generator, key_of, seed_sequence
from epochs_left.workloads import workload

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
        for name, limits in (("lr", self.lr), ("momentum", self.momentum)):
            if len(limits) != 2 or not 0 < limits[0] < limits[1]:
                raise ValueError(f"{name} must be [low, high] with 0 < low < high, got {limits}")
        check_range("momentum", self.momentum[1], 0, 0.999)
        _check_weights("init_schemes", self.init_schemes, INIT_SCHEMES)
        _check_weights("optimizers", self.optimizers, OPTIMIZERS)
        _check_weights("architectures", self.architectures, self.architectures)
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


def _check_weights(name: str, weights: Mapping[str, float], known: Collection[str]) -> None:
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise ValueError(f"unknown names {unknown} in {name}; known: {sorted(known)}")
    if min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise ValueError(f"weights of {name} must be 0 or more and not all 0, got {dict(weights)}")


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

    def plan(self, settings: NeuronSettings, root_seed: int) -> pa.Table:
        """Return the sweep, a row a run; `settings.runs_per_lineage` runs share a lineage.

        A scrambled Sobol sequence over the lineages picks architecture and initialisation, another
        over the runs picks learning rate, batch and optimizer.
        """
        per_lineage = settings.runs_per_lineage
        n_lineages = -(-settings.runs // per_lineage)
        lineages = _sobol(n_lineages, 2, root_seed, stream=0)
        runs = _sobol(settings.runs, 4, root_seed, stream=1)
        rows = [
            _run(settings, root_seed, lineages[i // per_lineage], runs[i], i // per_lineage, i)
            for i in range(settings.runs)
        ]
        return pa.Table.from_pylist(rows)

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

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return one block a parameter for the unit, else one a tensor: w, b, a, c."""
        units = n_hidden(architecture)
        if not units:
            return (0, 1, 2)
        return (0,) * (N_INPUTS * units) + (1,) * units + (2,) * units + (3,)


def order_keys(runs: pa.Table, root_seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Return the 64-bit key of each run's stream of sample orders, shape ``(n_runs, 2)``."""
    keys = [
        seed_sequence(root_seed, key_of(run_id), Purpose.ORDER).generate_state(2)
        for run_id in runs["run_id"].to_pylist()
    ]
    return np.array(keys, dtype=np.uint32).reshape(-1, 2)


def _sobol(n: int, dimensions: int, root_seed: int, *, stream: int) -> FloatArray:
    """Return the first ``n`` points of a scrambled Sobol sequence in [0, 1)^d."""
    seed = generator(root_seed, stream, Purpose.SWEEP)
    sampler = qmc.Sobol(dimensions, scramble=True, rng=seed)
    points: FloatArray = sampler.random_base2(max(n - 1, 1).bit_length())[:n]
    return points


def _run(
    settings: NeuronSettings,
    root_seed: int,
    lineage_point: FloatArray,
    run_point: FloatArray,
    lineage: int,
    index: int,
) -> dict[str, Scalar]:
    architecture = _choose(settings.architectures, lineage_point[0])
    start: dict[str, Scalar] = {
        "family": "neuron",
        "task": "xor",
        "architecture": architecture,
        "activation": architecture.split("-")[0],
        "n_params": n_params(architecture),
        "init_scheme": _choose(settings.init_schemes, lineage_point[1]),
        "init_seed": lineage,
    }
    optimizer = _choose(settings.optimizers, run_point[2])
    momentum = 0.0
    if optimizer != "sgd":
        # log-uniform in 1 - momentum: that is what sets the time scale of the averaging
        momentum = 1 - _log_uniform(
            run_point[3], 1 - settings.momentum[1], 1 - settings.momentum[0]
        )
    training: dict[str, Scalar] = {
        "optimizer": optimizer,
        "lr": _log_uniform(run_point[0], settings.lr[0], settings.lr[1]),
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
    return {"run_id": run_id, "lineage_id": lineage_id, **start, **training}


def _choose(weights: Mapping[str, float], point: float) -> str:
    """Return the name whose share of the total weight covers ``point`` in [0, 1)."""
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(edges, point * edges[-1], side="right"))]


def _log_uniform(point: float, low: float, high: float) -> float:
    return float(low * (high / low) ** point)


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


def _xavier(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """Glorot and Bengio 2010, normal form: variance 2 / (fan_in + fan_out), zero biases."""
    return rng.normal(0, (2 / (n_in + n_out)) ** 0.5, (n_out, n_in)), np.zeros(n_out)


def _he(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """He et al. 2015, fan-in form: variance 2 / fan_in, zero biases."""
    return rng.normal(0, (2 / n_in) ** 0.5, (n_out, n_in)), np.zeros(n_out)


def _orthogonal(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """Saxe et al. 2014: orthonormal, Haar-distributed by the sign fix; zero biases."""
    q, r = np.linalg.qr(rng.standard_normal((max(n_out, n_in), min(n_out, n_in))))
    q = q * np.sign(np.diag(r))
    return (q if n_out >= n_in else q.T), np.zeros(n_out)


#: Initialisation schemes by name: (rng, n_out, n_in) -> weights (n_out, n_in), biases (n_out,).
INIT_SCHEMES = {
    "normal": _normal,
    "uniform": _uniform,
    "zero_bias": _zero_bias,
    "xavier": _xavier,
    "he": _he,
    "orthogonal": _orthogonal,
}
