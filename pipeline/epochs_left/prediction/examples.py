"""From recorded runs to training examples: which epochs, towards which target, with which features.

An example is a run at an epoch t before its target. The epochs of a run are equally far apart from
a random start, so that every epoch is equally likely and a run is covered evenly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray, ranges
from epochs_left.dynamics.clock import rate_in_force
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.features import FeatureGroup, compute_features
from epochs_left.features._blocks import depth_blocks
from epochs_left.prediction.goals import Goal, extra_goals, primary_goals
from epochs_left.schema import Outcome, View
from epochs_left.seeding import Purpose, generator, key_of
from epochs_left.statistics.locking import locked_lineages
from epochs_left.storage.epoch_shards import EpochRows
from epochs_left.trajectories import (
    FORECAST_INPUTS,
    MEASURES,
    STATE_INPUTS,
    Trajectories,
    blocks_of_similar_length,
    pad,
)

#: Padded cells of a block; bounds the memory and keeps the arrays in the caches.
MAX_BLOCK_CELLS = 1 << 16

#: Columns of the runs that examples carry along.
RUN_COLUMNS = (
    "run_id",
    "lineage_id",
    "family",
    "cohort",
    "task",
    "architecture",
    "activation",
    "init_scheme",
    "optimizer",
    "lr",
    "momentum",
    "weight_decay",
    "batch_size",
    "n_examples",
    "n_params",
    "lr_schedule",
    "max_epochs",
    "outcome",
)

#: Columns of the runs that say how they ended: what measures a state is not given them. The final
#: parameters it is given, for features of the oracle view alone.
OUTCOME_COLUMNS = ("outcome", "outcome_epoch", "final_loss", "final_grad_norm")

#: Settings of a run that feature groups may ask for, by the column that they stand in.
_SETTINGS = {
    **{name: name for name in ("lr", "momentum", "weight_decay", "batch_size", "n_examples")},
    **{name: name for name in ("n_params", "optimizer", "activation", "lr_schedule")},
    "horizon": "max_epochs",
}

#: A number an epoch row.
Series = FloatArray | IntArray

BlockOfParam = Callable[[str], Sequence[int]]
#: Geometry of concatenated rows: (rows, block of each parameter) -> inputs by name.
Geometry = Callable[[EpochRows, IntArray], Mapping[str, FloatArray]]


@dataclass(frozen=True, kw_only=True)
class StateTable:
    """Recorded states to be measured, n of them.

    Attributes
    ----------
    runs
        The row of runs.parquet of each state, n rows, without `OUTCOME_COLUMNS`.
    params, start, previous, final
        theta_t, theta_0, theta_{t-1} (theta_0 at epoch 0) and theta_T, shape ``(n, P)``, float32.
    """

    runs: pa.Table
    params: FloatArray
    start: FloatArray
    previous: FloatArray
    final: FloatArray

    def take(self, rows: IntArray) -> StateTable:
        """Return some of the states."""
        return StateTable(
            runs=self.runs.take(rows),
            params=self.params[rows],
            start=self.start[rows],
            previous=self.previous[rows],
            final=self.final[rows],
        )


#: Measures recorded states: names in `trajectories.STATE_INPUTS` and `FORECAST_INPUTS`, each of
#: shape ``(n,)``; a forecast is towards the run's own criterion.
Probe = Callable[[StateTable], Mapping[str, FloatArray]]


@dataclass(frozen=True, kw_only=True)
class ExamplePlan:
    """Which epochs of a run become examples, and towards which targets.

    Attributes
    ----------
    epochs_per_run
        Epochs drawn from each run; all of a run that has fewer.
    landmarks
        Epochs of which every run that gets there has an example besides: the first epochs are
        rare in an even draw, and predictions are wanted there.
    locked_share
        Share of lineages in the locked test set.
    extra_share
        Share of runs that have examples towards a further threshold, or a plateau, too.
    root_seed
        Seed of the draw.
    """

    epochs_per_run: int
    landmarks: tuple[int, ...]
    locked_share: float
    extra_share: float
    root_seed: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How examples are made of the runs of one family.

    Attributes
    ----------
    plan
        Which epochs and targets.
    groups
        Feature groups to compute.
    block_of_param
        Parameter blocks of an architecture.
    geometry
        What the recorded parameters say of each epoch.
    probe
        Measures sampled states; None leaves what it would say unknown.
    """

    plan: ExamplePlan
    groups: Sequence[FeatureGroup]
    block_of_param: BlockOfParam
    geometry: Geometry
    probe: Probe | None


def example_epochs(run_id: str, n_epochs: int, plan: ExamplePlan) -> IntArray:
    """Return the drawn epochs of a run with epochs 0 to ``n_epochs - 1``, ascending.

    The draw depends on the run alone, never on the others.
    """
    if n_epochs <= plan.epochs_per_run:
        return np.arange(n_epochs)
    rng = generator(plan.root_seed, key_of(run_id), Purpose.EPOCH_SAMPLE)
    # Positions are more than one epoch apart, so that no two fall on the same.
    position = (np.arange(plan.epochs_per_run) + rng.random()) * n_epochs / plan.epochs_per_run
    return position.astype(np.int64)


