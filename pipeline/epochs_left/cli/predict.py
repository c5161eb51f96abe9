"""The command `predict`: what it takes. What it does is in `predict_run`."""

from __future__ import annotations

from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.messages import Messages
from epochs_left.errors import UsageError
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.storage.formats import PIPE, TableFormat

DEFAULT_LEVEL = 0.9
LAST = "last"
#: Digits of the largest epoch that a float64 counts exactly, 2^53.
_MAX_DIGITS = 15

HELP = (
    "Predict how many epochs each run has left until its loss reaches the target.\n\n"
    "The answer has a row a run and epoch: run_id, epoch, epochs_remaining, lower, upper, "
    "p_converges, status, reason, model_id. A prediction at an epoch looks at the rows of its run "
    "up to that epoch and at nothing else. A missing loss is an evaluation that did not happen."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left predict -i logs.csv

epochs-left predict -i logs.parquet -o eta.parquet --at last

epochs-left predict -i keras.csv --metric train_loss --target 0.05

cat run.jsonl | epochs-left predict -i - --at last --json

[bold]Exit codes[/bold]

0 done, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted
"""

Source = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="LOGS",
        help="Log: Parquet, CSV or JSON Lines, a row a run and epoch; - is stdin.",
    ),
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="Where to write; - is stdout.")
]
Target = Annotated[
    float | None,
    typer.Option(
        "--target",
        metavar="X",
        help="Loss to be reached.",
        show_default="what the model was trained for",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="EPOCH|last",
        help="Answer one row a run: its last one up to this epoch, or its last one.",
        show_default="every epoch",
    ),
]
Type = Annotated[
    TableFormat | None,
    typer.Option("--type", "-t", help="Format of OUT.", show_default="its extension, or csv"),
]
OnBadValue = Annotated[
    OnBad,
    typer.Option("--on-bad", help="NaN or infinity in the log: stop, or flag the run and go on."),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as -t jsonl.")]


def predict(  # noqa: PLR0913, PLR0917 - one argument an option
    source: Source,
    output: Output = PIPE,
    model: options.Model = None,
    target: Target = None,
    at: At = None,
    level: options.Level = DEFAULT_LEVEL,
    table_format: Type = None,
    as_json: AsJson = False,
    on_bad: OnBadValue = OnBad.ERROR,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    metric: options.Metric = None,
    strict: options.Strict = False,
    force: options.Force = False,
    jobs: options.Jobs = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Predict how many epochs each run has left until its loss reaches the target."""
    if as_json and table_format not in {None, TableFormat.JSONL}:
        raise UsageError(f"--json and -t {table_format} exclude each other; pass one of them")
    from epochs_left.cli.predict_run import PredictTask, run  # noqa: PLC0415 - slow to import

    task = PredictTask(
        source=source,
        output=output,
        table_format=TableFormat.JSONL if as_json else table_format,
        model=model,
        target=options.checked_target(target),
        at=_parsed_at(at),
        level=options.checked_level(level),
        on_bad=on_bad,
        columns=ColumnChoice(run=run_column, time=time_column, metric=metric),
        strict=strict,
        force=force,
        jobs=options.checked_jobs(jobs),
        messages=Messages(quiet=quiet, verbose=verbose, progress=not no_progress),
    )
    run(task)


def _parsed_at(at: str | None) -> int | str | None:
    if at is None or at == LAST:
        return at
    if not (at.isascii() and at.isdigit() and len(at) <= _MAX_DIGITS):
        raise UsageError(f"--at: expected an epoch (0, 1, ...) or 'last', got {at!r}")
    return int(at)
