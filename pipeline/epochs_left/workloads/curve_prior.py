"""The curve prior: synthetic loss curves without a network, further material for predictors.

Noisy quadratics with power-law spectra (`dynamics.curve_prior`). Every curve is recorded to its
horizon: its epsilon is 0, which no loss falls below, so that thresholds and plateaus can be drawn
from the whole of it. Eigenvalues are measured in the unit that puts the hit where it was drawn;
learning rate, momentum and steps an epoch therefore say nothing of the pace, as they say little
across real tasks. What counts is the course of the learning rate.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.config import check_range
from epochs_left.dynamics.curve_prior import NOISE_BASES
from epochs_left.dynamics.schedules import SCHEDULES, own_steps
from epochs_left.schema import Outcome
from epochs_left.seeding import Scalar, content_id
from epochs_left.workloads import Source, TaskData, Tensor, workload
from epochs_left.workloads._sweep import (
    check_limits,
    check_weights,
    choose,
    lineage_points,
    log_uniform,
    momentum_at,
    table_of,
)

#: Optimizers that follow the same curve on the clock S, plain and heavy-ball gradient descent.
OPTIMIZERS = ("sgd", "momentum")

_LOG_UNIFORM = (
    *("max_epochs", "lr", "momentum", "steps_per_epoch", "modes", "hit_share", "first_drop"),
    *("own_steps_factor", "noise_floor", "noise_pace", "floor", "scale", "noise"),
)
_UNIFORM = ("eigenvalue_power", "excess_power", "plateau_end", "noise_memory")
_BELOW_ONE = ("momentum", "hit_share", "plateau_end", "noise_memory")
_WHOLE = ("max_epochs", "steps_per_epoch", "modes")


@dataclass(frozen=True, kw_only=True)
class CurvePriorSettings:
    """The sweep of the curve prior; reasons and units stand in params.yaml."""

    runs: int
    runs_per_lineage: int
    max_epochs: tuple[float, ...]
    optimizers: Mapping[str, float]
    momentum: tuple[float, ...]
    lr: tuple[float, ...]
    lr_schedules: Mapping[str, float]
    own_steps_share: float
    own_steps_factor: tuple[float, ...]
    steps_per_epoch: tuple[float, ...]
    modes: tuple[float, ...]
    eigenvalue_power: tuple[float, ...]
    excess_power: tuple[float, ...]
    hit_share: tuple[float, ...]
    plateau_share: float
    plateau_end: tuple[float, ...]
    first_drop_share: float
    first_drop: tuple[float, ...]
    noise_floor: tuple[float, ...]
    noise_pace: tuple[float, ...]
    averaged_share: float
    floor: tuple[float, ...]
    scale: tuple[float, ...]
    noise: tuple[float, ...]
    noise_memory: tuple[float, ...]
    noise_bases: Mapping[str, float]
    runs_per_shard: int

    def __post_init__(self) -> None:
        check_range("runs", self.runs, 1, 100_000_000)
        check_range("runs_per_lineage", self.runs_per_lineage, 1, 1_000)
        check_range("runs_per_shard", self.runs_per_shard, 1, 1_000_000)
        check_range("plateau_share", self.plateau_share, 0, 1)
        check_range("own_steps_share", self.own_steps_share, 0, 1)
        check_range("averaged_share", self.averaged_share, 0, 1)
        check_range("first_drop_share", self.first_drop_share, 0, 1)
        check_weights("optimizers", self.optimizers, OPTIMIZERS)
        check_weights("lr_schedules", self.lr_schedules, SCHEDULES)
        check_weights("noise_bases", self.noise_bases, NOISE_BASES)
        for name in (*_LOG_UNIFORM, *_UNIFORM):
            check_limits(name, getattr(self, name))
        for name in _BELOW_ONE:
            check_range(name, getattr(self, name)[1], 0, 0.999)
        for name in _WHOLE:
            check_range(name, getattr(self, name)[0], 1, 1_000_000)
        check_range("max_epochs", self.max_epochs[1], 1, 1_000_000)
        check_range("modes", self.modes[1], 1, 100_000)


@workload
class CurvePrior:
    """Plans the curves of the family."""

    name: ClassVar[str] = "curve_prior"
    settings_type: ClassVar[type[CurvePriorSettings]] = CurvePriorSettings
    engine: ClassVar[str] = "curves"
    measures: ClassVar[tuple[str, ...]] = ("loss", "lr")
    outcomes: ClassVar[tuple[Outcome, ...]] = (Outcome.CAPPED,)
    shard_columns: ClassVar[tuple[str, ...]] = ("n_params",)
    order_columns: ClassVar[tuple[str, ...]] = ()

    def plan(self, settings: CurvePriorSettings, root_seed: int) -> pa.Table:
        """Return the sweep, a row a run; beyond `schema.RUNS` the fields of `CurveShape`.

        A scrambled Sobol sequence picks the spectrum and the size of each lineage, and pace,
        schedule and noise of each of its runs.
        """
        per_lineage = settings.runs_per_lineage
        lineages, runs = lineage_points(
            settings.runs, per_lineage, (7, 22), root_seed, stream=zlib.crc32(self.name.encode())
        )
        return table_of(
            _run(settings, root_seed, lineages[i // per_lineage], runs[i], i)
            for i in range(settings.runs)
        )

    def initial_params(self, runs: pa.Table, root_seed: int) -> FloatArray:
        """Return an array of shape ``(n_runs, 0)``: a curve has no parameters."""
        del root_seed
        return np.zeros((runs.num_rows, 0))

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return nothing: a curve has no parameters."""
        del architecture
        return ()

    def block_of_param(self, architecture: str) -> tuple[int, ...]:
        """Return nothing: a curve has no parameters."""
        del architecture
        return ()

    def sources(self, settings: CurvePriorSettings) -> Mapping[str, Source]:
        """Return nothing: a curve needs no file."""
        del settings
        return {}

    def task_data(
        self, task: str, settings: CurvePriorSettings, source: Any, root_seed: int
    ) -> TaskData | None:
        """Return None: there are no examples."""
        del task, settings, source, root_seed
        return None


