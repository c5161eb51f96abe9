"""The command `backtest`: what it takes. What it does is in `backtest_run`."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.light_imports import light_imports
from epochs_left.cli.messages import Messages
from epochs_left.errors import UsageError
from epochs_left.prediction.layout import OnBad

TASK_MEDIAN = "task-median"
DEFAULT_BUDGETS = "10,25,50"

HELP = (
    "Replay finished runs: predict at absolute budgets what each had left, and score that against "
    "what happened and against what people use instead.\n\n"
    "A budget is a percent of the horizon, the epochs that a run was meant to last; a forecaster "
    "is handed the rows up to there, the settings, the horizon and what is asked, and nothing of "
    "how long the run went on. Runs are scored that had not yet got there and later did. The table "
    "goes to stdout, everything else to the JSON of -o."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left backtest logs.csv --target 0.05 --horizon 200

epochs-left backtest keras.csv --metric train_loss --plateau 0.01 --horizon 100 -o scores.json

epochs-left backtest sweep.parquet --metric val_acc --mode max --target 0.9 --task-column dataset
--horizon task-median

epochs-left backtest sweep.parquet --target-column goal --horizon-column config.epochs
--lineage-column config --lineage-without config.seed --policy never:0.95 --policy slower:0.9

[bold]Exit codes[/bold]

0 done, 2 usage, 3 data, 4 model, 5 input or output, 6 integrity, 130 interrupted
"""


Logs = Annotated[
    str,
    typer.Argument(
        metavar="LOGS",
        help="Log of finished runs: Parquet, CSV, JSON Lines, or what Lightning, Hugging Face, "
        "Keras and TensorBoard write, files and folders; - is stdin.",
    ),
]
Target = Annotated[
    float | None, typer.Option("--target", metavar="X", help="Value of the metric to be reached.")
]
TargetColumn = Annotated[
    str | None,
    typer.Option("--target-column", metavar="COLUMN", help="Column with the target of each run."),
]
TaskColumn = Annotated[
    str | None,
    typer.Option(
        "--task-column", metavar="COLUMN", help="Column of tasks; scores are also by task."
    ),
]
HorizonValue = Annotated[
    str | None,
    typer.Option(
        "--horizon",
        metavar=f"N|{TASK_MEDIAN}",
        help="Epochs that the runs were meant to last; a column horizon goes before it. "
        f"{TASK_MEDIAN}: budgets are percents of the median time of the task's other lineages, "
        "and forecasters are told of no horizon.",
        show_default=f"the column horizon, or {TASK_MEDIAN}",
    ),
]
HorizonColumn = Annotated[
    str | None,
    typer.Option(
        "--horizon-column",
        metavar="COLUMN",
        help="Column with the horizon of each run. A column may hold JSON: config.epochs is the "
        "key epochs of the column config, here and in the other options of columns.",
    ),
]
LineageColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--lineage-column",
        metavar="COLUMN",
        help="Runs that are equal in it, and in their task, are one lineage; may be repeated. "
        "Intervals are over lineages, where they are not too few.",
        show_default="every run by itself",
    ),
]
LineageWithout = Annotated[
    list[str] | None,
    typer.Option(
        "--lineage-without",
        metavar="COLUMN.KEY",
        help="Key of a JSON column of lineages that makes no difference, such as a seed or the "
        "horizon; may be repeated.",
    ),
]
Budgets = Annotated[
    str,
    typer.Option("--budgets", metavar="PERCENTS", help="Percents of the horizon to predict at."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Where to write all scores as JSON; - is stdout."
    ),
]
Predictions = Annotated[
    str | None,
    typer.Option(
        "--predictions",
        metavar="OUT",
        help="Where to write every forecast: Parquet, CSV or JSON Lines, by its extension.",
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="Also say what stopping runs at their budgets would have saved and cost: "
        "never[:confidence] stops runs predicted never to get there, slower[:confidence] those "
        "predicted to be slower than the best of their task so far, median is the median stopping "
        "rule; joined by + any of them stops. The runs of a task come one after another, in the "
        "order of their names. May be repeated.",
    ),
]


