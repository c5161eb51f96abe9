"""Bounds on the networks that a family may be asked for, checked when its settings are built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from epochs_left.schema import (
    MAX_SCALAR_PARAMS,
    MAX_STORED_PARAMS,
    SKETCH_SIZE,
    TENSOR_STATISTICS,
    VALIDATED_MEASURES,
)
from epochs_left.workloads import Tensor

#: Memory that the lanes of one worker may take, in bytes.
MAX_LANE_BYTES = 4 << 30

#: Vectors of the length of the parameters that a lane holds at most: parameters, gradient, two
#: moments, the start, the epoch before, and what a step makes on its way.
_VECTORS = 8
_FLOAT_BYTES = 4


class Lanes(Protocol):
    """What the memory of a block of lanes depends on, besides the network."""

    @property
    def lanes(self) -> int:
        """Models a step."""
        ...

    @property
    def runs(self) -> int:
        """Runs in all."""
        ...

    @property
    def runs_per_shard(self) -> int:
        """Runs that share the lanes."""
        ...

    @property
    def max_epochs(self) -> int:
        """Cap on epochs: rows that a lane waits for at most."""
        ...


def check_networks(settings: Lanes, networks: Iterable[tuple[str, tuple[Tensor, ...]]]) -> None:
    """Raise ValueError unless the lockstep engine can record each network and hold its lanes.

    Parameters
    ----------
    settings
        Settings of the family.
    networks
        Architectures that it may draw, each with its tensors.
    """
    for architecture, tensors in networks:
        n_params = sum(tensor.size for tensor in tensors)
        if n_params <= MAX_SCALAR_PARAMS:
            raise ValueError(
                f"architecture {architecture!r} has {n_params} parameters, expected more than "
                f"{MAX_SCALAR_PARAMS}: networks are recorded as vectors; make it wider or deeper"
            )
        needed = lane_bytes(settings, tensors)
        if needed > MAX_LANE_BYTES:
            raise ValueError(
                f"the lanes of architecture {architecture!r} would take {needed / 2**30:.1f} GiB "
                f"of each worker's memory, expected at most {MAX_LANE_BYTES >> 30}; lower lanes, "
                "max_epochs or the width"
            )


def lane_bytes(settings: Lanes, tensors: tuple[Tensor, ...]) -> int:
    """Return the memory of a block of lanes, in bytes: rows that wait for the end, and vectors."""
    n_params = sum(tensor.size for tensor in tensors)
    recorded = n_params
    if n_params > MAX_STORED_PARAMS:
        recorded = len(tensors) * len(TENSOR_STATISTICS) + SKETCH_SIZE
    rows = (settings.max_epochs + 1) * (recorded + len(VALIDATED_MEASURES))
    lanes = min(settings.lanes, settings.runs, settings.runs_per_shard)
    return lanes * (rows + _VECTORS * n_params) * _FLOAT_BYTES


def check_unused(name: str, paths: Mapping[str, str], used: Iterable[str]) -> None:
    """Raise ValueError if a task that is not trained names a file: its owner thinks that it is."""
    idle = sorted(task for task in set(paths) - set(used) if paths[task])
    if idle:
        raise ValueError(
            f"{name} names files of {idle}, which no run is trained on; give them a weight in "
            "tasks, or empty the path"
        )
