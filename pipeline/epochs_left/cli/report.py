"""The command `report`: the page, or its content as data, from the results of the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epochs_left.cli import options
from epochs_left.cli.messages import say, write_stdout
from epochs_left.errors import InputOutputError, UsageError

if TYPE_CHECKING:
    from epochs_left.reporting.summary import Summary

RESULTS, PAGE = "reports/results", "reports/index.html"
HELP = (
    "Write the report again from the results of the pipeline: one HTML file that asks nothing of "
    "any network. With --json its content goes to stdout as data, section by section."
)
EXAMPLES = """
[bold]Examples[/bold]

epochs-left report

epochs-left report -o page.html

epochs-left report --json

[bold]Exit codes[/bold]

0 written, 2 usage, 5 input or output, 130 interrupted
"""

Folder = Annotated[
    Path, typer.Option("--results", metavar="FOLDER", help="Where `dvc repro` put the results.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The page; another than the usual one is replaced with --force alone.",
    ),
]


def report(
    results: Folder = Path(RESULTS),
    output: Output = Path(PAGE),
    force: options.Force = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the report again from the results of the pipeline."""
    summary = _summary(results)
    if as_json:
        write_stdout(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        return
    _check_output(output, force=force)
    from epochs_left.reporting.render import render  # noqa: PLC0415 - slow to import
    from epochs_left.storage.atomic import write_bytes_atomically  # noqa: PLC0415

    write_bytes_atomically(output, render(summary).encode())
    if not quiet:
        say("note", f"{len(summary['sections'])} sections in {output}")


def _summary(folder: Path) -> Summary:
    """Return the content of the report; UsageError where what draws it is not installed."""
    try:
        from epochs_left.reporting.summary import summarise  # noqa: PLC0415 - slow to import
        from epochs_left.stages._paths import MEASURED  # noqa: PLC0415
        from epochs_left.storage.results import read_results  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the report needs {error.name}; pip install 'epochs-left[pipeline]'"
        ) from error
    if not folder.is_dir():
        raise InputOutputError(f"no folder of results {folder}; `dvc repro` makes it")
    found = read_results(folder, MEASURED)
    if not found:
        raise InputOutputError(f"no results in {folder}; `dvc repro` makes them")
    return summarise(found)


def _check_output(output: Path, *, force: bool) -> None:
    """Refuse to replace what is no report, unless that is asked for."""
    if output.is_dir() or not output.parent.is_dir():
        raise InputOutputError(f"cannot write {output}: name a file in a folder that is there")
    if force or not output.exists() or output == Path(PAGE):
        return
    raise InputOutputError(f"output {output} exists; pass --force to replace it")
