"""Batches of a log as typed, checked rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.errors import DataError
from epochs_left.prediction.cells import UNNAMED, Column, Names
from epochs_left.prediction.layout import (
    LABELS,
    MEASURES,
    PARAMS,
    RECORDED_LR,
    SETTINGS,
    Layout,
    OnBad,
)

#: Above it a float64 no longer counts in ones.
MAX_EPOCH = 2**53 - 1


@dataclass(frozen=True, kw_only=True)
class Rows:
    """n rows of a log.

    Parameters
    ----------
    run
        Code of the run, in order of first appearance in the log, shape ``(n,)``.
    row
        Number of the row in the log, from 1.
    epoch
        Epoch t, whole and not negative.
    loss
        Loss or metric; NaN where it is missing, NaN or infinite where it is bad.
    measured
        False where the loss is missing: an evaluation that did not happen.
    numbers
        Optional measures and settings by input name; NaN where missing or bad.
    labels
        Codes of names by input name; `UNNAMED` where missing.
    params
        Parameters, shape ``(n, P)``, NaN where missing; None where the log has none.
    """

    run: IntArray
    row: IntArray
    epoch: IntArray
    loss: FloatArray
    measured: BoolArray
    numbers: Mapping[str, FloatArray]
    labels: Mapping[str, IntArray]
    params: FloatArray | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.row.size)

    @property
    def n_cells(self) -> int:
        """Number of values held."""
        columns = len(self.numbers) + len(self.labels) + len(("run", "row", "epoch", "loss"))
        return len(self) * columns + (0 if self.params is None else self.params.size)

    def take(self, index: IntArray | BoolArray | slice) -> Rows:
        """Return the rows at ``index``: positions, a mask, or a slice, which copies nothing."""
        return Rows(
            run=self.run[index],
            row=self.row[index],
            epoch=self.epoch[index],
            loss=self.loss[index],
            measured=self.measured[index],
            numbers={name: values[index] for name, values in self.numbers.items()},
            labels={name: codes[index] for name, codes in self.labels.items()},
            params=None if self.params is None else self.params[index],
        )


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all ``parts``, which come from one log, in order."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        run=np.concatenate([part.run for part in parts]),
        row=np.concatenate([part.row for part in parts]),
        epoch=np.concatenate([part.epoch for part in parts]),
        loss=np.concatenate([part.loss for part in parts]),
        measured=np.concatenate([part.measured for part in parts]),
        numbers={
            name: np.concatenate([part.numbers[name] for part in parts])
            for name in parts[0].numbers
        },
        labels={
            name: np.concatenate([part.labels[name] for part in parts]) for name in parts[0].labels
        },
        params=_stacked_params(parts),
    )


def _stacked_params(parts: Sequence[Rows]) -> FloatArray | None:
    widths = {part.params.shape[1] for part in parts if part.params is not None}
    if not widths:
        return None
    if len(widths) > 1:
        raise DataError(
            f"expected one number of parameters in the whole log, found {sorted(widths)}; "
            "split the log by model"
        )
    empty = [np.full((len(part), *widths), np.nan) for part in parts]
    return np.concatenate(
        [
            blank if part.params is None else part.params
            for part, blank in zip(parts, empty, strict=True)
        ]
    )


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Turns the batches of one log into rows.

    Parameters
    ----------
    layout
        The columns of the log.
    on_bad
        What to do with NaN and infinite values.
    with_params
        Whether the parameters are wanted.
    run_names, label_names
        Filled with the names that appear.
    default_run
        Name of the one run of a log that has no column for it.
    """

    layout: Layout
    on_bad: OnBad
    with_params: bool
    run_names: Names
    label_names: Names
    default_run: str

    def read(self, batches: Iterable[pa.Table]) -> Iterator[Rows]:
        """Yield the rows of each batch.

        Raises
        ------
        DataError
            At the first cell that cannot be used, naming its column and row.
        """
        first_row = 0
        for batch in batches:
            yield self._rows(batch, first_row)
            first_row += batch.num_rows

    def _rows(self, batch: pa.Table, first_row: int) -> Rows:
        loss, measured = _column(batch, first_row, self.layout.metric).numbers()
        known = {
            name: _stated(batch, name, self.layout.stated[name])
            if name in self.layout.stated
            else _column(batch, first_row, self.layout.written(name))
            for name in self.layout.known
        }
        numbers = {
            name: self._optional_numbers(name, column)
            for name, column in known.items()
            if name not in LABELS
        }
        if "lr" in known.keys() - self.layout.stated.keys():
            numbers[RECORDED_LR] = numbers["lr"]
        rows = Rows(
            run=self._runs(batch, first_row),
            row=np.arange(first_row + 1, first_row + 1 + batch.num_rows),
            epoch=_epochs(_column(batch, first_row, self.layout.time)),
            loss=loss,
            measured=measured,
            numbers=numbers,
            labels={
                name: column.codes(self.label_names)
                for name, column in known.items()
                if name in LABELS
            },
            params=self._params(batch, first_row) if self.with_params else None,
        )
        if self.on_bad is OnBad.ERROR:
            bad = measured & ~np.isfinite(loss)
            _refuse(_column(batch, first_row, self.layout.metric), bad, "a finite number")
        return rows

    def _runs(self, batch: pa.Table, first_row: int) -> IntArray:
        if self.layout.run is None:
            return np.repeat(self.run_names.encode([self.default_run]), batch.num_rows)
        column = _column(batch, first_row, self.layout.run)
        codes = column.codes(self.run_names)
        if (missing := np.flatnonzero(codes == UNNAMED)).size:
            raise column.error(int(missing[0]), "the name of a run", "name it or remove the row")
        return codes

    def _optional_numbers(self, name: str, column: Column) -> FloatArray:
        """Return numbers within their bounds; a bad one is an error or counts as missing."""
        values, measured = column.numbers()
        bad = measured & ~np.isfinite(values)
        if self.on_bad is OnBad.ERROR:
            _refuse(column, bad, "a finite number")
        values = np.where(bad, np.nan, values)
        lowest = (MEASURES | SETTINGS)[name]
        _refuse(column, values < lowest, f"a number from {lowest:g} on", "correct it")
        return values

    def _params(self, batch: pa.Table, first_row: int) -> FloatArray | None:
        present = [name for name in self.layout.params if name in batch.column_names]
        if not present:
            return None
        columns = [_column(batch, first_row, name) for name in self.layout.params]
        if present == [PARAMS]:
            params = columns[0].vectors()
        else:
            params = np.stack([column.numbers()[0] for column in columns], axis=1)
        if self.on_bad is OnBad.ERROR:
            # Overflowed weights are a sign of divergence; a missing vector is NaN throughout.
            missing = np.asarray(np.isnan(params).all(axis=1))
            _refuse(columns[0], ~(np.isfinite(params).all(axis=1) | missing), "finite parameters")
        return params


def _column(batch: pa.Table, first_row: int, name: str) -> Column:
    if name in batch.column_names:
        return Column(name, batch.column(name), first_row)
    return Column(name, pa.chunked_array([pa.nulls(batch.num_rows)]), first_row)


def _stated(batch: pa.Table, name: str, value: float | str) -> Column:
    """Return a column that has one value in every row."""
    return Column(name, pa.chunked_array([pa.repeat(value, batch.num_rows)]), 0)


def _epochs(column: Column) -> IntArray:
    """Return epochs as whole numbers from 0; missing, negative, broken ones are errors."""
    values, _ = column.numbers()
    with np.errstate(invalid="ignore"):
        good: BoolArray = (values >= 0) & (values <= MAX_EPOCH) & (values == np.floor(values))
    remedy = "correct it, or name another column with --time-column"
    _refuse(column, np.logical_not(good), "a whole number of epochs, 0 or more", remedy)
    return values.astype(np.int64)


def _refuse(
    column: Column,
    bad: BoolArray,
    expected: str,
    remedy: str = "correct it or pass --on-bad flag",
) -> None:
    """Raise DataError at the first bad cell, if there is one."""
    if (found := np.flatnonzero(bad)).size:
        raise column.error(int(found[0]), expected, remedy)
