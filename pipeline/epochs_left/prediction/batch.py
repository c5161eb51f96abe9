"""Batch prediction over a log: read, group, answer, write, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pyarrow as pa

from epochs_left.errors import DataError
from epochs_left.prediction.answers import answers
from epochs_left.prediction.cells import Names
from epochs_left.prediction.histories import At
from epochs_left.prediction.layout import ColumnChoice, Layout, OnBad, resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import RowReader, Rows
from epochs_left.prediction.runs import (
    InterleavedRunsError,
    Runs,
    all_rows,
    in_order,
    n_out_of_order,
    whole_runs,
)
from epochs_left.storage.logs import Log
from epochs_left.storage.outputs import TableWriter
from epochs_left.trajectories import GEOMETRY_INPUTS

Gather = Callable[[Iterable[Rows]], Iterator[Rows]]
OpenSink = Callable[[], AbstractContextManager[TableWriter]]

#: Rows that are answered at once.
PIECE_ROWS = 500_000
#: Ignored columns that are named.
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a log.

    Parameters
    ----------
    columns
        Columns that the user named.
    target
        Loss to be reached.
    at
        Rows to answer (`histories.rows_to_answer`).
    on_bad
        What to do with NaN and infinite values.
    strict
        Whether what would be a warning is an error.
    default_run
        Name of the one run of a log without a column for it.
    on_progress
        Called with the number of rows read and answered, after each piece of the log.
    """

    columns: ColumnChoice
    target: float
    at: At
    on_bad: OnBad
    strict: bool
    default_run: str
    on_progress: Callable[[int], None]


@dataclass
class Findings:
    """What was found on the way: counts, and what deserves a warning."""

    about_columns: list[str]
    n_rows: int = 0
    n_runs: int = 0
    n_missing: int = 0
    n_reordered: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, runs: Runs, table: pa.Table) -> None:
        """Count a piece of the log and its answer."""
        self.n_rows += len(runs.rows)
        self.n_runs += runs.lengths.size
        self.n_missing += int((~runs.rows.measured).sum())
        for count in table["status"].value_counts().to_pylist():
            self.statuses[count["values"]] += count["counts"]

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that was tolerated in the log."""
        found = list(self.about_columns)
        if not self.n_rows:
            found.append("no rows: the answer is empty")
        if self.n_missing:
            found.append(f"{self.n_missing:,} rows without a loss: no evaluation at those epochs")
        if self.n_reordered:
            found.append(f"{self.n_reordered:,} runs had their epochs out of order; sorted them")
        return found


def _about_columns(layout: Layout, default_run: str) -> list[str]:
    """Return a sentence for each thing that was tolerated in the columns."""
    found = []
    if layout.ignored:
        names = ", ".join(map(repr, layout.ignored[:_SHOWN]))
        more = len(layout.ignored) - _SHOWN
        found.append(f"ignored columns {names}{f' and {more} more' if more > 0 else ''}")
    if layout.run is None:
        found.append(f"no column of runs: taken as one run, {default_run!r}")
    return found


def predict_log(log: Log, predictor: Predictor, request: Request, open_sink: OpenSink) -> Findings:
    """Answer a whole log.

    The log is read run by run; only where runs are interleaved is it held in memory at once.

    Parameters
    ----------
    log
        The open log.
    predictor
        The model.
    request
        What is asked.
    open_sink
        Opens the output. What was written appears when its block ends without an error, so that
        an error leaves nothing behind.

    Raises
    ------
    DataError
        If the log cannot be used as it is.
    """
    layout = resolve(log.columns, request.columns)
    try:
        return _predict(log, layout, predictor, request, whole_runs, open_sink)
    except InterleavedRunsError:
        return _predict(log, layout, predictor, request, all_rows, open_sink)


def _predict(
    log: Log,
    layout: Layout,
    predictor: Predictor,
    request: Request,
    gather: Gather,
    open_sink: OpenSink,
) -> Findings:
    findings = Findings(_about_columns(layout, request.default_run))
    _enforce(findings.about_columns, request)
    reader = RowReader(
        layout=layout,
        on_bad=request.on_bad,
        with_params=not GEOMETRY_INPUTS.keys().isdisjoint(predictor.inputs),
        run_names=Names(),
        label_names=Names(),
        default_run=request.default_run,
    )
    batches = log.batches(layout.columns(with_params=reader.with_params))
    with open_sink() as sink:
        for rows in gather(reader.read(batches)):
            findings.n_reordered += n_out_of_order(rows)
            for runs in in_order(rows, reader.run_names.texts).pieces(PIECE_ROWS):
                table = _answer(runs, reader, predictor, request)
                sink.write(table)
                findings.add(runs, table)
                request.on_progress(len(runs.rows))
        _enforce(findings.warnings(), request)
    return findings


def _answer(runs: Runs, reader: RowReader, predictor: Predictor, request: Request) -> pa.Table:
    if runs.rows.params is not None:
        predictor.require_param_count(runs.rows.params.shape[1])
    return answers(
        runs,
        predictor,
        target=request.target,
        at=request.at,
        run_names=reader.run_names.texts,
        label_names=reader.label_names.texts,
    )


def _enforce(tolerated: Sequence[str], request: Request) -> None:
    if request.strict and tolerated:
        raise DataError(f"{'; '.join(tolerated)}; mend the log or leave out --strict")
