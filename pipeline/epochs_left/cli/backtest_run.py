"""What `backtest` does: check, read, replay, score, write, show."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import FORECASTERS, Known
from epochs_left.backtesting.policies import parsed_policies
from epochs_left.backtesting.policy_results import check_policies, policy_entries
from epochs_left.backtesting.predictions import PREDICTION_SCHEMA, prediction_tables
from epochs_left.backtesting.recorded import Question, Recorded, read_recorded
from epochs_left.backtesting.replay import Replay, budget_horizon, replay
from epochs_left.backtesting.scores import Bootstrap
from epochs_left.backtesting.summary import comparison_entries, run_counts, score_entries
from epochs_left.backtesting.truth import truth
from epochs_left.cli.aim_choice import about_model, aim_for
from epochs_left.cli.backtest_table import show
from epochs_left.cli.messages import Messages, write_stdout
from epochs_left.errors import DataError, UsageError
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.bundle_choice import bundle_folder, goal_of
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.formats import PIPE
from epochs_left.storage.logs import errors_name, open_log
from epochs_left.storage.outputs import check_output, format_of_output, open_output

Results = dict[str, Any]
#: Of the JSON.
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BacktestTask:
    """The options of `backtest`, checked."""

    source: str
    question: Question
    of_task_median: bool
    budgets: tuple[float, ...]
    model: str | None
    level: float
    output: str | None
    predictions: str | None
    policies: tuple[str, ...]
    strict: bool
    force: bool
    jobs: int
    messages: Messages


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a backtest found: its JSON, its predictions, and what deserves a warning."""

    results: Results
    predictions: Sequence[pa.Table]
    warnings: Sequence[str]


def run(task: BacktestTask) -> None:
    """Carry out a task.

    Raises
    ------
    EpochsLeftError
        If it cannot be done; nothing has been written then.
    """
    _check(task)
    pa.set_cpu_count(task.jobs)
    bundle = load_bundle(bundle_folder(task.model, goal_of(task.question.plateau)))
    # A row a run and budget: more threads would only wait for one another.
    predictor = predictor_of(bundle, level=task.level, jobs=1)
    about = _check_model(task, predictor)
    recorded, tolerated = _read(task, predictor)
    with threadpool_limits(limits=1, user_api="blas"):
        found = _nothing(task) if recorded is None else _replayed(task, predictor, recorded)
    found.results.update(model=predictor.manifest.bundle_id)
    task.messages.warn_all([*about, *tolerated, *found.warnings], strict=False)
    _publish(task, found)


def _check(task: BacktestTask) -> None:
    """Check the options that no log is needed for."""
    outputs = [path for path in (task.output, task.predictions) if path is not None]
    if len(outputs) == 2 and (outputs[0] == outputs[1] or _same(*outputs)):
        raise UsageError(f"-o and --predictions both name {outputs[0]}; name two outputs")
    for path in outputs:
        check_output(path, task.source, force=task.force)
    if task.predictions is not None:
        format_of_output(task.predictions, None)
    for text in task.policies:
        parsed_policies(text)
    question = task.question
    if task.of_task_median and (question.plateau is not None or question.horizon_column):
        other = "--plateau" if question.plateau is not None else "--horizon-column"
        raise UsageError(
            f"--horizon task-median and {other} exclude each other; pass the planned epochs, "
            "--horizon N or --horizon-column COLUMN"
        )


def _same(first: str, second: str) -> bool:
    return PIPE not in {first, second} and Path(first).resolve() == Path(second).resolve()


def _check_model(task: BacktestTask, predictor: Predictor) -> list[str]:
    """Check that the bundle can answer what is asked, and return what makes its answers worse."""
    question, target = task.question, None
    if question.target is not None:
        target = question.ceiling - question.target if question.rises else question.target
    if target is not None or question.plateau is not None:
        aim = aim_for(predictor, target, question.plateau, None)
    else:  # every run has a target of its own: no bundle was trained for them all
        aim = aim_for(predictor, 1.0, None, None)
    check_policies(task.policies, predictor)
    about = about_model(predictor, aim, task.level)
    if task.strict:
        task.messages.warn_all(about, strict=True)
    return about


def _read(task: BacktestTask, predictor: Predictor) -> tuple[Recorded | None, list[str]]:
    """Read the log; also return what was tolerated in it."""
    is_pipe = task.source == PIPE
    with (
        errors_name("stdin" if is_pipe else task.source),
        open_log(task.source, getattr(sys.stdin, "buffer", None)) as log,
    ):
        for text in log.notes:
            task.messages.note(text)
        name = "stdin" if is_pipe else Path(task.source).stem
        recorded, tolerated = read_recorded(log, predictor, task.question, name)
        task.messages.about_log(log)
        if task.strict and tolerated:
            raise DataError(f"{'; '.join(tolerated)}; mend the log or leave out --strict")
    return recorded, tolerated


