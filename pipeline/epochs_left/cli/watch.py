"""The command `watch`: what it takes. What it does is in `watch_run`."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.light_imports import light_imports
from epochs_left.cli.messages import Messages
from epochs_left.errors import UsageError

HELP = (
    "Follow a CSV or JSON Lines log while it is written and say how long the run still takes."
    "\n\n"
    "On a terminal the answer is drawn anew with each row; elsewhere a row is a line. A file that "
    "is replaced or cut short is read again from its start; where epochs go back, as after a "
    "restart from a checkpoint, the run goes on from there. NaN means diverged. Ends with an "
    "interrupt, exit code 130; --once reads what is there and leaves."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left watch logs.csv --target 0.05

epochs-left watch keras.csv --metric val_accuracy --mode max --target 0.98

epochs-left watch run.jsonl --plateau 0.01 --horizon 200

epochs-left watch run.jsonl --target 0.05 --json >> eta.jsonl

[bold]Exit codes[/bold]

0 done, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted
"""
#: Seconds between two looks at the file.
USUAL_INTERVAL = 2.0


Log = Annotated[str, typer.Argument(metavar="LOG", help="The file that grows.", show_default=False)]
Run = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="The run.", show_default="the one last written"),
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON object a row, on stdout.")]
Once = Annotated[bool, typer.Option("--once", help="Read to the end of the file and leave.")]
Interval = Annotated[
    float, typer.Option("--interval", metavar="SECONDS", help="Time between two looks at the file.")
]


def watch(  # noqa: PLR0913, PLR0917 - one argument an option
    log: Log,
    model: options.Model = None,
    target: options.Target = None,
    plateau: options.Plateau = None,
    horizon: options.Horizon = None,
    mode: options.ModeValue = options.Mode.MIN,
    ceiling: options.Ceiling = 1.0,
    level: options.Level = options.DEFAULT_LEVEL,
    run_id: Run = None,
    as_json: AsJson = False,
    once: Once = False,
    interval: Interval = USUAL_INTERVAL,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    metric: options.Metric = None,
    stated: options.Stated = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Follow a log while it is written and say how long the run still takes."""
    if not (interval > 0 and math.isfinite(interval)):
        raise UsageError(f"--interval: expected seconds above 0, got {interval:g}")
    with light_imports():
        from epochs_left.cli.watch_run import WatchTask, run  # noqa: PLC0415 - slow to import

        task = WatchTask(
            log=log,
            model=model,
            target=target if mode is options.Mode.MAX else options.checked_target(target),
            plateau=options.checked_plateau(plateau, target),
            horizon=options.checked_horizon(horizon),
            mode=mode.value,
            ceiling=ceiling,
            level=level,
            run_id=run_id,
            as_json=as_json,
            once=once,
            interval=interval,
            columns=options.column_choice(run_column, time_column, metric, stated),
            messages=Messages(quiet=quiet, verbose=verbose, progress=False),
        )
        run(task)
