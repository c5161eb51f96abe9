"""The command `predict`: what it takes. What it does is in `predict_run`."""

from __future__ import annotations

from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.light_imports import light_imports
from epochs_left.cli.messages import Messages
from epochs_left.errors import UsageError
from epochs_left.prediction.layout import OnBad
from epochs_left.storage.formats import PIPE, TableFormat

HELP = (
    "Predict how many epochs each run has left until its loss reaches the target, or its plateau."
    "\n\n"
    "The answer has a row a run and epoch: run_id, epoch, epochs_remaining, lower, upper, "
    "p_converges, status, reason, model_id. A prediction at an epoch looks at the rows of its run "
    "up to that epoch and at nothing else. A missing loss is an evaluation that did not happen."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left predict -i logs.csv --target 0.05

epochs-left predict -i logs.parquet -o eta.parquet --at last

epochs-left predict -i keras.csv --metric train_loss --target 0.05

epochs-left predict -i logs.csv --plateau 0.01 --horizon 200

cat run.jsonl | epochs-left predict -i - --at last --json

[bold]Exit codes[/bold]

0 done, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted
"""

Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="Where to write; - is stdout.")
]
At = Annotated[
    str | None,
    options.at_option(
        "Answer one row a run: its last one up to this epoch, or its last one.",
        default="every epoch",
    ),
]
Type = Annotated[
    TableFormat | None,
    typer.Option("--type", "-t", help="Format of OUT.", show_default="its extension, or csv"),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as -t jsonl.")]


def predict(  # noqa: PLR0913, PLR0917 - one argument an option
    source: options.Source,
    output: Output = PIPE,
    model: options.Model = None,
    target: options.Target = None,
    plateau: options.Plateau = None,
    horizon: options.Horizon = None,
    at: At = None,
    level: options.Level = options.DEFAULT_LEVEL,
    table_format: Type = None,
    as_json: AsJson = False,
    on_bad: options.OnBadValue = OnBad.ERROR,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    metric: options.Metric = None,
    stated: options.Stated = None,
    strict: options.Strict = False,
    force: options.Force = False,
    jobs: options.Jobs = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Predict how many epochs each run has left until its loss reaches the target, or plateaus."""
    if as_json and table_format not in {None, TableFormat.JSONL}:
        raise UsageError(f"--json and -t {table_format} exclude each other; pass one of them")
    with light_imports():
        from epochs_left.cli.predict_run import PredictTask, run  # noqa: PLC0415 - slow to import

        task = PredictTask(
            source=source,
            output=output,
            table_format=TableFormat.JSONL if as_json else table_format,
            model=model,
            target=options.checked_target(target),
            plateau=options.checked_plateau(plateau, target),
            horizon=options.checked_horizon(horizon),
            at=options.parsed_at(at),
            level=level,
            on_bad=on_bad,
            columns=options.column_choice(run_column, time_column, metric, stated),
            strict=strict,
            force=force,
            jobs=options.checked_jobs(jobs),
            messages=Messages(quiet=quiet, verbose=verbose, progress=not no_progress),
        )
        run(task)
