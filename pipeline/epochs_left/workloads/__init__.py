"""Workload families: what is trained, over which sweep. One file each, found by name.

A workload plans runs and initialises them; an engine (`simulation`) trains them. Planning is pure:
the same settings and root seed give the same runs, and more runs never change earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.registry import Registry


class Workload(Protocol):
    """What every workload family offers."""

    #: Name of the family, of its settings in params.yaml, and of its folder below data/runs.
    name: ClassVar[str]
    #: Settings dataclass, checked when built.
    settings_type: ClassVar[type[Any]]
    #: Name of the engine that trains the family (`simulation.engines`).
    engine: ClassVar[str]

    def plan(self, settings: Any, root_seed: int) -> pa.Table:
        """Return the runs to train: the columns of `schema.RUNS` that are known beforehand."""
        ...

    def initial_params(self, runs: pa.Table, root_seed: int) -> FloatArray:
        """Return theta_0 of runs of one parameter width, shape ``(n_runs, n_params)``, float64.

        Values are representable in float32, so that the recorded row of epoch 0 is exact.
        """
        ...

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return the parameter block (tensor) that each parameter belongs to, length n_params."""
        ...


WORKLOADS: Registry[Workload] = Registry("workload", __name__)


def workload(kind: Callable[[], Workload]) -> Callable[[], Workload]:
    """Register a workload class under its ``name``."""
    item = kind()
    WORKLOADS.add(item.name, item)
    return kind
