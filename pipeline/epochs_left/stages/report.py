"""Stage report: from the results to one self-contained HTML file, and pictures for the README."""

from __future__ import annotations

from pathlib import Path

from epochs_left.reporting import build_report
from epochs_left.reporting.pictures import pictures
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import PICTURES, REPORT, RESULTS
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.tables import read_result, result_files

#: The family that the sections on one family show: its results are known without their folder.
FEATURED = "neuron"

#: The section whose figure the README shows.
SECTION = "parameter_plane"


def main() -> None:
    """Read every result, render, write the report."""
    stage_parser(__doc__).parse_args()
    with sole_writer("report", REPORT, PICTURES / "*"):
        _write_report()


def _write_report() -> None:
    paths = {_name(path): path for path in result_files(RESULTS)}
    results = {name: read_result(path) for name, path in paths.items()}
    below = {name: path.relative_to(RESULTS).as_posix() for name, path in paths.items()}
    write_bytes_atomically(REPORT, build_report(results, below).encode())
    PICTURES.mkdir(exist_ok=True)
    for name, picture in zip(("true", "predicted"), pictures(results, SECTION), strict=False):
        write_bytes_atomically(PICTURES / f"{SECTION}_{name}.png", picture)


def _name(path: Path) -> str:
    return path.relative_to(RESULTS).as_posix().removeprefix(f"{FEATURED}/")
