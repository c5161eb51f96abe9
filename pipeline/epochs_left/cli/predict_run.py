"""What `predict` does: check, load, answer, report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from epochs_left.cli.aim_choice import about_model, aim_for
from epochs_left.cli.bundle_choice import bundle_folder
from epochs_left.cli.messages import Messages, is_terminal
from epochs_left.errors import UsageError
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import ANSWER_SCHEMA
from epochs_left.prediction.batch import Findings, Request, predict_log
from epochs_left.prediction.histories import At
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.formats import PIPE, TableFormat
from epochs_left.storage.logs import errors_name, open_log
from epochs_left.storage.outputs import check_output, format_of_output, open_output


@dataclass(frozen=True, kw_only=True)
class PredictTask:
    """The options of `predict`, checked."""

    source: str
    output: str
    table_format: TableFormat | None
    model: str | None
    target: float | None
    plateau: float | None
    horizon: int | None
    at: At
    level: float
    on_bad: OnBad
    columns: ColumnChoice
    strict: bool
    force: bool
    jobs: int
    messages: Messages


def run(task: PredictTask) -> None:
    """Carry out a task.

    Raises
    ------
    EpochsLeftError
        If it cannot be done; nothing has been written then.
    """
    check_output(task.output, task.source, force=task.force)
    table_format = format_of_output(task.output, task.table_format)
    if _shown_on_terminal(task) and table_format is TableFormat.PARQUET:
        raise UsageError("Parquet is no text for a terminal; pass -o FILE, or -t csv")
    pa.set_cpu_count(task.jobs)
    bundle = load_bundle(bundle_folder(task.model))
    predictor = predictor_of(bundle, level=task.level, jobs=1)
    aim = aim_for(predictor, task.target, task.plateau, task.horizon)
    task.messages.warn_all(about_model(predictor, aim, task.level), strict=task.strict)
    findings = _answer(task, predictor, aim, table_format)
    _report(task, findings)


def _shown_on_terminal(task: PredictTask) -> bool:
    return task.output == PIPE and is_terminal(sys.stdout)


def _answer(
    task: PredictTask, predictor: Predictor, aim: Aim, table_format: TableFormat
) -> Findings:
    is_pipe = task.source == PIPE
    stdin, stdout = (getattr(stream, "buffer", None) for stream in (sys.stdin, sys.stdout))
    with (
        errors_name("stdin" if is_pipe else task.source),
        open_log(task.source, stdin) as log,
        task.messages.progress_bar(log.n_rows, wanted=not _shown_on_terminal(task)) as advance,
    ):
        for text in log.notes:
            task.messages.note(text)
        request = Request(
            columns=task.columns,
            aim=aim,
            at=task.at,
            on_bad=task.on_bad,
            strict=task.strict,
            default_run="stdin" if is_pipe else Path(task.source).stem,
            jobs=task.jobs,
            on_progress=advance,
        )
        return predict_log(
            log,
            predictor,
            request,
            lambda: open_output(task.output, stdout, table_format, ANSWER_SCHEMA),
        )


def _report(task: PredictTask, findings: Findings) -> None:
    task.messages.warn_all(findings.warnings(), strict=False)
    statuses = ", ".join(f"{count:,} {status}" for status, count in findings.statuses.most_common())
    task.messages.note(f"{findings.n_runs:,} runs, {findings.n_rows:,} rows: {statuses or 'none'}")
