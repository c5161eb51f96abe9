"""Workload families: what is trained, over which sweep. One file each, found by name.

A workload plans runs and initialises them; an engine (`simulation`) trains them. Planning is pure:
the same settings and root seed give the same runs, and more runs never change earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.registry import Registry
from epochs_left.schema import Outcome


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published data set that a task is made from; the runner reads it (`storage.datasets`)."""

    name: str
    path: str = ""  # a local folder or file; empty: what scikit-learn or Python itself ships
    limit: int = 0  # training examples to read at most; 0: all


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """The examples of a task, split and scaled.

    Attributes
    ----------
    loss
        ``"cross_entropy"`` (integer targets), ``"binary"`` (targets 0 or 1, one logit) or
        ``"squared"`` (mean squared error without 1/2).
    inputs, valid_inputs
        Training and validation examples, first axis the example; float32, or int64 tokens.
    targets, valid_targets
        Targets; a row a training example, one or more targets a row.
    n_outputs
        Outputs of a network for this task: classes, or 1.
    """

    loss: str
    inputs: FloatArray | IntArray
    targets: FloatArray | IntArray
    valid_inputs: FloatArray | IntArray
    valid_targets: FloatArray | IntArray
    n_outputs: int


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a parameter vector.

    Attributes
    ----------
    name
        As users of the field write it, e.g. ``"layer1.weight"``.
    shape
        Shape in which the parameter vector holds it, row-major.
    kind
        ``"weight"``, ``"kernel"`` (of a convolution), ``"bias"`` (of the weight before it),
        ``"scale"`` and ``"shift"`` (of a normalisation), or ``"embedding"``.
    fan_in, fan_out
        Inputs and outputs of each unit, for the initialisation schemes; 0 where there are none.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    fan_in: int = 0
    fan_out: int = 0

    @property
    def size(self) -> int:
        """Parameters of the tensor."""
        size = 1
        for length in self.shape:
            size *= length
        return size


def blocks_of(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Return the index of the tensor that each parameter belongs to, length n_params."""
    return tuple(i for i, tensor in enumerate(tensors) for _ in range(tensor.size))


class Workload(Protocol):
    """What every workload family offers."""

    #: Name of the family, of its settings in params.yaml, and of its folder below data/runs.
    name: ClassVar[str]
    #: Settings dataclass, checked when built.
    settings_type: ClassVar[type[Any]]
    #: Name of the engine that trains the family (`simulation.engine`).
    engine: ClassVar[str]
    #: Float columns of its epoch rows.
    measures: ClassVar[tuple[str, ...]]
    #: How its runs can end, by design of the sweep.
    outcomes: ClassVar[tuple[Outcome, ...]]
    #: Columns whose values the runs of one shard share.
    shard_columns: ClassVar[tuple[str, ...]]
    #: Columns that the runs of a shard are sorted by; what the engine does together is adjacent.
    order_columns: ClassVar[tuple[str, ...]]

    def plan(self, settings: Any, root_seed: int) -> pa.Table:
        """Return the runs to train: the columns of `schema.RUNS` that are known beforehand."""
        ...

    def initial_params(self, runs: pa.Table, root_seed: int) -> FloatArray:
        """Return theta_0 of runs of one parameter width, shape ``(n_runs, n_params)``, float64.

        Values are representable in float32, so that the recorded row of epoch 0 is exact.
        """
        ...

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return the tensors of the parameter vector, in order."""
        ...

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return the parameter block (tensor) that each parameter belongs to, length n_params."""
        ...

    def sources(self, settings: Any) -> Mapping[str, Source]:
        """Return the published data set behind each task that is made from one."""
        ...

    def task_data(self, task: str, settings: Any, source: Any, root_seed: int) -> TaskData | None:
        """Return the examples of a task; None where the engine has them.

        Parameters
        ----------
        source
            What `storage.datasets` read for this task; None for a generated task.
        """
        ...


WORKLOADS: Registry[Workload] = Registry("workload", __name__)


def workload(kind: Callable[[], Workload]) -> Callable[[], Workload]:
    """Register a workload class under its ``name``."""
    item = kind()
    WORKLOADS.add(item.name, item)
    return kind
