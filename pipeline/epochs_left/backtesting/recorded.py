"""A log of finished runs as arrays, with what is asked of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import FloatArray, IntArray, ranges
from epochs_left.backtesting.attributes import CellPath, Collector, cell_path
from epochs_left.errors import DataError, UsageError
from epochs_left.prediction.batch import about_columns, row_reader
from epochs_left.prediction.layout import ColumnChoice, Layout, OnBad, resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import Rows
from epochs_left.prediction.runs import Runs, all_rows, in_order, n_out_of_order
from epochs_left.storage.logs import Log


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a log of finished runs is asked for.

    Parameters
    ----------
    columns
        Columns that the user named.
    rises
        Whether the metric rises; it is then worked on as ``ceiling - metric``.
    ceiling
        The largest value that a rising metric can have.
    target, plateau
        A value of the metric to be reached, or the share that a plateau begins at; None for what
        is not asked, and both where ``target_column`` says it run by run.
    horizon
        Epochs that the runs are meant to last; None where ``horizon_column`` says it, or nobody.
    target_column, horizon_column, task_column
        Where the log says it run by run; of a plain column or a key of its JSON.
    lineage_columns
        Runs that are equal in all of them, and in their task, are one lineage; without any, every
        run is one by itself.
    lineage_without
        Keys of the JSON in those columns that make no difference, such as the budget.
    """

    columns: ColumnChoice
    rises: bool = False
    ceiling: float = 1.0
    target: float | None = None
    plateau: float | None = None
    horizon: float | None = None
    target_column: str | None = None
    horizon_column: str | None = None
    task_column: str | None = None
    lineage_columns: tuple[str, ...] = ()
    lineage_without: tuple[str, ...] = ()
    on_bad: OnBad = OnBad.ERROR

    def __post_init__(self) -> None:
        asked = (self.target, self.target_column, self.plateau)
        if sum(each is not None for each in asked) != 1:
            raise UsageError(
                "expected one of --target X, --target-column COLUMN and --plateau P; pass one"
            )
        if self.horizon is not None and self.horizon_column is not None:
            raise UsageError("--horizon and --horizon-column exclude each other; pass one of them")
        if self.lineage_without and not self.lineage_columns:
            raise UsageError("--lineage-without needs --lineage-column; pass it too")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """R whole runs, in the order in which they first appear, and what is asked of each.

    Attributes
    ----------
    runs
        Their rows; the loss falls.
    names, label_names, task_names
        Names of the runs, R of them; of labels and of tasks by their codes.
    task, lineage
        Codes by run, in the order of the names, shape ``(R,)``.
    target
        Loss to be reached, shape ``(R,)``; NaN where a plateau is asked for.
    plateau
        Share that the plateau begins at; None where a loss is asked for.
    horizon
        Epochs that each run was meant to last, shape ``(R,)``; NaN where nobody says.
    """

    runs: Runs
    names: Sequence[str]
    label_names: Sequence[str]
    task: IntArray
    task_names: Sequence[str]
    lineage: IntArray
    target: FloatArray
    plateau: float | None
    horizon: FloatArray

    @property
    def n_runs(self) -> int:
        """Number of runs R."""
        return int(self.runs.lengths.size)

    @property
    def by_name(self) -> IntArray:
        """Positions of the runs in the order of their names, shape ``(R,)``.

        It stays what it is where the rows of the log are sorted otherwise.
        """
        return np.argsort(np.array(self.names), kind="stable")


def runs_at(runs: Runs, index: IntArray) -> Runs:
    """Return the runs at the positions ``index``, in their order, n of them."""
    lengths = runs.lengths[index]
    rows = runs.rows.take(ranges(runs.starts[index], lengths))
    return Runs(rows=rows, starts=np.cumsum(lengths) - lengths, lengths=lengths)


def read_recorded(
    log: Log, predictor: Predictor, question: Question, default_run: str
) -> tuple[Recorded | None, list[str]]:
    """Read a whole log; None for one without rows. Also return what was tolerated in it.

    Parameters
    ----------
    predictor
        Says which inputs are worth reading.
    default_run
        Name of the one run of a log without a column for it.

    Raises
    ------
    DataError
        If the log cannot be used as it is.
    """
    layout = resolve(log.columns, question.columns)
    paths = _paths(question, log.columns)
    collector = Collector(path for each in paths.values() for path in each)
    layout = replace(
        layout, ignored=tuple(name for name in layout.ignored if name not in collector.columns)
    )
    tolerated = about_columns(layout, default_run)
    reader = row_reader(layout, predictor, question.on_bad, default_run)
    wanted = dict.fromkeys((*layout.columns(with_params=reader.with_params), *collector.columns))
    batches = collector.passing(log.batches(list(wanted)))
    rows = next(all_rows(reader.read(batches)), None)
    if rows is None or not len(rows):
        return None, [*tolerated, "no rows: nothing to replay"]
    if n_reordered := n_out_of_order(rows):
        tolerated.append(f"{n_reordered:,} runs had their epochs out of order; sorted them")
    if n_missing := int((~rows.measured).sum()):
        tolerated.append(f"{n_missing:,} rows without the metric: no evaluation at those epochs")
    if rows.params is not None:
        predictor.require_param_count(rows.params.shape[1])
    runs = in_order(_falling(rows, layout, question), reader.run_names.texts)
    names = [reader.run_names.texts[code] for code in runs.rows.run[runs.starts]]
    found = _recorded(runs, names, reader.label_names.texts, collector, paths, question)
    return found, tolerated


