"""Engine of the curve prior: one curve at a time, computed rather than trained.

The noise of a curve has a random stream of its own, and a curve is computed by itself, so that its
bytes depend on no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.criterion import CAPPED, RUNNING
from epochs_left.dynamics.curve_prior import CurveShape, noiseless_curve, with_noise
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.errors import UsageError
from epochs_left.seeding import Purpose, generator, key_of
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob
from epochs_left.workloads import Workload

ENGINE_VERSION = "2"

#: Rows after which a block, and so a Parquet row group, is closed.
BLOCK_ROWS = 1 << 18

_SHAPE = [field.name for field in fields(CurveShape)]


@dataclass(frozen=True)
class _Curve:
    """Rows of one run, each of shape ``(max_epochs + 1,)``."""

    loss: FloatArray  # float32
    lr: FloatArray  # float32, of the coming epoch


def build_engine(workload: Workload, job: TrainingJob) -> CurveEngine:
    """Return the engine for planned curves.

    Raises
    ------
    UsageError
        For a device other than the CPU.
    """
    del workload
    if job.device != "cpu":
        raise UsageError(f"curves are computed on the CPU, got device {job.device!r}")
    return CurveEngine(job.runs.to_pylist(), job.root_seed)


class CurveEngine:
    """Computes curves to their horizon and yields their rows in blocks of whole runs.

    Parameters
    ----------
    runs
        Rows of the plan: ``run_id``, ``lr``, ``lr_schedule``, ``max_epochs`` and the fields of
        `CurveShape`.
    root_seed
        Seed of the noise.
    block_rows
        Rows after which a block is closed; it ends with the run that reaches it.
    """

    def __init__(
        self, runs: list[dict[str, Any]], root_seed: int, block_rows: int = BLOCK_ROWS
    ) -> None:
        self._runs = runs
        self._root_seed = root_seed
        self._block_rows = block_rows
        self.outcomes = Outcomes(
            code=np.full(len(runs), RUNNING, dtype=np.int8),
            epoch=np.zeros(len(runs), dtype=np.int32),
            loss=np.zeros(len(runs)),
            grad_norm=np.full(len(runs), np.nan),  # there is no gradient
        )

    def blocks(self, chunk_runs: int) -> Iterator[EpochBlock]:
        """Compute all curves; no block depends on ``chunk_runs``."""
        del chunk_runs
        first, rows, curves = 0, 0, list[_Curve]()
        for number, run in enumerate(self._runs):
            curves.append(self._curve(run))
            rows += curves[-1].loss.size
            self._finish(number, curves[-1])
            if rows >= self._block_rows or number == len(self._runs) - 1:
                yield _block(first, curves)
                first, rows, curves = number + 1, 0, []

    def _curve(self, run: dict[str, Any]) -> _Curve:
        shape = CurveShape(**{name: run[name] for name in _SHAPE})
        rates = learning_rates(run["lr_schedule"], run["lr"], run["max_epochs"])
        rng = generator(self._root_seed, key_of(run["run_id"]), Purpose.ORDER)
        level = noiseless_curve(shape, rates, run["lr"])
        loss = with_noise(level, shape, rng.standard_normal(rates.size))
        return _Curve(loss.astype(np.float32), rates.astype(np.float32))

    def _finish(self, number: int, curve: _Curve) -> None:
        self.outcomes.code[number] = CAPPED  # epsilon is 0: nothing ends a curve but its horizon
        self.outcomes.epoch[number] = curve.loss.size - 1
        self.outcomes.loss[number] = curve.loss[-1]


def _block(first: int, curves: list[_Curve]) -> EpochBlock:
    lengths = [curve.loss.size for curve in curves]
    return EpochBlock(
        first_run=first,
        n_runs=len(curves),
        run=np.repeat(np.arange(len(curves), dtype=np.int32), lengths),
        epoch=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        columns={
            "loss": np.concatenate([curve.loss for curve in curves]),
            "lr": np.concatenate([curve.lr for curve in curves]),
        },
    )