def backtest(  # noqa: PLR0913, PLR0917 - one argument an option
    logs: Logs,
    metric: options.Metric = None,
    stated: options.Stated = None,
    mode: options.ModeValue = options.Mode.MIN,
    ceiling: options.Ceiling = 1.0,
    target: Target = None,
    target_column: TargetColumn = None,
    plateau: options.Plateau = None,
    horizon: HorizonValue = None,
    horizon_column: HorizonColumn = None,
    budgets: Budgets = DEFAULT_BUDGETS,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    task_column: TaskColumn = None,
    lineage_columns: LineageColumns = None,
    lineage_without: LineageWithout = None,
    model: options.Model = None,
    level: options.Level = options.DEFAULT_LEVEL,
    output: Output = None,
    predictions: Predictions = None,
    policies: Policies = None,
    on_bad: options.OnBadValue = OnBad.ERROR,
    strict: options.Strict = False,
    force: options.Force = False,
    jobs: options.Jobs = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Replay finished runs and score what would have been predicted."""
    epochs, of_task_median = _parsed_horizon(horizon)
    with light_imports():
        from epochs_left.backtesting.recorded import Question  # noqa: PLC0415 - slow to import
        from epochs_left.cli.backtest_run import BacktestTask, run  # noqa: PLC0415 - slow

        question = Question(
            columns=options.column_choice(run_column, time_column, metric, stated),
            rises=mode is options.Mode.MAX,
            ceiling=_checked_ceiling(ceiling),
            target=_checked_target(target, mode, ceiling),
            plateau=plateau,
            horizon=epochs,
            target_column=target_column,
            horizon_column=horizon_column,
            task_column=task_column,
            lineage_columns=tuple(lineage_columns or ()),
            lineage_without=tuple(lineage_without or ()),
            on_bad=on_bad,
        )
        task = BacktestTask(
            source=logs,
            question=question,
            of_task_median=of_task_median,
            budgets=_parsed_budgets(budgets),
            model=model,
            level=level,
            output=output,
            predictions=predictions,
            policies=tuple(policies or ()),
            strict=strict,
            force=force,
            jobs=options.checked_jobs(jobs),
            messages=Messages(quiet=quiet, verbose=verbose, progress=not no_progress),
        )
        run(task)


def _parsed_horizon(text: str | None) -> tuple[int | None, bool]:
    """Return the planned epochs, and whether budgets are of the task's median instead."""
    if text is None or text == TASK_MEDIAN:
        return None, text == TASK_MEDIAN
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"--horizon: expected a number of epochs or {TASK_MEDIAN}, got {text!r}; write one of "
            "them, or pass --horizon-column"
        )
    return options.checked_horizon(int(text)), False


def _parsed_budgets(text: str) -> tuple[float, ...]:
    """Return the budgets in percent, ascending; UsageError for what is none."""
    try:
        budgets = {float(part.strip().removesuffix("%")) for part in text.split(",")}
    except ValueError:
        budgets = {math.nan}
    if not all(0 < budget < 100 for budget in budgets):
        raise UsageError(
            f"--budgets: expected percents between 0 and 100, got {text!r}; write "
            f"{DEFAULT_BUDGETS}, say"
        )
    return tuple(sorted(budgets))


def _checked_ceiling(ceiling: float) -> float:
    if not math.isfinite(ceiling):
        raise UsageError(f"--ceiling: expected a number, got {ceiling:g}")
    return ceiling


def _checked_target(target: float | None, mode: options.Mode, ceiling: float) -> float | None:
    """Return the target; UsageError if no loss can be made of it, whose log is needed."""
    if mode is options.Mode.MIN or target is None:
        return options.checked_target(target)
    if not target < ceiling or math.isinf(target):
        raise UsageError(
            f"--target: expected less than the ceiling {ceiling:g}, got {target:g}; pass --ceiling "
            "with the largest value that the metric can have"
        )
    return target
