"""The command `validate`: what it takes. What it does is in `validate_run`."""

from __future__ import annotations

from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.light_imports import light_imports
from epochs_left.cli.messages import Messages
from epochs_left.errors import UsageError
from epochs_left.prediction.layout import OnBad

DEFAULT_MAX_PROBLEMS = 20

HELP = (
    "Say what predict would make of a log: what it is read as, the part that each column plays, "
    "runs, rows and epochs, what is missing and what that costs, and every problem with its "
    "column and row. It exits with 0 if predict would answer, given the target that it asks for, "
    "else with predict's own exit code."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left validate logs.csv

epochs-left validate lightning_logs --metric val_loss

epochs-left validate logs.parquet --on-bad flag --json

[bold]Exit codes[/bold]

0 predict would answer, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted
"""

Logs = Annotated[
    str,
    typer.Argument(
        metavar="LOGS",
        help="Log: Parquet, CSV, JSON Lines, or what Lightning, Hugging Face, Keras and "
        "TensorBoard write, files and folders; - is stdin.",
    ),
]
OnBadValue = Annotated[
    OnBad,
    typer.Option("--on-bad", help="NaN or infinity in the log: a problem, or a run that diverged."),
]
MaxProblems = Annotated[
    int, typer.Option("--max-problems", metavar="N", help="Problems to name before stopping.")
]


def validate(  # noqa: PLR0913, PLR0917 - one argument an option
    logs: Logs,
    model: options.Model = None,
    on_bad: OnBadValue = OnBad.ERROR,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    metric: options.Metric = None,
    stated: options.Stated = None,
    max_problems: MaxProblems = DEFAULT_MAX_PROBLEMS,
    strict: options.Strict = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what predict would make of a log."""
    if max_problems < 1:
        raise UsageError(f"--max-problems: expected 1 or more, got {max_problems}")
    with light_imports():
        from epochs_left.cli.validate_run import ValidateTask, run  # noqa: PLC0415 - slow

        run(
            ValidateTask(
                source=logs,
                model=model,
                on_bad=on_bad,
                columns=options.column_choice(run_column, time_column, metric, stated),
                max_problems=max_problems,
                strict=strict,
                as_json=as_json,
                messages=Messages(quiet=quiet, verbose=False, progress=False),
            )
        )