def examples_of(rows: EpochRows, runs: pa.Table, recipe: Recipe) -> Iterator[pa.Table]:
    """Yield tables of examples for whole runs.

    Parameters
    ----------
    rows
        Epoch rows of the runs.
    runs
        Their rows of runs.parquet, in the same order.

    Raises
    ------
    ValueError
        If ``runs`` are not those of ``rows``.
    """
    if runs["run_id"].to_pylist() != rows.run_ids:
        raise ValueError("the runs are not those of the epoch rows")
    architectures = np.array(runs["architecture"].to_pylist())
    for architecture in np.unique(architectures):
        members = np.flatnonzero(architectures == architecture)
        of_kind = rows if members.size == len(runs) else rows.take_runs(members)
        blocks = depth_blocks(recipe.block_of_param(architecture))
        geometry = recipe.geometry(of_kind, blocks)
        for index in blocks_of_similar_length(of_kind.lengths, MAX_BLOCK_CELLS):
            yield from _Block(of_kind, runs.take(members), geometry, index).examples(recipe)


class _Block:
    """Some runs of one architecture as padded arrays.

    Parameters
    ----------
    rows, runs
        Runs of one architecture.
    geometry
        Inputs from their parameters, a row an epoch row; `final_block_mean` a row a run.
    index
        The runs of the block.
    """

    def __init__(
        self, rows: EpochRows, runs: pa.Table, geometry: Mapping[str, FloatArray], index: IntArray
    ) -> None:
        self._rows, self.runs = rows, runs.take(index)
        self._starts = (np.cumsum(rows.lengths) - rows.lengths)[index]
        self.lengths = rows.lengths[index]
        self._cells = ranges(self._starts, self.lengths)
        self._inputs: dict[str, Any] = {
            "epoch": self._padded(rows.epoch),
            **{
                name: self._padded(values)
                for name, values in rows.measures.items()
                if name in MEASURES
            },
            **{
                name: values[index][:, None] if _is_of_run(name) else self._padded(values)
                for name, values in geometry.items()
            },
            **{name: _column(self.runs, column) for name, column in _SETTINGS.items()},
            "planned_lr": _planned(self.runs),
        }
        self._inputs["lr_in_force"] = _in_force(self._inputs["planned_lr"], self._inputs["epoch"])

    def _padded(self, values: Series) -> FloatArray:
        return pad(values[self._cells], self.lengths)

    @property
    def losses(self) -> list[FloatArray]:
        """The loss of each run, epoch 0 to its last."""
        loss = self._rows.measures["loss"].astype(np.float64)
        return [loss[s : s + n] for s, n in zip(self._starts, self.lengths, strict=True)]

    @property
    def _capped(self) -> BoolArray:
        """Whether a run was ended by its criterion or its cap: it might have gone on, (R,)."""
        outcome = self.runs["outcome"].to_numpy(zero_copy_only=False)
        return np.isin(outcome, [Outcome.CONVERGED.value, Outcome.CAPPED.value])

    def examples(self, recipe: Recipe) -> Iterator[pa.Table]:
        """Yield the examples towards the primary target, then those towards others."""
        goals = primary_goals(self.runs)
        cells = _cells(self.runs, goals, recipe.plan)
        self._inputs |= self._measured(cells, recipe.probe)
        free = [group for group in recipe.groups if not _asks_for_target(group)]
        aimed = [group for group in recipe.groups if _asks_for_target(group)]
        features: dict[str, FloatArray | None] = {
            **compute_features(self._trajectories(goals), recipe.groups)
        }
        yield self._table(goals, cells, features, recipe.plan)
        goals = extra_goals(self.runs, self.losses, recipe.plan.extra_share, recipe.plan.root_seed)
        if not any(goals):
            return
        causal = [group for group in aimed if group.view is View.CAUSAL]
        kept = {name for group in free if group.view is View.CAUSAL for name in group.units}
        features = {name: values if name in kept else None for name, values in features.items()}
        for name in FORECAST_INPUTS:  # they were towards the run's own criterion
            self._inputs.pop(name, None)
        features |= compute_features(self._trajectories(goals), causal)
        yield self._table(goals, _cells(self.runs, goals, recipe.plan), features, recipe.plan)

    def _trajectories(self, goals: Sequence[Goal | None]) -> Trajectories:
        asked = {
            "target": [np.nan if goal is None else goal.target for goal in goals],
            "plateau": [np.nan if goal is None else goal.plateau for goal in goals],
        }
        columns = {name: np.array(values)[:, None] for name, values in asked.items()}
        return Trajectories(lengths=self.lengths, inputs={**self._inputs, **columns})

    def _measured(self, cells: _Cells, probe: Probe | None) -> dict[str, FloatArray]:
        """Return the states' measures, NaN where there is no example."""
        if probe is None or "params" not in self._rows.vectors:
            return {}
        params, first = self._rows.params, self._starts[cells.row]
        final = params[self._starts + self.lengths - 1]
        found = probe(
            StateTable(
                runs=self.runs.drop_columns(list(OUTCOME_COLUMNS)).take(cells.row),
                params=params[first + cells.epoch],
                start=params[first],
                previous=params[first + np.maximum(cells.epoch - 1, 0)],
                final=final[cells.row],
            )
        )
        shape = self._inputs["epoch"].shape
        known = STATE_INPUTS.keys() | FORECAST_INPUTS.keys()
        spread = {name: np.full(shape, np.nan) for name in found if name in known}
        for name, values in spread.items():
            values[cells.row, cells.epoch] = found[name]
        return spread

    def _table(
        self,
        goals: Sequence[Goal | None],
        cells: _Cells,
        features: Mapping[str, FloatArray | None],
        plan: ExamplePlan,
    ) -> pa.Table:
        row, epoch = cells.row, cells.epoch
        reached = np.array([goal is not None and goal.reached for goal in goals])[row]
        end = np.array([0 if goal is None else goal.epoch for goal in goals])[row]
        kinds = np.array(["" if goal is None else goal.kind.value for goal in goals])
        asked = np.array([np.nan if goal is None else goal.target for goal in goals])
        shares = np.array([np.nan if goal is None else goal.plateau for goal in goals])
        locked = locked_lineages(self.runs["lineage_id"].to_pylist(), plan.locked_share)
        missing = np.full(row.size, np.nan, dtype=np.float32)
        columns: dict[str, Any] = {
            **{name: self.runs[name].take(row).combine_chunks() for name in RUN_COLUMNS},
            "curve_id": pa.array(map(_curve_id, self.losses), pa.string()).take(row),
            "target_kind": kinds[row],
            "target": asked[row],
            "plateau": shares[row],
            "epoch": epoch.astype(np.int32),
            "remaining": pa.array(end - epoch, pa.int32(), mask=~reached),
            "observed": pa.array(end - epoch, pa.int32(), mask=~(reached | self._capped[row])),
            "converged": reached,
            "locked": locked[row],
            "sampled": cells.sampled,
            "landmark": cells.landmark,
            **{
                name: missing if values is None else values[row, epoch]
                for name, values in sorted(features.items())
            },
        }
        return pa.table(columns)


