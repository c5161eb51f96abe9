"""Whole runs from a stream of rows, each in order of its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, IntArray
from epochs_left.errors import DataError
from epochs_left.prediction.rows import Rows, concatenated

#: Values held at once (2 GB): one run, or a whole log whose runs are interleaved.
MAX_HELD_CELLS = 250_000_000
#: Rows of one run, which is looked at as a whole; a longer log can be thinned.
MAX_RUN_ROWS = 2_000_000


class InterleavedRunsError(Exception):
    """A run goes on after another one has begun: the log cannot be read run by run."""


def whole_runs(batches: Iterable[Rows]) -> Iterator[Rows]:
    """Yield rows of runs that are complete, holding back the run that a batch ends with.

    Memory does not grow with the number of runs, their names apart.

    Raises
    ------
    InterleavedRunsError
        If a run comes back after it was taken to be complete.
    DataError
        If one run is larger than `MAX_HELD_CELLS`, or has more than `MAX_RUN_ROWS` rows.
    """
    held: list[Rows] = []
    n_seen = 0
    for rows in batches:
        if not len(rows):
            continue
        open_run = held[0].run[0] if held else -1
        if np.any((rows.run < n_seen) & (rows.run != open_run)):
            raise InterleavedRunsError
        n_seen = max(n_seen, int(rows.run.max()) + 1)
        last_run = rows.run[-1]
        goes_on = rows.run == last_run
        finished = [] if last_run == open_run else held
        if not goes_on.all():
            finished = [*finished, rows.take(~goes_on)]
        held = [*(held if last_run == open_run else []), rows.take(goes_on)]
        _check_held(held)
        _check_length(sum(map(len, held)), int(held[0].row[0]))
        if finished:
            yield concatenated(finished)
    if held:
        yield concatenated(held)


def all_rows(batches: Iterable[Rows]) -> Iterator[Rows]:
    """Yield all rows at once, for logs whose runs are interleaved.

    Raises
    ------
    DataError
        If they are more than `MAX_HELD_CELLS`, or one run has more than `MAX_RUN_ROWS`.
    """
    held: list[Rows] = []
    lengths = np.zeros(0, dtype=np.int64)
    for rows in batches:
        held.append(rows)
        _check_held(held)
        found = np.bincount(rows.run, minlength=lengths.size)
        found[: lengths.size] += lengths
        lengths = found
        if lengths.max(initial=0) > MAX_RUN_ROWS:
            longest = int(lengths.argmax())
            _check_length(int(lengths[longest]), _first_row(held, longest))
    if held:
        yield concatenated(held)


def _check_held(held: list[Rows]) -> None:
    cells = sum(part.n_cells for part in held)
    if cells > MAX_HELD_CELLS:
        raise DataError(
            f"expected at most {MAX_HELD_CELLS:,} values in one run, or in a log whose runs are "
            f"interleaved, found more; sort the rows by run, or split the log"
        )


def _first_row(held: list[Rows], run: int) -> int:
    return next(int(part.row[part.run == run][0]) for part in held if (part.run == run).any())


def _check_length(n_rows: int, first_row: int) -> None:
    """Refuse a run while it is read: nothing of it is of use, and the rest may fill the memory."""
    if n_rows > MAX_RUN_ROWS:
        raise DataError(
            f"data row {first_row}: expected at most {MAX_RUN_ROWS:,} rows in the run that begins "
            f"there, got {n_rows:,} or more; keep every tenth, say, which is as good, or name the "
            "column that tells runs apart with --run-column"
        )


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Rows of R whole runs, a run's rows together and in order of their epochs.

    Parameters
    ----------
    rows
        The n rows.
    starts, lengths
        First row and number of rows of each run, shape ``(R,)``.
    """

    rows: Rows
    starts: IntArray
    lengths: IntArray

    @property
    def run_of_row(self) -> IntArray:
        """Index of the run that each row belongs to, shape ``(n,)``."""
        return np.repeat(np.arange(self.lengths.size), self.lengths)

    def pieces(self, max_rows: int) -> Iterator[Runs]:
        """Yield the runs in groups of at most ``max_rows`` rows, or of one longer run."""
        ends = self.starts + self.lengths
        first = 0
        while first < self.lengths.size:
            limit = self.starts[first] + max_rows
            last = max(first + 1, int(np.searchsorted(ends, limit, side="right")))
            yield Runs(
                rows=self.rows.take(slice(self.starts[first], ends[last - 1])),
                starts=self.starts[first:last] - self.starts[first],
                lengths=self.lengths[first:last],
            )
            first = last

    def first(self, flags: BoolArray) -> IntArray:
        """Return the first row of each run that is flagged, or the row after its last, ``(R,)``."""
        positions = np.where(flags, np.arange(len(self.rows)), len(self.rows))
        first: IntArray = np.minimum.reduceat(positions, self.starts)
        bounded: IntArray = np.minimum(first, self.starts + self.lengths)
        return bounded

    def since(self, first: IntArray) -> BoolArray:
        """Return whether each row is at or after the position ``first`` of its run, ``(n,)``."""
        return np.arange(len(self.rows)) >= np.repeat(first, self.lengths)

    def count(self, flags: BoolArray) -> IntArray:
        """Return how many rows of the run up to each row, and with it, are flagged, ``(n,)``."""
        total: IntArray = np.cumsum(flags)
        before: IntArray = total[self.starts] - flags[self.starts]
        return total - np.repeat(before, self.lengths)


def in_order(rows: Rows, run_names: list[str]) -> Runs:
    """Group rows by run, in order of first appearance, and sort each run by epoch.

    Raises
    ------
    DataError
        If a run has an epoch twice, naming both rows, or more than `MAX_RUN_ROWS` rows.
    """
    if not _is_sorted(rows):
        rows = rows.take(np.lexsort((rows.epoch, rows.run)))
    starts = np.flatnonzero(np.diff(rows.run, prepend=rows.run[:1] - 1))
    lengths = np.diff(starts, append=len(rows))
    _refuse_duplicates(rows, run_names)
    if lengths.max(initial=0) > MAX_RUN_ROWS:
        longest = int(lengths.argmax())
        raise DataError(
            f"run {run_names[rows.run[starts[longest]]]!r}: expected at most {MAX_RUN_ROWS:,} rows "
            f"in a run, found {lengths[longest]:,}; keep every tenth, say, which is as good"
        )
    return Runs(rows=rows, starts=starts, lengths=lengths)


def _is_sorted(rows: Rows) -> bool:
    run_step, epoch_step = np.diff(rows.run), np.diff(rows.epoch)
    return bool(np.all((run_step > 0) | ((run_step == 0) & (epoch_step >= 0))))


def n_out_of_order(rows: Rows) -> int:
    """Return the number of runs whose epochs go back somewhere."""
    if _is_sorted(rows):
        return 0
    by_run = np.argsort(rows.run, kind="stable")
    run, epoch = rows.run[by_run], rows.epoch[by_run]
    backwards = (np.diff(epoch) < 0) & (np.diff(run) == 0)
    return int(np.unique(run[1:][backwards]).size)


def _refuse_duplicates(rows: Rows, run_names: list[str]) -> None:
    twice = np.flatnonzero((np.diff(rows.run) == 0) & (np.diff(rows.epoch) == 0))
    if twice.size:
        first = int(twice[0])
        raise DataError(
            f"data rows {rows.row[first]} and {rows.row[first + 1]}: run "
            f"{run_names[rows.run[first]]!r} has epoch {rows.epoch[first]} twice; keep one, or "
            "name the column that tells runs apart with --run-column",
            row=int(max(rows.row[first : first + 2])),
        )
