"""Sparse entries, as loggers append them: several an epoch, each with some of the values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.errors import DataError
from epochs_left.storage.log_readers import EPOCH, STEP, time_of

#: Columns that say something about a row but make none: without another value it is left out.
_BESIDE = frozenset(
    {EPOCH, STEP, "wall_time", "grad_norm", "learning_rate", "lr", "train_batch_size"}
)
#: Names of what is measured on held-out examples: such a value describes one state, the others
#: are losses of batches, whose mean over an epoch is what frameworks call the epoch's loss.
_EVALUATION = re.compile(r"(^|[/_. -])(val|eval|test)", re.IGNORECASE)
_ONE_LR = re.compile(r"^lr-[A-Za-z]+$")
#: An epoch that ended between two entries, computed in floating point.
_ROUNDING = 1e-6
_SHOWN = 40
#: Not averaged: a mean of equal numbers may differ from them in the last digit.
_SETTINGS = frozenset({"lr", "learning_rate"})
HORIZON = "horizon"


@dataclass(frozen=True, kw_only=True)
class Entries:
    """n entries of one run.

    Parameters
    ----------
    values
        Arrow arrays of shape ``(n,)`` by name, null where an entry has no such value; `STEP` is
        among them, and `EPOCH` where the logger counts epochs. Numbers are parsed when asked for.
    counted_from
        0 where the logger calls the first pass 0; what it counts from 1 is kept.
    passes_done
        Passes done when the log was written, or None where it does not say.
    horizons
        How long the run is meant to last, in epochs and in steps, where the log says it.
    """

    values: Mapping[str, pa.Array]
    counted_from: int
    passes_done: float | None = None
    horizons: Mapping[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values."""
        return (*self.values, *([HORIZON] if self.horizons else []))

    @property
    def shifted(self) -> bool:
        """Whether 1 is added to epochs and steps."""
        return self.counted_from == 0

    def n_entries(self, columns: Sequence[str]) -> int:
        """Return the number of entries that hold a value which makes a row."""
        telling = _telling(self._wanted(columns))
        if not telling:
            return 0
        valued = [np.asarray(_has_value(self.values[name])) for name in telling]
        return int(np.any(valued, axis=0).sum())

    def _wanted(self, columns: Sequence[str]) -> list[str]:
        return [name for name in columns if name in self.values and name not in {EPOCH, STEP}]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield one table with a row an epoch, or a row a step where ``columns`` has no epoch.

        The entries between two epochs are one row: their mean, or the last of what is measured
        on held-out examples. The last epoch is left out while it is going on. Rows that hold
        nothing but what `_BESIDE` names are left out: no evaluation happened there.

        Raises
        ------
        DataError
            If a value is no number.
        """
        time = time_of(columns)
        when, timed = _numbers(time, self.values[time])
        kept = timed & np.isfinite(when)
        times, row = np.unique(_passes(when[kept]), return_inverse=True)
        cells = {name: _numbers(name, self.values[name]) for name in self._wanted(columns)}
        cells = {name: (value[kept], there[kept]) for name, (value, there) in cells.items()}
        keep = _with_values(cells, row, times.size)
        if time == EPOCH:
            keep &= self._finished(times, cells, row)
        table = {time: pa.array((times + (1 - self.counted_from))[keep])}
        for name, (value, there) in cells.items():
            merged, known = _merged(name, value[there], row[there], times.size)
            table[name] = pa.array(merged[keep], mask=~known[keep])
        if HORIZON in columns and time in self.horizons:
            table[HORIZON] = pa.array(np.full(int(keep.sum()), self.horizons[time]))
        yield pa.table(table)

    def _finished(
        self, times: IntArray, cells: Mapping[str, tuple[FloatArray, BoolArray]], row: IntArray
    ) -> BoolArray:
        """Return which epochs are over, shape ``(T,)``.

        Where the log does not say, its last epoch is taken to be going on if it has at least two
        entries of some value less than the epoch before.
        """
        done = np.ones(times.size, dtype=np.bool_)
        if self.passes_done is not None:
            return np.asarray(times <= np.floor(self.passes_done + _ROUNDING))
        counts = [np.bincount(row[there], minlength=times.size) for _, there in cells.values()]
        if times.size > 1 and counts:
            done[-1] = all(count[-1] >= count[-2] - 1 for count in counts)
        return done


def one_lr(columns: Sequence[str]) -> str | None:
    """Return the column of the learning rate as monitors name it, if there is one such column."""
    found = [name for name in columns if _ONE_LR.match(name)]
    return found[0] if len(found) == 1 else None


def _passes(times: FloatArray) -> IntArray:
    """Return the pass that each entry belongs to: 1.25 passes done lie in the second."""
    passes: IntArray = np.ceil(times - _ROUNDING).astype(np.int64)
    return passes


def _telling(names: Iterable[str]) -> list[str]:
    """Return those of the names that make a row: of several not the settings beside them."""
    return [name for name in names if name not in _BESIDE] or list(names)


def _has_value(values: pa.Array) -> pa.Array:
    """Return where an entry has a value; in CSV an empty field is none."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.fill_null(pc.not_equal(values, ""), False)
    return pc.is_valid(values)


def _with_values(
    cells: Mapping[str, tuple[FloatArray, BoolArray]], row: IntArray, n_rows: int
) -> BoolArray:
    found = np.zeros(n_rows, dtype=np.bool_)
    for name in _telling(cells):
        found[row[cells[name][1]]] = True
    return found


def _merged(
    name: str, values: FloatArray, row: IntArray, n_rows: int
) -> tuple[FloatArray, BoolArray]:
    """Return one value a row and whether there is any, each of shape ``(n_rows,)``."""
    counts = np.bincount(row, minlength=n_rows)
    merged = np.zeros(n_rows)
    if _EVALUATION.search(name) or name in _SETTINGS:
        merged[row] = values  # of several the last stays
    else:
        merged = np.bincount(row, weights=values, minlength=n_rows) / np.maximum(counts, 1)
    return merged, counts > 0


def _numbers(name: str, values: pa.Array) -> tuple[FloatArray, BoolArray]:
    """Return float64 and where there is a value, each of shape ``(n,)``."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = _parsed(name, values)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise DataError(f"column {name!r}: expected numbers, found the type {kind}; pass --metric")
    numbers = values.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(numbers, np.nan)), np.asarray(pc.is_valid(numbers))


def _parsed(name: str, texts: pa.Array) -> pa.Array:
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid as error:
        row, text = next((i, t) for i, t in enumerate(texts.to_pylist()) if not _is_number(t))
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise DataError(
            f"column {name!r}, data row {row + 1}: expected a number, got {shown!r}; correct the "
            "value or leave it empty"
        ) from error


def _is_number(text: str | None) -> bool:
    try:
        return text is None or pa.array([text]).cast(pa.float64()) is not None
    except pa.ArrowInvalid:
        return False
