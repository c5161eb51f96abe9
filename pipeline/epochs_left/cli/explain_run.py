"""What `explain` does: load, find the run, explain, show."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from epochs_left.cli.aim_choice import Question
from epochs_left.cli.messages import one_line, write_stdout
from epochs_left.errors import DataError, UsageError, did_you_mean
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.batch import require_horizon
from epochs_left.prediction.cells import Names
from epochs_left.prediction.explanations import Contribution, Explanation, explain
from epochs_left.prediction.layout import resolve
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import RowReader, Rows
from epochs_left.prediction.runs import Runs, all_rows, in_order
from epochs_left.storage.logs import Log, errors_name, open_log
from epochs_left.trajectories import GEOMETRY_INPUTS

#: What a scale measures.
_SCALES = {
    "log": "log(R + 1)",
    "log_ratio": "log((R + 1) / (t + 1))",
    "epochs": "R",
    "share_ahead": "log odds of R among the epochs until the horizon",
}
#: Share of all contributions from which on a feature has a line of its own.
_SHOWN_SHARE = 0.01
_SHOWN_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class ExplainTask(Question):
    """The options of `explain`, checked."""

    run_id: str | None
    as_json: bool


def run(task: ExplainTask) -> None:
    """Carry out a task.

    Raises
    ------
    EpochsLeftError
        If it cannot be done.
    """
    pa.set_cpu_count(1)
    bundle, predictor, aim = task.loaded()
    stdin = getattr(sys.stdin, "buffer", None)
    with (
        errors_name(task.name),
        open_log(task.source, stdin) as log,
    ):
        for text in log.notes:
            task.messages.note(text)
        runs, reader = _one_run(log, task, predictor, aim)
        task.messages.about_log(log)
        found = explain(
            runs,
            bundle,
            predictor,
            aim=aim,
            at=task.at,
            run_names=reader.run_names.texts,
            label_names=reader.label_names.texts,
        )
    write_stdout(
        json.dumps(_as_dict(found, aim), indent=2) + "\n" if task.as_json else _text(found)
    )


def _one_run(log: Log, task: ExplainTask, predictor: Predictor, aim: Aim) -> tuple[Runs, RowReader]:
    """Return the run that is asked for."""
    layout = resolve(log.columns, task.columns)
    require_horizon(layout, aim)
    reader = RowReader(
        layout=layout,
        on_bad=task.on_bad,
        with_params=not GEOMETRY_INPUTS.keys().isdisjoint(predictor.inputs),
        run_names=Names(),
        label_names=Names(),
        default_run=task.default_run,
    )
    batches = log.batches(layout.columns(with_params=reader.with_params))
    rows = next(all_rows(_rows_of(reader, batches, task.run_id)), None)
    names = reader.run_names.texts
    if rows is None or not len(rows):
        wanted = "" if task.run_id is None else f" of run {task.run_id!r}"
        raise DataError(f"no rows{wanted}{did_you_mean(task.run_id or '', names)}")
    return in_order(rows, names), reader


def _rows_of(reader: RowReader, batches: Iterator[pa.Table], run_id: str | None) -> Iterator[Rows]:
    """Yield the rows of a run, or of the only one."""
    for rows in reader.read(batches):
        names = reader.run_names.texts
        if run_id is None and len(names) > 1:
            raise UsageError(
                f"the log has several runs, {', '.join(map(repr, names[:_SHOWN_RUNS]))}, ...; "
                "name one with --run"
            )
        yield rows if run_id is None else rows.take(rows.run == _code(run_id, names))


def _code(run_id: str, names: list[str]) -> int:
    return names.index(run_id) if run_id in names else -1


def _as_dict(found: Explanation, aim: Aim) -> dict[str, Any]:
    """Return an explanation for a program; what is not known is null."""
    return {
        "answer": dict(found.answer),
        "target": aim.target,
        "plateau": aim.plateau,
        "scale": _SCALES[found.scale],
        "value": found.value,
        "base": found.base,
        "left_over": found.left_over,
        "from_loss_alone": found.loss_alone,
        "groups": [
            {
                "group": name,
                "title": found.titles[name],
                "contribution": total,
                "factor": found.factor(total),
                "features": [_feature_dict(found, item) for item in members],
            }
            for name, total, members in found.by_group()
        ],
        "missing": dict(found.missing),
    }


def _feature_dict(found: Explanation, item: Contribution) -> dict[str, Any]:
    return {
        "feature": item.feature,
        "value": _number(item.value),
        "low": _number(item.low),
        "high": _number(item.high),
        "outside": item.outside,
        "contribution": item.contribution,
        "factor": found.factor(item.contribution),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(found: Explanation) -> str:
    """Return an explanation for people."""
    lines = [*_headline(found)]
    if found.value is not None:
        lines += ["", *_sum_lines(found), "", *_group_lines(found)]
    if found.missing:
        lines += ["", "The log does not say, and the model would use:"]
        lines += [f"  {name}: {meaning}" for name, meaning in found.missing.items()]
    return "".join(f"{line}\n" for line in lines)


def _headline(found: Explanation) -> Iterator[str]:
    answer = found.answer
    where = f"Run {one_line(str(answer['run_id']))} at epoch {answer['epoch']}"
    left = answer["epochs_remaining"]
    if left is None:
        yield f"{where}: no prediction"
    else:
        upper = "no end" if answer["upper"] is None else f"{answer['upper']:.4g}"
        yield f"{where}: {left:.4g} epochs left, from {answer['lower']:.4g} to {upper}"
    if answer["p_converges"] is not None:
        yield f"Gets there with p = {answer['p_converges']:.2f}"
    reason = f": {answer['reason']}" if answer["reason"] else ""
    yield f"{answer['status']}{one_line(reason)} ({one_line(answer['model_id'])})"


def _sum_lines(found: Explanation) -> Iterator[str]:
    assert found.value is not None
    total = found.value - found.base - found.left_over
    yield f"On the scale {_SCALES[found.scale]}, R epochs left and t epochs elapsed:"
    yield f"  {found.value:+.3f} predicted = {found.base:+.3f} of a typical row {total:+.3f} below"
    if abs(found.left_over) > 5e-4:
        yield f"  {found.left_over:+.3f} of several features at once"


def _group_lines(found: Explanation) -> Iterator[str]:
    """Yield what is large, and the rest of each sum: both groups and features add up."""
    least = _SHOWN_SHARE * sum(abs(item.contribution) for item in found.contributions)
    others: list[Contribution] = []
    for name, total, members in found.by_group():
        shown = [item for item in members if abs(item.contribution) >= least and item.contribution]
        if not shown:
            others += members
            continue
        yield f"{_size(found, total)}  {found.titles[name]}"
        yield from map(partial(_feature_line, found), shown)
        yield from _rest(found, [item for item in members if item not in shown], indent=4)
    yield from _rest(found, others, indent=2)


def _rest(found: Explanation, items: Sequence[Contribution], *, indent: int) -> Iterator[str]:
    """Yield one line for all features that have none, if any of them contributes."""
    if any(item.contribution for item in items):
        total = sum(item.contribution for item in items)
        yield f"{_size(found, total)}{' ' * indent}all others"


def _feature_line(found: Explanation, item: Contribution) -> str:
    value = "unknown" if math.isnan(item.value) else f"{item.value:.4g}"
    outside = " OUTSIDE" if item.outside else ""
    known = f"{outside} the training range {item.low:.4g} to {item.high:.4g}"
    inside = known if outside or math.isnan(item.low) else f"  ({item.low:.4g} to {item.high:.4g})"
    return f"{_size(found, item.contribution)}    {item.feature} {value}{inside}"


def _size(found: Explanation, contribution: float) -> str:
    factor = found.factor(contribution)
    return f"{contribution:+8.3f}" + ("" if factor is None else f"  x{factor:<6.3g}")