@dataclass(frozen=True)
class _Cells:
    """The examples of a block: run within the block, epoch, and why it is one; shape ``(n,)``."""

    row: IntArray
    epoch: IntArray
    sampled: FloatArray
    landmark: FloatArray


def _cells(runs: pa.Table, goals: Sequence[Goal | None], plan: ExamplePlan) -> _Cells:
    ids = runs["run_id"].to_pylist()
    found = []
    for row, goal in enumerate(goals):
        n_epochs = 0 if goal is None else goal.epoch
        drawn = example_epochs(ids[row], n_epochs, plan)
        landmarks = [epoch for epoch in plan.landmarks if epoch < n_epochs]
        chosen = np.union1d(drawn, landmarks).astype(np.int64)
        found.append(
            (
                np.full(chosen.size, row),
                chosen,
                np.isin(chosen, drawn),
                np.isin(chosen, landmarks),
            )
        )
    return _Cells(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _curve_id(loss: FloatArray) -> str | None:
    """Return what identifies a loss curve; None if it never moves, as that of a dead network."""
    moves = np.any(loss[1:] != loss[:-1])
    return hashlib.blake2b(loss.tobytes(), digest_size=8).hexdigest() if moves else None


def _asks_for_target(group: FeatureGroup) -> bool:
    return bool({"target", "plateau", *FORECAST_INPUTS} & set(group.requires))


def _is_of_run(name: str) -> bool:
    return name == "final_block_mean"


def _column(runs: pa.Table, name: str) -> Any:
    return runs[name].to_numpy(zero_copy_only=False)[:, None]


def _in_force(planned: FloatArray, epoch: FloatArray) -> FloatArray:
    """Return the learning rate of the pass that each epoch ends, shape ``(R, E)``."""
    passes = np.maximum(np.nan_to_num(epoch) - 1, 0)
    return np.where(np.isnan(epoch), np.nan, rate_in_force(planned, passes))


def _planned(runs: pa.Table) -> FloatArray:
    """Return the planned learning rates, shape ``(R, H + 1)``, NaN beyond a run's horizon."""
    settings = zip(
        *(runs[name].to_pylist() for name in ("lr_schedule", "lr", "max_epochs")), strict=True
    )
    plans = [learning_rates(schedule, lr, horizon) for schedule, lr, horizon in settings]
    return pad(np.concatenate(plans), np.array([plan.size for plan in plans]))