def _run(
    settings: CurvePriorSettings,
    root_seed: int,
    lineage_point: FloatArray,
    run_point: FloatArray,
    index: int,
) -> dict[str, Scalar]:
    start = _start(settings, lineage_point, index // settings.runs_per_lineage)
    training = {
        **_training(settings, run_point[:6]),
        "lr_schedule": _schedule(settings, run_point[3], run_point[16:]),
        **_course(settings, run_point[6:16]),
        "order_seed": index,
        "epsilon": 0.0,  # never met: a curve goes on to its horizon
        "delta": 0.0,
    }
    lineage_id = content_id({"root_seed": root_seed, **start})
    run_id = content_id({"lineage_id": lineage_id, **training})
    return {"run_id": run_id, "lineage_id": lineage_id, **start, **training}


def _start(settings: CurvePriorSettings, point: FloatArray, lineage: int) -> dict[str, Scalar]:
    """Return what the runs of a lineage share: the quadratic, and where it starts."""
    dropping = point[5] < settings.first_drop_share
    return {
        "family": CurvePrior.name,
        "cohort": "swept",
        "task": "noisy_quadratic",
        "architecture": "power_law",
        "activation": "none",
        "n_params": 0,  # columns of parameters: a mode is no parameter that anyone recorded
        "init_scheme": "none",
        "init_seed": lineage,
        "n_modes": round(log_uniform(point[0], settings.modes)),
        "eigenvalue_power": _uniform(point[1], settings.eigenvalue_power),
        "excess_power": _uniform(point[2], settings.excess_power),
        "floor": log_uniform(point[3], settings.floor),
        "scale": log_uniform(point[4], settings.scale),
        "first_drop": log_uniform(point[6], settings.first_drop) if dropping else 0.0,
    }


def _training(settings: CurvePriorSettings, point: FloatArray) -> dict[str, Scalar]:
    optimizer = choose(settings.optimizers, point[0])
    return {
        "optimizer": optimizer,
        "momentum": 0.0 if optimizer == "sgd" else momentum_at(point[1], settings.momentum),
        "weight_decay": 0.0,
        "weight_decay_mode": "none",
        "lr": log_uniform(point[2], settings.lr),
        "max_epochs": round(log_uniform(point[4], settings.max_epochs)),
        "batch_size": 1,  # with noise in every step, s of them an epoch
        "n_examples": round(log_uniform(point[5], settings.steps_per_epoch)),
    }


def _schedule(settings: CurvePriorSettings, kind: float, point: FloatArray) -> str:
    """Return the name of a schedule; a share of the steps has one to three drops of its own."""
    name = choose(settings.lr_schedules, kind)
    if name != "step" or point[0] >= settings.own_steps_share:
        return name
    shares = point[3 : 4 + int(3 * point[1])]
    return own_steps(np.clip(shares, 0.02, 0.98), log_uniform(point[2], settings.own_steps_factor))


def _course(settings: CurvePriorSettings, point: FloatArray) -> dict[str, Scalar]:
    """Return when the curve falls, and how noisy it is."""
    waiting = point[2] < settings.plateau_share
    return {
        "hit_share": log_uniform(point[0], settings.hit_share),
        "hit_position": 1 - float(point[1]),  # in (0, 1]
        "plateau_end": _uniform(point[3], settings.plateau_end) if waiting else 0.0,
        "noise_floor": log_uniform(point[4], settings.noise_floor),
        "noise": log_uniform(point[5], settings.noise),
        "noise_memory": _uniform(point[6], settings.noise_memory),
        "noise_base": choose(settings.noise_bases, point[7]),
        "noise_pace": log_uniform(point[8], settings.noise_pace),
        "averaged": bool(point[9] < settings.averaged_share),
    }


def _uniform(point: float, limits: tuple[float, ...]) -> float:
    """Return the value at ``point`` in [0, 1) of a uniform range (low, high)."""
    low, high = limits
    return float(low + (high - low) * point)
