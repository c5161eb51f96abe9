"""What examples are asked for: the run's own epsilon, a further threshold, or a plateau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.targets import plateau_epoch, record_epochs, threshold_reached_at
from epochs_left.schema import Outcome, TargetKind
from epochs_left.seeding import Purpose, generator, key_of

#: Plateau shares are drawn log-uniformly from this range: 1 % and 10 % are what people ask for.
PLATEAU_SHARES = (0.003, 0.3)
#: Share of the runs that did not converge whose further threshold lies below all they reached.
_OUT_OF_REACH = 0.3
#: Such a threshold is at most this many times smaller than the lowest loss.
_FARTHEST = 10.0


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A target of one run, and when the run reached it.

    Attributes
    ----------
    target
        Loss to be reached; NaN for a plateau.
    plateau
        Share of the initial excess; NaN for a threshold.
    epoch
        First epoch at which it is reached, else the last epoch observed.
    reached
        False: not reached by ``epoch``, the end of the observation.
    """

    kind: TargetKind
    target: float
    plateau: float
    epoch: int
    reached: bool


def primary_goals(runs: pa.Table) -> list[Goal | None]:
    """Return each run's own criterion, loss < epsilon; None for curves that have none (0)."""
    columns = (runs[name].to_pylist() for name in ("epsilon", "outcome_epoch", "outcome"))
    return [
        Goal(
            kind=TargetKind.EPSILON,
            target=epsilon,
            plateau=np.nan,
            epoch=epoch,
            reached=outcome == Outcome.CONVERGED.value,
        )
        if epsilon > 0
        else None
        for epsilon, epoch, outcome in zip(*columns, strict=True)
    ]


def extra_goals(
    runs: pa.Table, losses: Sequence[FloatArray], share: float, root_seed: int
) -> list[Goal | None]:
    """Draw one further goal for a share of the runs; None for the others.

    A plateau is a matter of the whole horizon, so that only runs that lasted it can be asked for
    one. The draw depends on the run alone.

    Parameters
    ----------
    runs
        Rows of runs.parquet.
    losses
        Loss of each run, epoch 0 to its last, each of shape ``(n,)``.
    share
        Expected share of the runs that get a goal, in [0, 1].
    root_seed
        Seed of the draw.
    """
    goals: list[Goal | None] = []
    columns = (runs[name].to_pylist() for name in ("run_id", "outcome", "max_epochs"))
    for run_id, outcome, horizon, loss in zip(*columns, losses, strict=True):
        rng = generator(root_seed, key_of(run_id), Purpose.TARGETS)
        if rng.random() >= share or not np.all(np.isfinite(loss)) or loss.min() <= 0:
            goals.append(None)
        elif loss.size == horizon + 1 and rng.random() < 0.5:
            goals.append(_plateau(loss, rng))
        else:
            goals.append(_threshold(loss, rng, open_ended=outcome == Outcome.CAPPED.value))
    return goals


def _plateau(loss: FloatArray, rng: np.random.Generator) -> Goal:
    low, high = PLATEAU_SHARES
    share = float(low * (high / low) ** rng.random())
    epoch = plateau_epoch(loss, share)
    return Goal(
        kind=TargetKind.PLATEAU,
        target=np.nan,
        plateau=share,
        epoch=loss.size - 1 if epoch is None else epoch,
        reached=epoch is not None,
    )


def _threshold(loss: FloatArray, rng: np.random.Generator, *, open_ended: bool) -> Goal | None:
    """Draw a threshold by the epoch that reaches it, uniformly over the epochs that reach one."""
    records = record_epochs(loss)
    below = bool(rng.random() < _OUT_OF_REACH) and open_ended
    if below:
        target = float(loss.min() * _FARTHEST ** -rng.random())
        return _loss_goal(target, loss.size - 1, reached=False)
    if not records.size:
        return None
    # an even draw over time: epochs that reach a new low are dense early and sparse late
    aimed_at = rng.random() * (loss.size - 1)
    epoch = int(records[min(int(np.searchsorted(records, aimed_at)), records.size - 1)])
    target = threshold_reached_at(loss, epoch, 1 - rng.random())
    return _loss_goal(target, epoch, reached=True)


def _loss_goal(target: float, epoch: int, *, reached: bool) -> Goal:
    return Goal(
        kind=TargetKind.THRESHOLD, target=target, plateau=np.nan, epoch=epoch, reached=reached
    )