def _nothing(task: BacktestTask) -> Found:
    """Return what a log without rows gives."""
    empty = {"runs": {"n_runs": 0}, "scores": [], "comparisons": [], "policies": []}
    return Found(results=_described(task, None) | empty, predictions=[], warnings=[])


def _replayed(task: BacktestTask, predictor: Predictor, recorded: Recorded) -> Found:
    of_task_median = _of_task_median(task, recorded)
    became = truth(recorded)
    horizon, siblings = budget_horizon(recorded, became, of_task_median=of_task_median)
    _require_horizon(horizon)
    known = Known(predictor=predictor, siblings=siblings, level=task.level)
    forecasters = FORECASTERS.items()
    replays = [replay(recorded, horizon, budget, known, forecasters) for budget in task.budgets]
    bootstrap = Bootstrap()
    results: Results = {
        **_described(task, "task-median" if of_task_median else _horizon_text(task)),
        "runs": run_counts(recorded, became),
        "scores": score_entries(recorded, became, replays, bootstrap),
        "comparisons": comparison_entries(recorded, became, replays, bootstrap),
        "policies": policy_entries(
            recorded, became, horizon, replays, known, task.policies, bootstrap
        ),
    }
    tables = [table for each in replays for table in prediction_tables(recorded, became, each)]
    warnings = _warnings(results, horizon, replays)
    return Found(results=results, predictions=tables, warnings=warnings)


def _of_task_median(task: BacktestTask, recorded: Recorded) -> bool:
    """Return whether budgets are of the task's median: as asked for, or as nothing else is known.

    Raises
    ------
    UsageError
        If a plateau is asked for and no run says its horizon.
    """
    stated = bool(np.isfinite(recorded.horizon).any())
    if task.of_task_median or stated:
        return task.of_task_median
    if task.question.plateau is not None:
        raise UsageError(
            "--plateau: a plateau is that of the curve up to its horizon, which the log does not "
            "say; pass --horizon EPOCHS or --horizon-column COLUMN, or add a column horizon"
        )
    task.messages.note("no horizon: budgets are percents of the task's median time to the target")
    return True


def _require_horizon(horizon: FloatArray) -> None:
    if not np.isfinite(horizon).any():
        raise DataError(
            "task-median: no run has another lineage in its task that reached the target; pass "
            "--horizon EPOCHS or --horizon-column COLUMN, or another target"
        )


def _warnings(results: Results, horizon: FloatArray, replays: Sequence[Replay]) -> list[str]:
    """Return a sentence for the runs that nothing is said of, and why."""
    found, n_unfinished = [], results["runs"]["n_unfinished"]
    if n_unfinished:
        found.append(f"{n_unfinished:,} runs end before their horizon and are not scored")
    if n_without := int(np.isnan(horizon).sum()):
        found.append(f"{n_without:,} runs have no horizon to take budgets of; not predictable")
    for replayed in replays:
        short = int((np.isnan(replayed.cut) & ~np.isnan(horizon)).sum())
        if short:
            found.append(
                f"{short:,} runs have fewer than 2 rows at {replayed.budget:g} %; not predictable"
            )
    return found


def _horizon_text(task: BacktestTask) -> str:
    question = task.question
    if question.horizon_column is not None:
        return f"column {question.horizon_column}"
    return "column horizon" if question.horizon is None else f"{question.horizon:g}"


def _described(task: BacktestTask, horizon: str | None) -> Results:
    """Return what was asked, for the JSON."""
    question = task.question
    return {
        "schema_version": SCHEMA_VERSION,
        "log": "stdin" if task.source == PIPE else Path(task.source).name,
        "model": None,
        "metric": question.columns.metric or "loss",
        "mode": "max" if question.rises else "min",
        "target": question.target_column or question.target,
        "plateau": question.plateau,
        "horizon": horizon,
        "budgets": list(task.budgets),
        "level": task.level,
    }


def _publish(task: BacktestTask, found: Found) -> None:
    """Write what was asked for; the predictions appear once the scores are there."""
    text = json.dumps(found.results, indent=2, allow_nan=False) + "\n"
    if task.predictions is None:
        _publish_scores(task, found.results, text)
        return
    stdout = getattr(sys.stdout, "buffer", None)
    table_format = format_of_output(task.predictions, None)
    with open_output(task.predictions, stdout, table_format, PREDICTION_SCHEMA) as sink:
        for table in found.predictions:
            sink.write(table)
        _publish_scores(task, found.results, text)


def _publish_scores(task: BacktestTask, results: Results, text: str) -> None:
    """Write the scores, and show them unless stdout is taken by data."""
    if task.output == PIPE:
        write_stdout(text)
        return
    if task.output is not None:
        _write(Path(task.output), text.encode())
    if task.predictions != PIPE and not task.messages.quiet:
        show(results)


def _write(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():  # a device or a named pipe is never replaced
        path.write_bytes(data)
    else:
        write_bytes_atomically(path.resolve(), data)
