"""What `predict` does: check, load, answer, report."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pyarrow as pa

from epochs_left.cli.aim_choice import Question
from epochs_left.cli.messages import TerminalText, is_terminal
from epochs_left.errors import UsageError
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import ANSWER_SCHEMA
from epochs_left.prediction.batch import Findings, Request, predict_log
from epochs_left.prediction.predictor import Predictor
from epochs_left.storage.formats import PIPE, TableFormat
from epochs_left.storage.logs import errors_name, open_log
from epochs_left.storage.outputs import check_output, format_of_output, open_output


@dataclass(frozen=True, kw_only=True)
class PredictTask(Question):
    """The options of `predict`, checked."""

    output: str
    table_format: TableFormat | None
    force: bool
    jobs: int


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
    _, predictor, aim = task.loaded()
    findings = _answer(task, predictor, aim, table_format)
    _report(task, findings)


def _shown_on_terminal(task: PredictTask) -> bool:
    return task.output == PIPE and is_terminal(sys.stdout)


def _answer(
    task: PredictTask, predictor: Predictor, aim: Aim, table_format: TableFormat
) -> Findings:
    stdin, stdout = (getattr(stream, "buffer", None) for stream in (sys.stdin, sys.stdout))
    if stdout is not None and _shown_on_terminal(task):
        stdout = TerminalText(stdout)
    with (
        errors_name(task.name),
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
            default_run=task.default_run,
            jobs=task.jobs,
            on_progress=advance,
        )
        findings = predict_log(
            log,
            predictor,
            request,
            lambda: open_output(task.output, stdout, table_format, ANSWER_SCHEMA),
        )
        task.messages.about_log(log)
        return findings


def _report(task: PredictTask, findings: Findings) -> None:
    task.messages.warn_all(findings.warnings(), strict=False)
    statuses = ", ".join(f"{count:,} {status}" for status, count in findings.statuses.most_common())
    task.messages.note(f"{findings.n_runs:,} runs, {findings.n_rows:,} rows: {statuses or 'none'}")
