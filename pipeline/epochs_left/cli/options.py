"""Options that several commands share, under the same names and with the same meaning."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from epochs_left.errors import UsageError
from epochs_left.prediction.layout import LABELS, ColumnChoice, OnBad
from epochs_left.storage.bundle_choice import MODEL_VARIABLE, MODELS_FOLDER, complete_model
from epochs_left.storage.released import RELEASED_ID

DEFAULT_LEVEL = 0.9
USUAL_PLATEAU = 0.01
LAST = "last"
#: Digits of the largest epoch that a float64 counts exactly, 2^53.
_MAX_DIGITS = 15

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help=f"Folder of a bundle, or the id of one below ./{MODELS_FOLDER}.",
        envvar=MODEL_VARIABLE,
        show_default=RELEASED_ID,
        autocompletion=complete_model,
    ),
]


def _parsed_share(option: str, text: str | float, usual: float) -> float:
    """Return a share in (0, 1); UsageError for anything else, with what to write instead."""
    try:
        share = float(text)
        shown = f"{share:g}"
    except ValueError:
        share, shown = math.nan, repr(text)
    if not 0 < share < 1:
        percent = _percent(str(text).strip())
        instead = f"write {percent:g}" if 0 < percent < 1 else f"try {usual:g}"
        raise UsageError(f"{option}: expected a share between 0 and 1, got {shown}; {instead}")
    return share


def _percent(text: str) -> float:
    """Return the share that a text like 1% means; NaN for another text."""
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        return math.nan


def parsed_level(text: str | float) -> float:
    """Return the level of an interval; UsageError for what is no share in (0, 1)."""
    return _parsed_share("--level", text, DEFAULT_LEVEL)


def parsed_plateau(text: str | float) -> float:
    """Return the share of a plateau; UsageError for what is no share in (0, 1)."""
    return _parsed_share("--plateau", text, USUAL_PLATEAU)


def parsed_settings(texts: Sequence[str]) -> dict[str, float | str]:
    """Return what ``--set NAME=VALUE``, given any number of times, says of every run.

    Raises
    ------
    UsageError
        For another form, a name that is no setting, one that is given twice, or a value out of its
        bounds.
    """
    from epochs_left.live.settings import checked_settings  # noqa: PLC0415 - for those who ask

    found: dict[str, float | str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--set: expected NAME=VALUE, got {text!r}; try lr_schedule=constant")
        if name in found:
            raise UsageError(f"--set {name}: given twice; leave one of them out")
        try:
            found |= checked_settings({name: value if name in LABELS else _number(value)})
        except (TypeError, ValueError) as error:
            raise UsageError(f"--set: {error}") from None
    return found


def _number(text: str) -> float:
    """Return a number, NaN for what is none: the bounds refuse it."""
    try:
        return float(text)
    except ValueError:
        return math.nan


Stated = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of every run that the log does not have, such as lr_schedule=constant "
        "or lr_schedule=step:0.5,0.75x0.1; may be repeated.",
    ),
]
Level = Annotated[
    float,
    typer.Option(
        "--level",
        metavar="SHARE",
        help="Share of the truths that intervals cover.",
        parser=parsed_level,
    ),
]
Source = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="LOGS",
        help="Log: Parquet, CSV or JSON Lines, a row a run and epoch, or what Lightning, Keras, "
        "Hugging Face or TensorBoard wrote, a file or a folder of runs; - is stdin.",
    ),
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
Plateau = Annotated[
    float | None,
    typer.Option(
        "--plateau",
        metavar="P",
        help="Instead of a loss: the plateau of the curve, from where on it stays below its lowest "
        f"loss plus this share of its whole fall; needs the horizon. {USUAL_PLATEAU:g} is usual.",
        parser=parsed_plateau,
    ),
]
Horizon = Annotated[
    int | None,
    typer.Option(
        "--horizon",
        metavar="N",
        help="Epochs that the runs are meant to last; a column horizon goes before it.",
    ),
]
RunColumn = Annotated[
    str | None,
    typer.Option("--run-column", metavar="NAME", help="Column of runs.", show_default="run_id"),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(
        "--time-column", metavar="NAME", help="Column of epochs.", show_default="epoch or step"
    ),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="Column of the loss.", show_default="loss"),
]
OnBadValue = Annotated[
    OnBad,
    typer.Option("--on-bad", help="NaN or infinity in the log: stop, or flag the run and go on."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what would be a warning.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", help="Threads.", show_default="all cores")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say errors alone.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bar.")]


AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


class Mode(StrEnum):
    """Which way the metric goes as a run gets better."""

    MIN = "min"
    MAX = "max"


ModeValue = Annotated[
    Mode, typer.Option("--mode", help="Whether the metric falls, or rises as an accuracy does.")
]
Ceiling = Annotated[
    float,
    typer.Option(
        "--ceiling",
        metavar="X",
        help="With --mode max: the largest value that the metric can have, such as 100 for a "
        "percentage. What is predicted on is the distance from it.",
    ),
]


def at_option(text: str, *, default: str) -> Any:
    """Return the option ``--at``, whose meaning without a value each command says itself."""
    return typer.Option("--at", metavar="EPOCH|last", help=text, show_default=default)


def parsed_at(at: str | None) -> int | str | None:
    """Return the epoch of ``--at``, `LAST`, or None for every epoch; UsageError otherwise."""
    if at is None or at == LAST:
        return at
    if not (at.isascii() and at.isdigit() and len(at) <= _MAX_DIGITS):
        raise UsageError(f"--at: expected an epoch (0, 1, ...) or 'last', got {at!r}")
    return int(at)


def checked_target(target: float | None) -> float | None:
    """Return the target; UsageError if it is not a number above 0, since its log is needed."""
    if target is not None and not (target > 0 and math.isfinite(target)):
        raise UsageError(f"--target: expected a loss above 0, got {target:g}")
    return target


def column_choice(
    run: str | None, time: str | None, metric: str | None, stated: Sequence[str] | None
) -> ColumnChoice:
    """Return what was said of the columns of a log and of what is missing from it."""
    return ColumnChoice(run=run, time=time, metric=metric, stated=parsed_settings(stated or ()))


def checked_plateau(plateau: float | None, target: float | None) -> float | None:
    """Return the share of a plateau; UsageError if a loss is asked for too."""
    if plateau is not None and target is not None:
        raise UsageError("--target and --plateau exclude each other; pass one of them")
    return plateau


def checked_horizon(horizon: int | None) -> int | None:
    """Return the planned number of epochs; UsageError below 1."""
    if horizon is not None and horizon < 1:
        raise UsageError(f"--horizon: expected 1 or more epochs, got {horizon}")
    return horizon


def checked_jobs(jobs: int | None) -> int:
    """Return the number of threads: as many as asked for, at most the cores that may be used."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs: expected 1 or more threads, got {jobs}")
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return cores if jobs is None else min(jobs, cores)
