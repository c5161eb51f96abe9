"""What the network families share: settings of the sweep, the plan, the initialisation.

A lineage fixes task, architecture and initialisation; its runs differ in learning rate, optimizer,
momentum, weight decay, batch size, schedule and sample order. A share of the lineages, the cohort
"fixed", keeps all of those too and varies initialisation and order alone: seed 000's claim is about
such runs.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.config import check_range
from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.schema import VALIDATED_MEASURES, Outcome
from epochs_left.seeding import Purpose, Scalar, content_id, generator, key_of
from epochs_left.workloads import Source, TaskData, Tensor, blocks_of
from epochs_left.workloads._initialisation import NETWORK_SCHEMES, kernel_weights
from epochs_left.workloads._sweep import (
    check_limits,
    check_names,
    check_weights,
    choose,
    lineage_points,
    log_uniform,
    momentum_at,
    table_of,
)

#: Optimizers that the lockstep engine knows, with the range of learning rates that each draws from.
OPTIMIZERS: dict[str, str] = {
    "sgd": "sgd",
    "momentum": "sgd",
    "nesterov": "sgd",
    "rmsprop": "adaptive",
    "adam": "adaptive",
    "adamw": "adaptive",
}
WEIGHT_DECAY_MODES = ("none", "coupled", "decoupled")
FULL_BATCH = "full"

_EMBEDDING_STD = 0.1
_WITH_MOMENTUM = {"momentum", "nesterov"}
_ADAM_BETA1 = 0.9  # Kingma and Ba 2015, Algorithm 1; recorded in the column momentum
#: Momentum of the optimizers that leave no choice.
_MOMENTUM = {"sgd": 0.0, "rmsprop": 0.0, "adam": _ADAM_BETA1, "adamw": _ADAM_BETA1}
_MAX_MOMENTUM = 0.9999
_MAX_LR = 1e6  # far above any rate at which anything converges


@dataclass(frozen=True, kw_only=True)
class FixedSettings:
    """The hyperparameters that the cohort "fixed" keeps."""

    task: str
    architecture: str
    activation: str
    init_scheme: str
    optimizer: str
    lr: float
    momentum: float
    batch_size: int
    lr_schedule: str

    def __post_init__(self) -> None:
        check_range("lr", self.lr, 1e-9, 1e3)
        check_range("momentum", self.momentum, 0, _MAX_MOMENTUM)
        check_weights("optimizer", {self.optimizer: 1}, OPTIMIZERS)
        expected = _MOMENTUM.get(self.optimizer, self.momentum)
        if self.momentum != expected:
            raise ValueError(
                f"momentum must be {expected} for {self.optimizer} (for adam and adamw it is "
                f"beta1), got {self.momentum}"
            )
        check_weights("lr_schedule", {self.lr_schedule: 1}, SCHEDULES)
        check_range("batch_size", self.batch_size, 1, 1_000_000_000)
        check_weights("init_scheme", {self.init_scheme: 1}, NETWORK_SCHEMES)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(ABC):
    """The sweep of a network family; reasons and units stand in params.yaml."""

    runs: int
    runs_per_lineage: int
    fixed_share: float
    fixed: FixedSettings
    tasks: Mapping[str, float]
    train_examples: Mapping[str, int]
    init_schemes: Mapping[str, float]
    optimizers: Mapping[str, float]
    lr: Mapping[str, tuple[float, ...]]
    momentum: tuple[float, ...]
    weight_decay_modes: Mapping[str, float]
    weight_decay: tuple[float, ...]
    batch_sizes: Mapping[str, float]
    max_steps_per_epoch: int
    lr_schedules: Mapping[str, float]
    epsilon: Mapping[str, float]
    delta: float
    divergence_loss: float
    max_epochs: int
    runs_per_shard: int
    lanes: int

    def __post_init__(self) -> None:
        check_range("runs", self.runs, 1, 100_000_000)
        check_range("runs_per_lineage", self.runs_per_lineage, 1, 1_000)
        check_range("fixed_share", self.fixed_share, 0, 1)
        check_range("max_epochs", self.max_epochs, 1, 1_000_000)
        check_range("runs_per_shard", self.runs_per_shard, 1, 1_000_000)
        check_range("lanes", self.lanes, 2, 4_096)  # one lane rounds otherwise than several
        check_range("delta", self.delta, 0, 1)
        check_range("max_steps_per_epoch", self.max_steps_per_epoch, 1, 1_000_000_000)
        check_weights("init_schemes", self.init_schemes, NETWORK_SCHEMES)
        check_weights("optimizers", self.optimizers, OPTIMIZERS)
        check_weights("weight_decay_modes", self.weight_decay_modes, WEIGHT_DECAY_MODES)
        check_weights("lr_schedules", self.lr_schedules, SCHEDULES)
        self._check_rates()
        self._check_tasks()
        self._check_batch_sizes()

    @property
    @abstractmethod
    def known_tasks(self) -> Collection[str]:
        """Tasks that the family knows."""

    @property
    def used_tasks(self) -> set[str]:
        """Tasks that runs may be trained on."""
        return {*self.tasks, self.fixed.task}

    def _check_rates(self) -> None:
        check_names("lr", self.lr, set(OPTIMIZERS.values()))
        for rule in sorted({OPTIMIZERS[name] for name in self.optimizers}):
            check_limits(f"lr.{rule}", self.lr.get(rule, ()), most=_MAX_LR)
        check_limits("momentum", self.momentum, most=_MAX_MOMENTUM)
        check_limits("weight_decay", self.weight_decay, most=1.0)

    def _check_tasks(self) -> None:
        check_weights("tasks", self.tasks, self.known_tasks)
        check_weights("fixed.task", {self.fixed.task: 1}, self.known_tasks)
        self._check_by_task("train_examples", self.train_examples)
        self._check_by_task("epsilon", self.epsilon)
        for task, examples in self.train_examples.items():
            check_range(f"train_examples.{task}", examples, 1, 1_000_000_000)
        for task, epsilon in self.epsilon.items():
            if not 0 < epsilon < self.divergence_loss:
                raise ValueError(
                    f"epsilon.{task} must lie above 0 and below divergence_loss "
                    f"({self.divergence_loss}), got {epsilon}"
                )

    def _check_by_task(self, name: str, entries: Mapping[str, object]) -> None:
        """Raise ValueError unless there is an entry for every task that is used, and no other."""
        check_names(name, entries, self.known_tasks)
        missing = sorted(self.used_tasks - set(entries))
        if missing:
            raise ValueError(f"{name} lacks the tasks {missing}; add them")

    def _check_batch_sizes(self) -> None:
        check_weights("batch_sizes", self.batch_sizes, self.batch_sizes)
        for name in self.batch_sizes:
            if name != FULL_BATCH and not (name.isdecimal() and int(name) > 0):
                raise ValueError(f"batch_sizes must be positive integers or full, got {name!r}")
        if self.fixed.batch_size >= self.train_examples[self.fixed.task]:
            raise ValueError(
                "fixed.batch_size must be smaller than the training set (in full batch the runs of "
                f"a lineage would be one and the same), got {self.fixed.batch_size}"
            )
        used = [(task, size) for task in self.train_examples for size in self.sizes_for(task)]
        for task, size in [*used, (self.fixed.task, self.fixed.batch_size)]:
            examples = self.train_examples[task]
            if examples % size:
                raise ValueError(
                    f"train_examples.{task} must be a multiple of batch size {size} (a smaller "
                    f"last batch would break the lockstep), got {examples}"
                )

    def sizes_for(self, task: str) -> dict[int, float]:
        """Return batch size -> weight for a task; too many steps an epoch are left out."""
        examples = self.train_examples[task]
        sizes: dict[int, float] = {}
        for name, weight in self.batch_sizes.items():
            size = examples if name == FULL_BATCH else int(name)
            if size <= examples <= size * self.max_steps_per_epoch:
                sizes[size] = sizes.get(size, 0) + weight
        return sizes or {examples: 1.0}


class NetworkWorkload(ABC):
    """A family of networks that the lockstep engine trains."""

    name: ClassVar[str]
    engine: ClassVar[str] = "lockstep"
    measures: ClassVar[tuple[str, ...]] = VALIDATED_MEASURES
    # Minibatch gradients never vanish, and a full-batch run of these sizes rarely sits on a
    # stationary point: "stuck" can happen, but the sweep is not made to show it.
    outcomes: ClassVar[tuple[Outcome, ...]] = (Outcome.CONVERGED, Outcome.CAPPED, Outcome.DIVERGED)
    shard_columns: ClassVar[tuple[str, ...]] = ("task", "architecture")
    order_columns: ClassVar[tuple[str, ...]] = ("batch_size",)

    @abstractmethod
    def draw_architecture(
        self, settings: Any, task: str, point: tuple[float, float]
    ) -> tuple[str, str]:
        """Return (architecture, activation) at a point of [0, 1)^2."""

    @abstractmethod
    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return the tensors of the parameter vector, in order."""

    @abstractmethod
    def sources(self, settings: Any) -> Mapping[str, Source]:
        """Return the published data set behind each task that is made from one."""

    @abstractmethod
    def task_data(self, task: str, settings: Any, source: Any, root_seed: int) -> TaskData:
        """Return the examples of a task."""

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return one block a tensor."""
        return blocks_of(self.tensors(architecture))

    def n_params(self, architecture: str) -> int:
        """Return the length of the parameter vector."""
        return sum(tensor.size for tensor in self.tensors(architecture))

    def plan(self, settings: NetworkSettings, root_seed: int) -> pa.Table:
        """Return the sweep, a row a run; `settings.runs_per_lineage` runs share a lineage.

        A scrambled Sobol sequence picks the start of each lineage and the training of its runs.
        """
        per_lineage = settings.runs_per_lineage
        lineages, runs = lineage_points(
            settings.runs, per_lineage, (5, 7), root_seed, stream=zlib.crc32(self.name.encode())
        )
        return table_of(
            self._run(settings, root_seed, lineages[i // per_lineage], runs[i], i)
            for i in range(settings.runs)
        )

    def _run(
        self,
        settings: NetworkSettings,
        root_seed: int,
        lineage_point: FloatArray,
        run_point: FloatArray,
        index: int,
    ) -> dict[str, Scalar]:
        start = self._start(settings, lineage_point, index // settings.runs_per_lineage)
        fixed = start["cohort"] == "fixed"
        training = _kept(settings) if fixed else _drawn(settings, start, run_point)
        return _row(settings, root_seed, start, training, index)

    def _start(
        self, settings: NetworkSettings, point: FloatArray, lineage: int
    ) -> dict[str, Scalar]:
        fixed = settings.fixed
        if point[0] < settings.fixed_share:
            cohort, task, scheme = "fixed", fixed.task, fixed.init_scheme
            architecture, activation = fixed.architecture, fixed.activation
        else:
            cohort, task = "swept", choose(settings.tasks, point[1])
            scheme = choose(settings.init_schemes, point[2])
            architecture, activation = self.draw_architecture(settings, task, (point[3], point[4]))
        return {
            "family": self.name,
            "cohort": cohort,
            "task": task,
            "architecture": architecture,
            "activation": activation,
            "n_params": self.n_params(architecture),
            "init_scheme": scheme,
            "init_seed": lineage,
        }

    def initial_params(self, runs: pa.Table, root_seed: int) -> FloatArray:
        """Return theta_0; runs of a lineage start alike."""
        starts = list(
            zip(
                runs["lineage_id"].to_pylist(),
                runs["architecture"].to_pylist(),
                runs["init_scheme"].to_pylist(),
                strict=True,
            )
        )
        drawn = {start: self._draw(*start, root_seed) for start in set(starts)}
        params = np.stack([drawn[start] for start in starts])
        return params.astype(np.float32).astype(np.float64)

    def _draw(self, lineage_id: str, architecture: str, scheme: str, root_seed: int) -> FloatArray:
        rng = generator(root_seed, key_of(lineage_id), Purpose.INITIALISATION)
        parts: list[FloatArray] = []
        biases: FloatArray = np.zeros(0)
        for tensor in self.tensors(architecture):
            if tensor.kind == "weight":
                weights, biases = NETWORK_SCHEMES[scheme](rng, tensor.fan_out, tensor.fan_in)
                # A scheme speaks of (outputs, inputs); layers are stored inputs first.
                parts.append(weights.T.reshape(-1))
            elif tensor.kind == "kernel":
                taps = tensor.shape[2] * tensor.shape[3]
                drawn = kernel_weights(scheme, rng, tensor.fan_out, tensor.fan_in, taps)
                parts.append(drawn.reshape(-1))
            elif tensor.kind == "bias":
                parts.append(biases[: tensor.size])
            elif tensor.kind == "scale":
                parts.append(np.ones(tensor.size))
            elif tensor.kind == "shift":
                parts.append(np.zeros(tensor.size))
            else:
                parts.append(rng.normal(0, _EMBEDDING_STD, tensor.size))
        return np.concatenate(parts)


def _kept(settings: NetworkSettings) -> dict[str, Scalar]:
    fixed = settings.fixed
    return {
        "optimizer": fixed.optimizer,
        "lr": fixed.lr,
        "momentum": fixed.momentum,
        "weight_decay": 0.0,
        "weight_decay_mode": "none",
        "batch_size": fixed.batch_size,
        "lr_schedule": fixed.lr_schedule,
    }


def _drawn(
    settings: NetworkSettings, start: Mapping[str, Scalar], point: FloatArray
) -> dict[str, Scalar]:
    optimizer = choose(settings.optimizers, point[0])
    momentum = _ADAM_BETA1 if optimizer in {"adam", "adamw"} else 0.0
    if optimizer in _WITH_MOMENTUM:
        momentum = momentum_at(point[1], settings.momentum)
    mode = "decoupled" if optimizer == "adamw" else choose(settings.weight_decay_modes, point[2])
    decay = 0.0 if mode == "none" else log_uniform(point[3], settings.weight_decay)
    sizes = settings.sizes_for(str(start["task"]))
    return {
        "optimizer": optimizer,
        "lr": log_uniform(point[4], settings.lr[OPTIMIZERS[optimizer]]),
        "momentum": momentum,
        "weight_decay": decay,
        "weight_decay_mode": mode,
        "batch_size": int(choose({str(size): sizes[size] for size in sizes}, point[5])),
        "lr_schedule": choose(settings.lr_schedules, point[6]),
    }


def _row(
    settings: NetworkSettings,
    root_seed: int,
    start: dict[str, Scalar],
    training: dict[str, Scalar],
    index: int,
) -> dict[str, Scalar]:
    task = str(start["task"])
    training = {
        **training,
        "n_examples": settings.train_examples[task],
        "order_seed": index,
        "epsilon": settings.epsilon[task],
        "delta": settings.delta,
        "divergence_loss": settings.divergence_loss,
        "max_epochs": settings.max_epochs,
    }
    lineage_id = content_id({"root_seed": root_seed, **start})
    run_id = content_id({"lineage_id": lineage_id, **training})
    return {"run_id": run_id, "lineage_id": lineage_id, **start, **training}
