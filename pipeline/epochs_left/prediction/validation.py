"""What `predict` would say to a log, row by row: every problem, not only the first.

The checks are those of `predict` itself: `rows.RowReader`, `runs.in_order` and the rest. A cell or
row that one of them refuses is noted and taken out, and the check is made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import IntArray
from epochs_left.errors import DataError, EpochsLeftError, IntegrityError
from epochs_left.prediction.batch import Findings, about_columns, row_reader
from epochs_left.prediction.histories import MIN_HISTORY
from epochs_left.prediction.layout import (
    LABELS,
    MEASURES,
    PARAMS,
    SETTINGS,
    ColumnChoice,
    Layout,
    OnBad,
    resolve,
)
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import Rows
from epochs_left.prediction.runs import (
    InterleavedRunsError,
    Runs,
    all_rows,
    in_order,
    n_out_of_order,
    whole_runs,
)
from epochs_left.storage.logs import Log
from epochs_left.trajectories import FORECAST_INPUTS, GEOMETRY_INPUTS, LOSS_INPUTS

_PARTS = re.compile(
    r"(?:^|: )expected (?P<expected>.*?), (?:got|found) (?P<got>.*); (?P<remedy>.*)"
)
_PLAN = ("lr", "horizon", "lr_schedule")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing for which `predict` refuses a log.

    Parameters
    ----------
    message
        The whole of it, as `predict` says it.
    column, row
        Where, with rows counted from 1; None where it is not in a column or a row.
    expected, got, remedy
        Parts of the message; None where it has no such parts.
    exit_code
        What `predict` exits with.
    """

    message: str
    column: str | None
    row: int | None
    expected: str | None
    got: str | None
    remedy: str | None
    exit_code: int

    @classmethod
    def of(cls, error: EpochsLeftError, row: int | None = None) -> Problem:
        """Return the problem of an error, in this row of the log."""
        message, old = str(error), getattr(error, "row", None)
        if row is not None and old is not None:
            message = message.replace(f"data row {old}:", f"data row {row}:", 1)
        found = _PARTS.search(message)
        parts = found.groupdict() if found else dict.fromkeys(("expected", "got", "remedy"))
        column = getattr(error, "column", None)
        code = error.exit_code
        return cls(message=message, column=column, row=row or old, exit_code=code, **parts)


class _EnoughError(Exception):
    """As many problems were found as were asked for."""


