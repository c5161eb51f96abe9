"""What every stage's command line shares: arguments, progress, one line an error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from epochs_left.errors import EpochsLeftError, InputOutputError, IntegrityError, UsageError
from epochs_left.parallel import Progress, no_progress, require_dask
from epochs_left.stages._paths import DAMAGED, WORK
from epochs_left.storage.atomic import remove_temporaries
from epochs_left.storage.locks import locked
from epochs_left.storage.quarantine import set_aside

_INTERRUPTED = 130


def stage_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every stage has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="worker processes (all cores)"
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")
    return parser


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where work is done; `check_backend` checks them."""
    parser.add_argument(
        "--backend",
        choices=("loky", "dask"),
        default="loky",
        help="processes of this machine, or the workers of a dask cluster; no byte depends on it",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of the dask cluster, e.g. tcp://host:8786"
    )


def check_backend(backend: str, scheduler: str | None) -> None:
    """Raise UsageError unless the options that say where to work agree and can be met."""
    if backend == "dask" and not scheduler:
        raise UsageError("--backend dask without a scheduler; add --scheduler tcp://host:8786")
    if backend != "dask" and scheduler is not None:
        raise UsageError(
            f"--scheduler {scheduler} with --backend {backend}, which has none; add --backend dask"
        )
    if backend == "dask":
        require_dask()


def positive(text: str) -> int:
    """Read an integer of at least 1 from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


@contextmanager
def sole_writer(name: str, *outputs: Path) -> Iterator[int]:
    """Keep other writers of a stage's outputs away, and remove what killed ones left beside them.

    Parameters
    ----------
    name
        The stage, and its item if it has one: what runs under another name may run beside it.
    outputs
        Files and folders that it replaces; ``folder / "*"`` stands for any in the folder.

    Yields
    ------
    Descriptor of the lock; a child that is handed it keeps the lock too.

    Raises
    ------
    InputOutputError
        If another process runs the same stage.
    """
    with locked(WORK / f"{name}.lock") as descriptor:
        for output in outputs:
            remove_temporaries(output.parent, output.name)
        yield descriptor


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; an expected failure becomes one line on stderr and its exit code."""
    try:
        main()
    except EpochsLeftError as error:
        say(f"error: {error}{_quarantined(error)}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {error}; look at the file and repeat")
        sys.exit(InputOutputError.exit_code)
    except KeyboardInterrupt as interrupt:
        if interrupt.args:
            say(f"interrupted: {interrupt}")
        sys.exit(_INTERRUPTED)


def say(text: str) -> None:
    """Tell a person, in one line on stderr."""
    print(f"epochs-left: {text}", file=sys.stderr)  # noqa: T201


def _quarantined(error: EpochsLeftError) -> str:
    """Set a damaged file aside, so that `dvc repro` makes it again, and say so."""
    damaged = error.damaged if isinstance(error, IntegrityError) else None
    if damaged is None or not set_aside(damaged, DAMAGED):
        return ""
    return f" (the damaged file is in {DAMAGED} now)"


def progress_of(arguments: argparse.Namespace) -> Progress:
    """Return what shows the progress of a stage: a bar, or nothing if so asked."""
    return no_progress if arguments.no_progress else track


def track(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
    """Yield items behind a progress bar with the time that is left; a terminal only."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        yield from bar.track(items, total=total, description=description)
