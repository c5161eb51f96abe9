"""What `validate` does: open, check, report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from epochs_left.cli.messages import Messages, one_line, write_stdout
from epochs_left.errors import DataError, EpochsLeftError, IntegrityError
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.prediction.validation import Checks, Problem, Validation, validate_log
from epochs_left.storage.bundle_choice import THRESHOLD, bundle_folder
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.formats import PIPE
from epochs_left.storage.logs import open_log

_LEVEL = 0.9  # plays no part: nothing is predicted


@dataclass(frozen=True, kw_only=True)
class ValidateTask:
    """The options of `validate`, checked."""

    source: str
    model: str | None
    on_bad: OnBad
    columns: ColumnChoice
    max_problems: int
    strict: bool
    as_json: bool
    messages: Messages


def run(task: ValidateTask) -> None:
    """Carry out a task: the report goes to stdout.

    Raises
    ------
    EpochsLeftError
        If `predict` would not answer, of the kind that it would raise.
    """
    bundle = load_bundle(bundle_folder(task.model, THRESHOLD))
    predictor = predictor_of(bundle, level=_LEVEL, jobs=1)
    found = _validated(task, predictor)
    name = "stdin" if task.source == PIPE else task.source
    write_stdout(
        json.dumps({"file": name, **found.as_dict()}, indent=2) + "\n"
        if task.as_json
        else "".join(f"{one_line(line)}\n" for line in _lines(name, found))
    )
    if found.problems:
        raise _refusal(name, found)


def _validated(task: ValidateTask, predictor: Predictor) -> Validation:
    is_pipe = task.source == PIPE
    checks = Checks(
        columns=task.columns,
        on_bad=task.on_bad,
        strict=task.strict,
        default_run="stdin" if is_pipe else Path(task.source).stem,
        max_problems=task.max_problems,
    )
    try:
        with open_log(task.source, getattr(sys.stdin, "buffer", None)) as log:
            return validate_log(log, predictor, checks)
    except (DataError, IntegrityError) as error:
        return Validation(problems=[Problem.of(error)], complete=False)


def _refusal(name: str, found: Validation) -> EpochsLeftError:
    """Return the error that predict would stop with, in kind; the report has said which."""
    n, more = len(found.problems), "" if found.complete else " or more"
    text = f"{name}: {n}{more} problem{'' if n == 1 and not more else 's'}; predict would refuse it"
    damaged = found.problems[0].exit_code == IntegrityError.exit_code
    return IntegrityError(text) if damaged else DataError(text)


def _lines(name: str, found: Validation) -> Iterator[str]:
    """Yield the report for people, a line a fact."""
    yield f"{name}: {'refused' if found.problems else 'accepted'}"
    if found.reader:
        yield f"reader: {found.reader}"
        yield from (f"column {column!r}: {part}" for column, part in found.parts.items())
        counts, last = found.findings, found.last_epoch
        epochs = "" if last is None else f", epochs {found.first_epoch:,} to {last:,}"
        without = " without a problem" if found.problems else ""
        yield f"rows{without}: {counts.n_rows:,} in {counts.n_runs:,} runs{epochs}"
    yield from (f"note: {text}" for text in found.notes)
    yield from (f"missing: {text}" for text in found.missing)
    yield from (f"warning: {text}" for text in found.warnings)
    yield from (f"problem: {problem.message}" for problem in found.problems)
    if found.problems and not found.complete:
        yield "not everything was checked: mend these problems first"
