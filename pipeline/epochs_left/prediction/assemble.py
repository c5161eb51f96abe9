"""From runs of a log to blocks of padded trajectories, the input of feature groups.

What is assumed: feature groups take neighbouring rows of a run as one unit of time apart. So the
unit of a run is the distance between its first two epochs; its epochs are divided by it, and what
is predicted is multiplied by it. A log that records every tenth epoch is served in tens of epochs.
A run whose rows are not evenly spaced is flagged from the first odd gap on. Measures that refer to
one epoch (`PER_EPOCH_SETTINGS`) count as missing where the unit is not one.

Everything at an epoch comes from the rows up to it: a setting is its value in the first row, and
one that changes later is flagged from there on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import BoolArray, FloatArray, IntArray, ranges
from epochs_left.dynamics.clock import rate_in_force
from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.dynamics.schedules import is_schedule, learning_rates
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.cells import UNNAMED
from epochs_left.prediction.forecasts import linearised_forecasts, training_of
from epochs_left.prediction.histories import MIN_HISTORY, Histories, horizons
from epochs_left.prediction.layout import MEASURES, RECORDED_LR, SETTINGS
from epochs_left.prediction.rows import Rows
from epochs_left.trajectories import (
    FORECAST_INPUTS,
    GEOMETRY_INPUTS,
    Trajectories,
    blocks_of_similar_length,
    pad,
)

#: Padded cells of a block, times the width of the parameters: 256 KB a measure stays in the cache.
MAX_BLOCK_CELLS = 2**15
#: A longer plan of the learning rate counts as unknown: a number in a log must not fill the memory.
MAX_PLANNED_EPOCHS = 1_000_000
#: Planned epochs that count as one cell of a block.
_PLANNED_A_CELL = 8
#: Settings whose meaning is tied to one epoch or one step.
PER_EPOCH_SETTINGS = ("lr", "batch_size", "n_examples", "horizon")
#: What a forecast needs to be told of a run.
_FORECAST_NEEDS = frozenset(
    {"architecture", "batch_size", "horizon", "lr", "momentum", "n_examples", "optimizer"}
)
#: Settings that feature groups take to be constant.
CONSTANT_SETTINGS = ("lr", "momentum", "batch_size", "horizon")


@dataclass(frozen=True, kw_only=True)
class Block:
    """R runs, padded to E epochs, with what is known about each cell.

    Parameters
    ----------
    trajectories
        Inputs of the feature groups, time in units of each run.
    rows
        Position in the log's rows of each cell, shape ``(R, E)``, -1 in the padding.
    available
        Whether an input is known at an epoch and all before it, ``(R, E)`` or ``(R, 1)``.
    unit
        Epochs between neighbouring rows, shape ``(R, 1)``.
    flags
        Cells that are unlike the training data for a reason, by the reason, shape ``(R, E)``.
    labels
        Codes of the run's names, shape ``(R,)``, by input name.
    """

    trajectories: Trajectories
    rows: IntArray
    available: Mapping[str, BoolArray]
    unit: FloatArray
    flags: Mapping[str, BoolArray]
    labels: Mapping[str, IntArray]

    def knows(self, name: str) -> bool:
        """Tell whether an input is known of any of the runs."""
        return name in self.trajectories.inputs


def blocks(
    histories: Histories,
    wanted: BoolArray,
    inputs: Collection[str],
    label_names: Sequence[str],
    aim: Aim,
) -> Iterator[Block]:
    """Yield blocks that cover every run with a wanted row, each run up to its last wanted row.

    Parameters
    ----------
    wanted
        Rows to predict, shape ``(n,)``; a part of ``histories.predictable``.
    inputs
        Names of the inputs that the feature groups ask for.
    label_names
        Names by their codes in the rows.
    aim
        What is asked for.
    """
    runs = histories.runs
    last_wanted = np.maximum.reduceat(np.where(wanted, np.arange(wanted.size), -1), runs.starts)
    looked_at = histories.usable & ~runs.since(last_wanted + 1)
    positions = np.flatnonzero(looked_at)
    lengths = np.add.reduceat(looked_at, runs.starts, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    with_wanted = np.flatnonzero(last_wanted >= 0)
    width = 1 if runs.rows.params is None else runs.rows.params.shape[1]
    max_cells = max(1, MAX_BLOCK_CELLS // width)
    sizes = lengths[with_wanted]
    if "planned_lr" in inputs:
        planned = np.nan_to_num(np.minimum(horizons(runs, aim), MAX_PLANNED_EPOCHS))[with_wanted]
        sizes = np.maximum(sizes, planned.astype(np.int64) // _PLANNED_A_CELL)
    for index in blocks_of_similar_length(sizes, max_cells):
        members = with_wanted[index]
        cells = positions[ranges(starts[members], lengths[members])]
        yield _block(runs.rows, cells, lengths[members], inputs, label_names, aim)


def _block(
    rows: Rows,
    cells: IntArray,
    lengths: IntArray,
    inputs: Collection[str],
    label_names: Sequence[str],
    aim: Aim,
) -> Block:
    taken = rows.take(_sliced(cells))
    first = np.cumsum(lengths) - lengths
    epoch = pad(taken.epoch.astype(np.float64), lengths)
    unit = epoch[:, 1:MIN_HISTORY] - epoch[:, :1]
    series = {
        name: pad(values, lengths)
        for name, values in taken.numbers.items()
        if name in MEASURES and name in inputs
    }
    if taken.params is not None and GEOMETRY_INPUTS.keys() & set(inputs):
        series |= _geometry(taken.params, lengths)
    settings = _settings(taken, first, unit, aim)
    labels = {name: codes[first] for name, codes in taken.labels.items()}
    named = np.array([*label_names, ""], dtype=object)
    if "lr_schedule" in labels:  # of another one nothing is known, as if it were not stated
        of_plan = _are_schedules(named)[labels["lr_schedule"]]
        labels["lr_schedule"] = np.where(of_plan, labels["lr_schedule"], UNNAMED)
    has_theory = aim.target is not None and FORECAST_INPUTS.keys() & set(inputs)
    if taken.params is not None and has_theory:
        of_run = settings | {name: named[codes][:, None] for name, codes in labels.items()}
        series |= _forecasts(taken.params, lengths, of_run, aim.loss)
    if "planned_lr" in inputs:
        settings |= _planned(settings, labels, named)
    if "lr_in_force" in inputs:
        series |= _in_force(taken, lengths, epoch / unit, settings)
    values: dict[str, Any] = {
        "epoch": epoch / unit,
        "loss": pad(taken.loss, lengths),
        **{name: np.full((lengths.size, 1), value) for name, value in _asked(aim).items()},
        **series,
        **{name: column for name, column in settings.items() if name in inputs},
        **{name: named[labels[name]][:, None] for name in labels if name in inputs},
    }
    return Block(
        trajectories=Trajectories(lengths=lengths, inputs=values),
        rows=pad(cells.astype(np.float64), lengths, fill=-1).astype(np.int64),
        available=_available(series, settings, labels),
        unit=unit,
        flags=_flags(taken, lengths, epoch, unit, inputs),
        labels=labels,
    )


def _sliced(cells: IntArray) -> IntArray | slice:
    """Return consecutive positions as a slice, which copies nothing."""
    first, end = int(cells[0]), int(cells[0]) + cells.size
    consecutive = cells[-1] + 1 == end and (cells[1:] == cells[:-1] + 1).all()
    return slice(first, end) if consecutive else cells


def _asked(aim: Aim) -> dict[str, float]:
    """Return the inputs that say what is asked for; what a plateau says is not in any unit."""
    return {"target": aim.loss} | ({} if aim.plateau is None else {"plateau": aim.plateau})


def _geometry(params: FloatArray, lengths: IntArray) -> dict[str, FloatArray]:
    """Return what the parameters say of each epoch; a log has no end to measure them against."""
    whole = np.zeros(params.shape[1], dtype=np.int64)
    found = trajectory_geometry(params, lengths, block_of_param=whole, n_blocks=1)
    return {name: pad(values, lengths) for name, values in found.items()}


def _forecasts(
    params: FloatArray, lengths: IntArray, of_run: Mapping[str, NDArray[Any]], target: float
) -> dict[str, FloatArray]:
    """Return what theory forecasts at each epoch, if everything that it needs is stated."""
    if not of_run.keys() >= _FORECAST_NEEDS:
        return {}
    columns = {name: np.repeat(of_run[name][:, 0], lengths) for name in _FORECAST_NEEDS}
    columns["target"] = np.full(len(params), target)
    rows = np.arange(len(params))
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    previous = params[np.maximum(rows - 1, first)]
    found = linearised_forecasts(params, previous, columns["architecture"], training_of(columns))
    return {name: pad(values, lengths) for name, values in found.items()}


def _settings(taken: Rows, first: IntArray, unit: FloatArray, aim: Aim) -> dict[str, FloatArray]:
    """Return each setting in the first row of its run, shape ``(R, 1)``.

    The horizon of a plateau is part of what is asked for: it is counted in units of the run. So is
    the learning rate, whose unit says nothing of a plateau: the ratios do.
    """
    settings = {
        name: values[first][:, None] for name, values in taken.numbers.items() if name in SETTINGS
    }
    if "lr" in settings:  # a warm-up may begin at 0, which is no base rate
        settings["lr"] = np.where(settings["lr"] > 0, settings["lr"], np.nan)
    if taken.params is not None and "n_params" not in settings:
        settings["n_params"] = np.full((first.size, 1), float(taken.params.shape[1]))
    if aim.horizon is not None:
        stated = settings.get("horizon", np.full((first.size, 1), np.nan))
        settings["horizon"] = np.where(np.isnan(stated), aim.horizon, stated)
    for name in PER_EPOCH_SETTINGS:
        if name == "horizon" and aim.target is None:
            settings[name] = settings[name] / unit
        elif name == "lr" and aim.target is None:
            stated = settings.get(name, np.zeros(unit.shape))
            settings[name] = np.where(stated > 0, stated, 1.0)
        elif name in settings:
            settings[name] = np.where(unit == 1, settings[name], np.nan)
    return settings


def _planned(
    settings: Mapping[str, FloatArray], labels: Mapping[str, IntArray], named: NDArray[Any]
) -> dict[str, FloatArray]:
    """Return the planned learning rates, shape ``(R, H + 1)``, where the plan is known."""
    if not {"lr", "horizon"} <= settings.keys() or "lr_schedule" not in labels:
        return {}
    lr, horizon = (settings[name][:, 0] for name in ("lr", "horizon"))
    schedule = named[labels["lr_schedule"]]
    known = _are_schedules(named)[labels["lr_schedule"]] & (lr > 0)
    known &= (horizon >= 1) & (horizon <= MAX_PLANNED_EPOCHS)
    length = np.where(known, horizon, 0).astype(np.int64) + 1
    planned = np.full((lr.size, int(length.max(initial=1))), np.nan)
    plans = labels["lr_schedule"] * (planned.shape[1] + 1) + length
    for plan in np.unique(plans[known]):
        rows = np.flatnonzero(known & (plans == plan))
        size = length[rows[0]]
        shape = learning_rates(schedule[rows[0]], 1.0, int(size - 1))
        planned[rows, :size] = lr[rows, None] * shape
    return {"planned_lr": planned}


def _are_schedules(names: NDArray[Any]) -> BoolArray:
    return np.array([is_schedule(name) for name in names])


def _in_force(
    taken: Rows, lengths: IntArray, epoch: FloatArray, settings: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the learning rate of the pass that each epoch ends, where log or plan say it.

    What is recorded goes before the plan from the epoch on at which it first changes, or is 0:
    until then it may be the base rate, repeated. The plan begins where the record does: its base
    may be of another unit, or not known. Epoch 0 ends no pass, and what it says of a rate, 0 or
    nothing, is that of the first one.
    """
    recorded = taken.numbers.get(RECORDED_LR)
    rates = np.full(epoch.shape, np.nan) if recorded is None else pad(recorded, lengths)
    rates[:, 0] = np.where(rates[:, 0] > 0, rates[:, 0], rates[:, 1])
    if "planned_lr" in settings:
        planned = settings["planned_lr"]
        unplanned = np.isnan(planned[:, :1])
        first = rates[:, :1]
        told = np.logical_or.accumulate(_differs(rates, first) | (rates == 0), axis=1)
        of_plan = rate_in_force(planned, np.maximum(np.nan_to_num(epoch) - 1, 0))
        both = (first > 0) & (of_plan[:, :1] > 0)
        unit = np.divide(first, of_plan[:, :1], out=np.ones_like(first), where=both)
        rates = np.where(told | unplanned, rates, unit * of_plan)
    return {} if np.isnan(rates).all() else {"lr_in_force": rates}


