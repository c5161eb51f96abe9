"""Stage report: from the results to one self-contained HTML file.

Beside it pictures for the README, and small tables for `dvc plots`.
"""

from __future__ import annotations

from epochs_left.reporting import build_report
from epochs_left.reporting.pictures import pictures
from epochs_left.reporting.plots import plot_tables
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import MEASURED, PICTURES, PLOTS, REPORT, RESULTS
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.results import read_results
from epochs_left.storage.tables import write_json

#: The section whose figure the README shows.
SECTION = "parameter_plane"


def main() -> None:
    """Read every result, render, write the report."""
    stage_parser(__doc__).parse_args()
    with sole_writer("report", REPORT, PICTURES / "*", PLOTS / "*"):
        _write_report()


def _write_report() -> None:
    results = read_results(RESULTS, MEASURED)
    write_bytes_atomically(REPORT, build_report(results).encode())
    for name, rows in plot_tables(results).items():
        write_json(PLOTS / name, rows)
    PICTURES.mkdir(exist_ok=True)
    for name, picture in zip(("true", "predicted"), pictures(results, SECTION), strict=False):
        write_bytes_atomically(PICTURES / f"{SECTION}_{name}.png", picture)