def _paths(question: Question, columns: Sequence[str]) -> Mapping[str, list[CellPath]]:
    """Return the cells that each option names."""
    named = {
        "--target-column": [question.target_column],
        "--horizon-column": [question.horizon_column],
        "--task-column": [question.task_column],
        "--lineage-column": question.lineage_columns,
        "--lineage-without": question.lineage_without,
    }
    paths = {
        option: [cell_path(text, columns, option) for text in texts if text is not None]
        for option, texts in named.items()
    }
    lineage = {path.column for path in paths["--lineage-column"]}
    for path in paths["--lineage-without"]:
        if path.column not in lineage or not path.keys:
            raise UsageError(
                f"--lineage-without {path}: expected a key of the JSON in a --lineage-column; "
                "write it COLUMN.KEY, or leave the column out of --lineage-column"
            )
    return paths


def _falling(rows: Rows, layout: Layout, question: Question) -> Rows:
    """Turn a metric that rises into one that falls."""
    if not question.rises:
        return rows
    above = np.flatnonzero(rows.loss > question.ceiling)
    if above.size:
        row = int(rows.row[above[0]])
        raise DataError(
            f"column {layout.metric!r}, data row {row}: expected at most the ceiling "
            f"{question.ceiling:g}, got {rows.loss[above[0]]:g}; pass --ceiling with the largest "
            "value that the metric can have, such as 100 for a percentage",
            column=layout.metric,
            row=row,
        )
    return replace(rows, loss=question.ceiling - rows.loss)


def _recorded(
    runs: Runs,
    names: Sequence[str],
    label_names: Sequence[str],
    collector: Collector,
    paths: Mapping[str, list[CellPath]],
    question: Question,
) -> Recorded:
    without = paths["--lineage-without"]

    def numbers(option: str, usual: float | None) -> FloatArray:
        for path in paths[option]:
            return collector.of_runs(path, runs, names).numbers()
        return np.full(len(names), np.nan if usual is None else usual)

    def labels(option: str) -> list[tuple[str, ...]]:
        found = [
            collector.of_runs(path, runs, names, without=without).labels() for path in paths[option]
        ]
        return list(zip(*found, strict=True)) if found else [()] * len(names)

    tasks = labels("--task-column")
    of_lineage = labels("--lineage-column") if paths["--lineage-column"] else [(n,) for n in names]
    task, task_names = _codes([" / ".join(each) for each in tasks])
    lineage, _ = _codes([repr(pair) for pair in zip(tasks, of_lineage, strict=True)])
    return Recorded(
        runs=runs,
        names=names,
        label_names=label_names,
        task=task,
        task_names=task_names,
        lineage=lineage,
        target=_fallen(numbers("--target-column", question.target), names, question),
        plateau=question.plateau,
        horizon=_horizon(numbers("--horizon-column", None), question.horizon, runs),
    )


def _codes(texts: Sequence[str]) -> tuple[IntArray, list[str]]:
    """Return texts as codes in their order, which is no matter of the order of the runs."""
    distinct = sorted(set(texts))
    code = {text: i for i, text in enumerate(distinct)}
    return np.array([code[text] for text in texts], dtype=np.int64), distinct


def _fallen(target: FloatArray, names: Sequence[str], question: Question) -> FloatArray:
    """Return targets of a metric that falls."""
    if not question.rises:
        return target
    fallen: FloatArray = question.ceiling - target
    if (beyond := np.flatnonzero(fallen <= 0)).size:
        run = int(beyond[0])
        raise DataError(
            f"run {names[run]!r}: expected a target below the ceiling {question.ceiling:g}, got "
            f"{target[run]:g}; correct it or pass --ceiling"
        )
    return fallen


def _horizon(of_column: FloatArray, of_all: float | None, runs: Runs) -> FloatArray:
    """Return the planned epochs: of the named column, of the log's own setting, or of all runs."""
    stated = runs.rows.numbers.get("horizon", np.full(len(runs.rows), np.nan))[runs.starts]
    known = np.where(np.isnan(of_column), stated, of_column)
    return np.where(np.isnan(known), np.nan if of_all is None else of_all, known)