def _available(
    series: Mapping[str, FloatArray],
    settings: Mapping[str, FloatArray],
    labels: Mapping[str, IntArray],
) -> dict[str, BoolArray]:
    """Return where each optional input is known, at an epoch and at all before it."""
    missing = {
        name: np.isnan(values).reshape(*values.shape[:2], -1).any(axis=2)
        for name, values in series.items()
    }
    return {
        **{name: ~np.logical_or.accumulate(gap, axis=1) for name, gap in missing.items()},
        **{name: ~np.isnan(values[:, :1]) for name, values in settings.items()},
        **{name: (codes != UNNAMED)[:, None] for name, codes in labels.items()},
    }


def _flags(
    taken: Rows,
    lengths: IntArray,
    epoch: FloatArray,
    unit: FloatArray,
    inputs: Collection[str],
) -> dict[str, BoolArray]:
    """Return the cells from which on a run breaks what the feature groups assume."""
    gaps = np.diff(epoch, axis=1, prepend=epoch[:, :1] - unit)
    odd = {"epochs not evenly spaced": _differs(gaps, unit)}
    # A plan takes a schedule: where none is stated, such models do not use the rate at all.
    follows_lr = "lr_in_force" in inputs
    lr_is_unused = follows_lr or ("planned_lr" in inputs and "lr_schedule" not in taken.labels)
    for name in CONSTANT_SETTINGS:
        if name in taken.numbers and not (name == "lr" and lr_is_unused):
            values = pad(taken.numbers[name], lengths)
            odd[f"{name} changes along the run"] = _differs(values, values[:, :1])
    return {
        reason: np.logical_or.accumulate(cells, axis=1)
        for reason, cells in odd.items()
        if cells.any()
    }


def _differs(values: FloatArray, first: FloatArray) -> BoolArray:
    """Return where both are known and unequal."""
    unequal: BoolArray = (values != first) & ~np.isnan(values) & ~np.isnan(first)
    return unequal
