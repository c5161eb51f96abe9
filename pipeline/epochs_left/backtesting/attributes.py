"""What a log says of a whole run in any of its columns: its task, its target, its horizon.

A column may hold JSON, as experiment trackers write settings: ``hyperparameters.e`` is the key
``e`` of the column ``hyperparameters``, unless a column has that name itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.errors import DataError, did_you_mean
from epochs_left.prediction.cells import UNNAMED, Column, Names
from epochs_left.prediction.runs import Runs

_SHOWN = 40


@dataclass(frozen=True)
class CellPath:
    """A column of a log, or a key within the JSON that it holds.

    Attributes
    ----------
    keys
        Names of the nested objects and of the value in them; empty for the column as it is.
    """

    column: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the path as people write it."""
        return ".".join((self.column, *self.keys))


def cell_path(text: str, columns: Sequence[str], option: str) -> CellPath:
    """Return the path that an option names: a column, else the longest column before a dot.

    Raises
    ------
    DataError
        If there is no such column, with the nearest name that is there.
    """
    if text in columns:
        return CellPath(text)
    parts = text.split(".")
    for n in range(len(parts) - 1, 0, -1):
        column = ".".join(parts[:n])
        if column in columns:
            return CellPath(column, tuple(parts[n:]))
    raise DataError(
        f"{option}: no column {text!r}{did_you_mean(text, columns)}; name a column of the log, or "
        "COLUMN.KEY of one that holds JSON"
    )


@dataclass(frozen=True)
class Attribute:
    """A value for each of R runs; None where the log has none.

    Attributes
    ----------
    path
        Where it was found.
    values
        R texts.
    run_names
        R names.
    """

    path: CellPath
    values: list[str | None]
    run_names: Sequence[str]

    def numbers(self) -> FloatArray:
        """Return the values as numbers above 0, shape ``(R,)``; text like "050" is one.

        Raises
        ------
        DataError
            For a run whose value is missing or something else.
        """
        return np.array([self._number(run, text) for run, text in enumerate(self.values)])

    def labels(self) -> list[str]:
        """Return the values as they are, empty where missing, R texts."""
        return ["" if text is None else text for text in self.values]

    def _number(self, run: int, text: str | None) -> float:
        try:
            number = math.nan if text is None else float(text)
        except ValueError:
            number = math.nan
        if not (number > 0 and math.isfinite(number)):
            found = "nothing" if text is None else _shown(text)
            raise DataError(
                f"column {str(self.path)!r}, run {self.run_names[run]!r}: expected a number above "
                f"0, got {found}; correct it or leave the run out",
                column=self.path.column,
            )
        return number


class Collector:
    """Keeps the columns of some paths while the batches of a log pass."""

    def __init__(self, paths: Iterable[CellPath]) -> None:
        self.columns = tuple(dict.fromkeys(path.column for path in paths))
        self._names = {column: Names() for column in self.columns}
        self._codes: dict[str, list[IntArray]] = {column: [] for column in self.columns}

    def passing(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the batches as they are."""
        first_row = 0
        for batch in batches:
            for column in self.columns:
                there = column in batch.column_names
                values = batch.column(column) if there else _nothing(batch.num_rows)
                codes = Column(column, values, first_row).codes(self._names[column])
                self._codes[column].append(codes)
            first_row += batch.num_rows
            yield batch

    def of_runs(
        self,
        path: CellPath,
        runs: Runs,
        run_names: Sequence[str],
        *,
        without: Sequence[CellPath] = (),
    ) -> Attribute:
        """Return the one value of each run.

        Parameters
        ----------
        runs
            Rows of the batches that have passed, R runs.
        run_names
            Names of the runs, R of them.
        without
            Keys of JSON to leave out of the value.

        Raises
        ------
        DataError
            If a run has two values, or a cell is no JSON where a key of it is asked for.
        """
        left_out = [each.keys for each in without if each.column == path.column]
        written = np.concatenate(self._codes[path.column])
        distinct = Names()
        lookup = np.full(len(self._names[path.column].texts) + 1, UNNAMED)
        for code, text in enumerate(self._names[path.column].texts):
            try:
                inner = _inner(text, path.keys, left_out)
            except (ValueError, RecursionError):
                row = int(np.flatnonzero(written == code)[0]) + 1
                raise _no_json(path, row, text) from None
            if inner is not None:
                lookup[code] = distinct.encode([inner])[0]
        codes = lookup[written][runs.rows.row - 1]
        values = _constant(codes, runs, distinct.texts, path, run_names)
        return Attribute(path, values, run_names)


def _nothing(n_rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(n_rows)])


def _inner(text: str, keys: Sequence[str], left_out: Sequence[tuple[str, ...]]) -> str | None:
    """Return what a cell says: its text, or the value of a key; ValueError if it is no JSON."""
    if not keys and not left_out:
        return text
    value = json.loads(text)
    for path in left_out:
        _drop(value, path)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True)


def _drop(value: Any, keys: Sequence[str]) -> None:
    """Take a key out of nested objects, if it is there."""
    for key in keys[:-1]:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict) and keys:
        value.pop(keys[-1], None)


def _constant(
    codes: IntArray, runs: Runs, texts: Sequence[str], path: CellPath, run_names: Sequence[str]
) -> list[str | None]:
    """Return the value of each run, missing cells apart; DataError if it has two."""
    highest = np.maximum.reduceat(codes, runs.starts)
    lowest = np.minimum.reduceat(np.where(codes == UNNAMED, len(texts), codes), runs.starts)
    if (differing := np.flatnonzero(lowest < highest)).size:
        run = int(differing[0])
        found = " and ".join(_shown(texts[code]) for code in (lowest[run], highest[run]))
        raise DataError(
            f"column {str(path)!r}, run {run_names[run]!r}: expected one value in a run, got "
            f"{found}; give it one, or name another column",
            column=path.column,
        )
    return [texts[code] if code != UNNAMED else None for code in highest]


def _no_json(path: CellPath, row: int, text: str) -> DataError:
    return DataError(
        f"column {path.column!r}, data row {row}: expected JSON, got {_shown(text)}; name the "
        "column itself, or correct the cell",
        column=path.column,
        row=row,
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
