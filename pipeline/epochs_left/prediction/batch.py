"""Batch prediction over a log: read, group, answer, write, in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pyarrow as pa
from threadpoolctl import threadpool_limits

from epochs_left.errors import DataError, UsageError
from epochs_left.prediction.aims import Aim
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
_Answer = Callable[[Runs], pa.Table]
OpenSink = Callable[[], AbstractContextManager[TableWriter]]

#: Rows that are answered at once by one thread.
PIECE_ROWS = 2**16
#: Pieces that may wait or be under way for each thread: what is read ahead stays bounded.
_PIECES_AHEAD = 2
#: Ignored columns that are named.
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a log.

    Parameters
    ----------
    columns
        Columns that the user named.
    aim
        What every run is asked for.
    at
        Rows to answer (`histories.rows_to_answer`).
    on_bad
        What to do with NaN and infinite values.
    strict
        Whether what would be a warning is an error.
    default_run
        Name of the one run of a log without a column for it.
    jobs
        Threads; the answer does not depend on them.
    on_progress
        Called with the number of rows read and answered, after each piece of the log.
    """

    columns: ColumnChoice
    aim: Aim
    at: At
    on_bad: OnBad
    strict: bool
    default_run: str
    jobs: int
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


def about_columns(layout: Layout, default_run: str) -> list[str]:
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
    findings = Findings(about_columns(layout, request.default_run))
    _enforce(findings.about_columns, request)
    require_horizon(layout, request.aim)
    reader = row_reader(layout, predictor, request.on_bad, request.default_run)
    batches = log.batches(layout.columns(with_params=reader.with_params))

    def pieces() -> Iterator[Runs]:
        for rows in gather(reader.read(batches)):
            findings.n_reordered += n_out_of_order(rows)
            yield from in_order(rows, reader.run_names.texts).pieces(PIECE_ROWS)

    def answer(runs: Runs) -> pa.Table:
        return _answer(runs, reader, predictor, request)

    # A thread has a piece of its own: threads of matrix products would only wait for one another.
    with open_sink() as sink, threadpool_limits(limits=1, user_api="blas"):
        for runs, table in _in_turn(answer, pieces(), request.jobs):
            sink.write(table)
            findings.add(runs, table)
            request.on_progress(len(runs.rows))
        _enforce(findings.warnings(), request)
    return findings


def row_reader(layout: Layout, predictor: Predictor, on_bad: OnBad, default_run: str) -> RowReader:
    """Return what reads the rows of a log as the predictor needs them."""
    return RowReader(
        layout=layout,
        on_bad=on_bad,
        with_params=not GEOMETRY_INPUTS.keys().isdisjoint(predictor.inputs),
        run_names=Names(),
        label_names=Names(),
        default_run=default_run,
    )


def _in_turn(answer: _Answer, pieces: Iterable[Runs], jobs: int) -> Iterator[tuple[Runs, pa.Table]]:
    """Yield each piece and its answer, in order, from ``jobs`` threads and with bounded memory."""
    if jobs == 1:
        yield from ((runs, answer(runs)) for runs in pieces)
        return
    ahead: deque[tuple[Runs, Future[pa.Table]]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for piece in pieces:
            ahead.append((piece, pool.submit(answer, piece)))
            while len(ahead) > _PIECES_AHEAD * jobs or (ahead and ahead[0][1].done()):
                runs, table = ahead.popleft()
                yield runs, table.result()
        for runs, table in ahead:
            yield runs, table.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _answer(runs: Runs, reader: RowReader, predictor: Predictor, request: Request) -> pa.Table:
    if runs.rows.params is not None:
        predictor.require_param_count(runs.rows.params.shape[1])
    return answers(
        runs,
        predictor,
        aim=request.aim,
        at=request.at,
        run_names=reader.run_names.texts,
        label_names=reader.label_names.texts,
    )


def require_horizon(layout: Layout, aim: Aim) -> None:
    """Raise UsageError if a plateau is asked for of runs whose horizon nobody says."""
    if aim.plateau is not None and aim.horizon is None and "horizon" not in layout.known:
        raise UsageError(
            "--plateau: a plateau is that of the curve up to its horizon, which the log does not "
            "say; pass --horizon EPOCHS, or add a column horizon"
        )


def _enforce(tolerated: Sequence[str], request: Request) -> None:
    if request.strict and tolerated:
        raise DataError(f"{'; '.join(tolerated)}; mend the log or leave out --strict")
