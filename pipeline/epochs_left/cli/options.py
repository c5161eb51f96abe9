"""Options that several commands share, under the same names and with the same meaning."""

from __future__ import annotations

import math
import os
from typing import Annotated

import typer

from epochs_left.cli.bundle_choice import DEFAULT_MODEL, MODELS_FOLDER
from epochs_left.errors import UsageError

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help=f"Folder of a bundle, or the id of one below ./{MODELS_FOLDER}.",
        show_default=DEFAULT_MODEL,
    ),
]
Level = Annotated[
    float,
    typer.Option("--level", metavar="SHARE", help="Share of the truths that intervals cover."),
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
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what would be a warning.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", help="Threads.", show_default="all cores")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say errors alone.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bar.")]


def checked_level(level: float) -> float:
    """Return the level of an interval; UsageError outside (0, 1)."""
    if not 0 < level < 1:
        raise UsageError(f"--level: expected a share between 0 and 1, got {level:g}; try 0.9")
    return level


def checked_target(target: float | None) -> float | None:
    """Return the target; UsageError if it is not a number above 0, since its log is needed."""
    if target is not None and not (target > 0 and math.isfinite(target)):
        raise UsageError(f"--target: expected a loss above 0, got {target:g}")
    return target


def checked_jobs(jobs: int | None) -> int:
    """Return the number of threads: as many as asked for, at most the cores that may be used."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs: expected 1 or more threads, got {jobs}")
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return cores if jobs is None else min(jobs, cores)
