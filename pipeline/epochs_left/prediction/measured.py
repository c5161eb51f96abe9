"""Cells of a block as rows of features, with what is known about each: what models predict from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.features import compute_features
from epochs_left.prediction.assemble import Block
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.unlike import (
    Unlike,
    combined,
    far_from_training,
    outside_ranges,
    unseen_names,
)
from epochs_left.trajectories import (
    FORECAST_INPUTS,
    GOAL_INPUTS,
    PLAN_INPUTS,
    Trajectories,
)

#: Cells that are gathered at once: 4 bytes times some 90 features of each fit a core's cache.
STRETCH = 4096


@dataclass(frozen=True, kw_only=True)
class Measured:
    """n cells to be predicted.

    Parameters
    ----------
    rows
        Position in the log's rows of each cell, shape ``(n,)``.
    features
        Columns in the manifest's order, float32, shape ``(n, p)``, NaN where not available.
    complete
        Cells at which every input is known, shape ``(n,)``.
    elapsed, unit
        Epochs elapsed in units of the run, and epochs a unit, shape ``(n,)``.
    ahead
        Units until the horizon, shape ``(n,)``; NaN where nobody says.
    unlike
        Cells that are unlike the training data, and why.
    """

    rows: IntArray
    features: FloatArray
    complete: BoolArray
    elapsed: FloatArray
    ahead: FloatArray
    unit: FloatArray
    unlike: Unlike


def measured(
    block: Block, wanted: BoolArray, predictor: Predictor, label_names: Sequence[str]
) -> Measured:
    """Measure the wanted cells of a block.

    Parameters
    ----------
    wanted
        Which of the log's rows, shape ``(n_rows,)``.
    label_names
        Names by their codes in the rows.
    """
    manifest, runs = predictor.manifest, block.trajectories
    cells = np.flatnonzero((block.rows >= 0) & wanted[block.rows])
    run = cells // runs.n_epochs
    features, complete = _features(block, cells, predictor)
    names = unseen_names(block.labels, label_names, manifest, runs.n_runs)
    elapsed = runs.inputs["epoch"].ravel()[cells]
    horizon = np.asarray(runs.inputs.get("horizon", np.full((1, 1), np.nan)))
    return Measured(
        rows=block.rows.ravel()[cells],
        features=features,
        complete=complete,
        elapsed=elapsed,
        ahead=horizon[np.minimum(run, len(horizon) - 1), 0] - elapsed,
        unit=block.unit[run, 0],
        unlike=combined(
            {
                **{reason: found[run] for reason, found in names.items()},
                **{reason: flagged.ravel()[cells] for reason, flagged in block.flags.items()},
                **outside_ranges(features, manifest, predictor.ranges),
                **far_from_training(features, predictor.novelty),
            },
            run.size,
        ),
    )


def _features(block: Block, cells: IntArray, predictor: Predictor) -> tuple[FloatArray, BoolArray]:
    """Return the features of cells, NaN where an input is missing, and where none is.

    A group may turn a missing input into a number; it would then depend on other runs of the log
    whether a run without that input shares their block.
    """
    names = predictor.manifest.features
    unknown = {
        name: ~here
        for name, here in known_inputs(block, cells, predictor).items()
        if not here.all()
    }
    complete = np.ones(cells.size, dtype=np.bool_)
    for name in unknown.keys() - may_lack(block):
        complete &= ~unknown[name]
    groups = [group for group in predictor.groups if all(map(block.knows, group.requires))]
    runs = _asked_late(block.trajectories, cells)
    with np.errstate(all="ignore"):
        computed = compute_features(runs, groups, names=names, cells=cells)
    for group in groups:
        for name in unknown.keys() & set(group.requires):
            missing = np.broadcast_to(unknown[name], cells.shape)
            for feature in computed.keys() & group.units.keys():
                computed[feature][missing] = np.nan
    return _as_rows([computed.get(name) for name in names], cells.size), complete


def _asked_late(runs: Trajectories, cells: IntArray) -> Trajectories:
    """Return the runs with a plateau asked for at no epoch before those of the cells.

    Curves are then fitted at the epochs that are left alone. Where that is most of them it would
    cost more than it saves.
    """
    first = int((cells % runs.n_epochs).min(initial=runs.n_epochs))
    if "plateau" not in runs.inputs or 2 * first < runs.n_epochs:
        return runs
    late = np.arange(runs.n_epochs) >= first
    asked = np.where(late, runs.inputs["plateau"], np.nan)
    return replace(runs, inputs={**runs.inputs, "plateau": asked})


def _as_rows(columns: Sequence[FloatArray | None], n_rows: int) -> FloatArray:
    """Return columns, ``(n,)``, as rows, float32, shape ``(n, p)``, NaN where there is none.

    A stretch at a time, whose rows stay in the cache while one column after another is filled in.
    """
    rows = np.full((n_rows, len(columns)), np.nan, dtype=np.float32)
    known = [(index, column) for index, column in enumerate(columns) if column is not None]
    for start in range(0, n_rows, STRETCH):
        stretch = slice(start, start + STRETCH)
        for index, column in known:
            rows[stretch, index] = column[stretch]
    return rows


def known_inputs(block: Block, cells: IntArray, predictor: Predictor) -> dict[str, BoolArray]:
    """Return at which cells each input is known, ``(n,)``, or ``(1,)`` where all are alike."""
    run = cells // block.trajectories.n_epochs
    known = {}
    for name in predictor.inputs:
        found = block.available.get(name)
        if found is None:
            known[name] = np.array([block.knows(name)])
        elif found.all():
            known[name] = np.array([True])
        else:
            known[name] = found[run, 0] if found.shape[1] == 1 else found.ravel()[cells]
    return known


def may_lack(block: Block) -> frozenset[str]:
    """Return the inputs that may be absent from a row that is complete nevertheless.

    Of a loss and a plateau one is not asked for; towards a plateau theory forecasts nothing, and
    the models were trained so.
    """
    of_plateau = "plateau" in block.trajectories.inputs
    return GOAL_INPUTS | ((FORECAST_INPUTS.keys() | PLAN_INPUTS) if of_plateau else set())
