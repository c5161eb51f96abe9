"""The command `explain`: what it takes. What it does is in `explain_run`."""

from __future__ import annotations

from typing import Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.light_imports import light_imports
from epochs_left.cli.messages import Messages
from epochs_left.prediction.layout import OnBad

HELP = (
    "Explain one prediction: what each feature of the run contributes to it.\n\n"
    "Contributions are on the scale of the model; on a logarithmic one each is also a factor on "
    "the epochs left. Those of boosted trees are exact; of other models it is the change if one "
    "feature were as usual in training. Also shown are the training range of each feature, and "
    "what the log does not say though the model would use it."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left explain -i logs.csv --run baseline --target 0.05

epochs-left explain -i logs.parquet --run baseline --at 20 --json

epochs-left explain -i keras.csv --metric train_loss --target 0.05
"""

Run = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="The run.", show_default="the only run of the log"),
]
At = Annotated[
    str | None,
    options.at_option("The last row up to this epoch, or the last row.", default=options.LAST),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, with every feature.")]


def explain(  # noqa: PLR0913, PLR0917 - one argument an option
    source: options.Source,
    run_id: Run = None,
    at: At = None,
    model: options.Model = None,
    target: options.Target = None,
    plateau: options.Plateau = None,
    horizon: options.Horizon = None,
    level: options.Level = options.DEFAULT_LEVEL,
    as_json: AsJson = False,
    on_bad: options.OnBadValue = OnBad.ERROR,
    run_column: options.RunColumn = None,
    time_column: options.TimeColumn = None,
    metric: options.Metric = None,
    stated: options.Stated = None,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Explain one prediction: what each feature of the run contributes to it."""
    with light_imports():
        from epochs_left.cli.explain_run import ExplainTask, run  # noqa: PLC0415 - slow to import

        task = ExplainTask(
            source=source,
            run_id=run_id,
            at=options.LAST if at is None else options.parsed_at(at),
            model=model,
            target=options.checked_target(target),
            plateau=options.checked_plateau(plateau, target),
            horizon=options.checked_horizon(horizon),
            level=level,
            as_json=as_json,
            on_bad=on_bad,
            columns=options.column_choice(run_column, time_column, metric, stated),
            strict=strict,
            messages=Messages(quiet=quiet, verbose=verbose, progress=False),
        )
        run(task)