@dataclass
class Validation:
    """What a log holds, and what is wrong with it.

    Parameters
    ----------
    reader
        What it was read as; empty where it could not be opened.
    parts
        The part that each column plays, by its name.
    findings
        Counts of rows and runs without a problem, and what was tolerated.
    first_epoch, last_epoch
        Range of the epochs; None without rows.
    missing
        Sentences on what the log does not say, and what that costs.
    problems, complete
        What `predict` refuses, and whether that is all of it.
    notes
        What the reader did.
    """

    reader: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    findings: Findings = field(default_factory=lambda: Findings([]))
    first_epoch: int | None = None
    last_epoch: int | None = None
    n_short: int = 0
    missing: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What `predict` tolerates."""
        if self.problems and not self.findings.n_rows:
            return []
        found = self.findings.warnings()
        if self.n_short:
            found.append(
                f"{self.n_short:,} runs have fewer than {MIN_HISTORY} epochs with a loss: no "
                "prediction (insufficient_history)"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "accepted": not self.problems,
            "reader": self.reader,
            "columns": self.parts,
            "runs": self.findings.n_runs,
            "rows": self.findings.n_rows,
            "first_epoch": self.first_epoch,
            "last_epoch": self.last_epoch,
            "missing": self.missing,
            "problems": [asdict(problem) for problem in self.problems],
            "all_problems_shown": self.complete,
            "warnings": self.warnings,
            "notes": list(self.notes),
        }

    def count(self, runs: Runs) -> None:
        """Count whole runs without a problem."""
        rows = runs.rows
        self.findings.n_rows += len(rows)
        self.findings.n_runs += runs.lengths.size
        self.findings.n_missing += int((~rows.measured).sum())
        if len(rows):
            low, high = int(rows.epoch.min()), int(rows.epoch.max())
            self.first_epoch = low if self.first_epoch is None else min(low, self.first_epoch)
            self.last_epoch = high if self.last_epoch is None else max(high, self.last_epoch)
            evaluations = np.add.reduceat(rows.measured, runs.starts, dtype=np.int64)
            self.n_short += int((evaluations < MIN_HISTORY).sum())


@dataclass(frozen=True, kw_only=True)
class Checks:
    """How a log is checked.

    Parameters
    ----------
    columns, on_bad, strict, default_run
        As in `batch.Request`.
    max_problems
        Problems to look for.
    """

    columns: ColumnChoice
    on_bad: OnBad
    strict: bool
    default_run: str
    max_problems: int


def validate_log(log: Log, predictor: Predictor, checks: Checks) -> Validation:
    """Return what `predict` would say to a log; its problems are empty if it would answer."""
    found = Validation(reader=log.reader, notes=log.notes)
    try:
        layout = resolve(log.columns, checks.columns)
    except DataError as error:
        found.parts = dict.fromkeys(log.columns, "unknown")
        found.problems.append(Problem.of(error))
        return found
    for gather in (whole_runs, all_rows):
        found = Validation(reader=log.reader, notes=log.notes, parts=_parts(layout))
        found.missing = missing(layout, predictor)
        try:
            _Check(log, predictor, layout, checks, found).run(gather)
            found.notes = (*log.notes, *([log.merged] if log.merged else []))
            break
        except InterleavedRunsError:
            continue
    return found


class _Check:
    """One pass over a log; what it finds goes into a `Validation`."""

    def __init__(
        self, log: Log, predictor: Predictor, layout: Layout, checks: Checks, found: Validation
    ) -> None:
        self._log, self._predictor, self._layout = log, predictor, layout
        self._checks, self._found = checks, found
        self._reader = row_reader(layout, predictor, checks.on_bad, checks.default_run)
        optional = map(layout.written, layout.known)
        self._blankable = {layout.metric, *optional}  # columns whose cells may be missing

    def run(self, gather: Callable[[Iterable[Rows]], Iterator[Rows]]) -> None:
        """Check everything; InterleavedRunsError if ``gather`` cannot do with the order of rows."""
        findings, checks = self._found.findings, self._checks
        about = about_columns(self._layout, checks.default_run)
        findings.about_columns.extend(about)
        try:
            self._tolerate(about)
            for rows in gather(self._good_rows()):
                findings.n_reordered += n_out_of_order(rows)
                self._check_runs(rows)
            self._tolerate([text for text in findings.warnings() if text not in about])
        except _EnoughError:
            self._found.complete = False
        except (DataError, IntegrityError) as error:  # nothing can be read after it
            self._found.complete = False
            self._found.problems.append(Problem.of(error))

    def _tolerate(self, texts: Sequence[str]) -> None:
        if self._checks.strict and texts:
            self._note(DataError(f"{'; '.join(texts)}; mend the log or leave out --strict"))

    def _note(self, error: EpochsLeftError, row: int | None = None) -> None:
        problem = Problem.of(error, row)
        if problem in self._found.problems:
            return
        if len(self._found.problems) >= self._checks.max_problems:
            raise _EnoughError
        self._found.problems.append(problem)

    def _good_rows(self) -> Iterator[Rows]:
        """Yield the rows of each batch that nothing refuses, by their numbers in the log."""
        first_row = 0
        unread: list[int] = []

        def on_bad_row(error: DataError) -> None:
            unread.extend([] if error.row is None else [error.row])
            self._note(error)

        wanted = self._layout.columns(with_params=self._reader.with_params)
        for batch in self._log.batches(wanted, on_bad_row):
            numbers = np.arange(first_row + 1, first_row + 1 + batch.num_rows)
            first_row += batch.num_rows
            keep = np.flatnonzero(~np.isin(numbers, unread))
            yield self._mended(batch.take(keep) if unread else batch, numbers[keep])
            unread.clear()

    def _mended(self, batch: pa.Table, numbers: IntArray) -> Rows:
        """Return the rows of a batch once every cell that is refused has been taken out."""
        while True:
            try:
                (rows,) = self._reader.read([batch])
                return replace(rows, row=numbers)
            except DataError as error:
                if error.row is None:
                    batch = self._without_column(batch, error)
                    continue
                index = error.row - 1
                self._note(error, int(numbers[index]))
                if error.column in self._blankable:
                    batch = _blanked(batch, error.column, index)
                else:
                    keep = np.delete(np.arange(batch.num_rows), index)
                    batch, numbers = batch.take(keep), numbers[keep]

    def _without_column(self, batch: pa.Table, error: DataError) -> pa.Table:
        """Return the batch without a column of a wrong type; without a needed one, stop."""
        self._note(error)
        if error.column not in self._blankable or error.column not in batch.column_names:
            raise _EnoughError
        return batch.drop_columns([error.column])

    def _check_runs(self, rows: Rows) -> None:
        """Check whole runs; of an epoch that comes twice the second row is taken out."""
        while True:
            try:
                runs = in_order(rows, self._reader.run_names.texts)
                break
            except DataError as error:
                self._note(error)
                if error.row is None:
                    return
                rows = rows.take(rows.row != error.row)
        if runs.rows.params is not None:
            try:
                self._predictor.require_param_count(runs.rows.params.shape[1])
            except DataError as error:
                self._note(error)
        self._found.count(runs)


def _blanked(batch: pa.Table, column: str, index: int) -> pa.Table:
    """Return the batch with one cell missing."""
    rows = np.arange(batch.num_rows)
    blank = batch[column].take(pa.array(rows, mask=rows == index))
    return batch.set_column(batch.column_names.index(column), column, blank)


def _parts(layout: Layout) -> dict[str, str]:
    """Return the part that each column plays."""
    run = {} if layout.run is None else {layout.run: "run"}
    known = {layout.written(name): name for name in layout.known}
    return {
        **run,
        layout.time: "epoch",
        layout.metric: "loss",
        **known,
        **dict.fromkeys(layout.params, "params"),
        **dict.fromkeys(layout.ignored, "ignored"),
    }


def missing(layout: Layout, predictor: Predictor) -> list[str]:
    """Return sentences on the inputs that a bundle asks for and a log does not have."""
    manifest = predictor.manifest
    if manifest.of_plateaus:
        return _missing_rates(layout)
    names = _missing_columns(layout, predictor.inputs)
    found = []
    if names:
        found.append(
            f"without {', '.join(names)} the predictor answers from the loss alone, with wider "
            "intervals"
        )
    unnamed = [kind for kind in manifest.must_state if kind not in layout.known]
    if unnamed:
        found.append(
            f"without {', '.join(unnamed)} every run counts as unlike the training data of "
            f"{manifest.bundle_id} (out_of_distribution), with wider intervals"
        )
    return found


def _missing_rates(layout: Layout) -> list[str]:
    """Return a sentence on the learning rates that a log does not tell."""
    if "lr_schedule" in layout.known:
        return []
    if "lr" in layout.known and "lr" not in layout.stated:
        return [
            "without lr_schedule the predictor answers from the loss and the learning rates so far "
            "(column lr): those to come are not known"
        ]
    return [
        "without lr (a column with the learning rate of each epoch) or lr_schedule the predictor "
        "answers from the loss alone, with wider intervals"
    ]


def _missing_columns(layout: Layout, inputs: Iterable[str]) -> list[str]:
    """Return the columns of missing inputs, each once, in order of the inputs' names."""
    from_params = {*GEOMETRY_INPUTS, *FORECAST_INPUTS}
    columns: dict[str, None] = {}
    for name in sorted(set(inputs) - LOSS_INPUTS):
        if name in from_params and not layout.params:
            columns[PARAMS] = None
        elif name == "planned_lr":
            columns |= dict.fromkeys(column for column in _PLAN if column not in layout.known)
        elif name in {*MEASURES, *SETTINGS, *LABELS} and name not in layout.known:
            columns[name] = None
    return list(columns)
