"""Stage readme: rewrite the tables of figures in README.md from the last run's results."""

from __future__ import annotations

from pathlib import Path

from epochs_left.reporting.readme import with_tables
from epochs_left.stages._command import sole_writer, stage_parser
from epochs_left.stages._paths import METRICS, RESULTS
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.tables import read_json

README = Path("README.md")
#: The family of the first table.
_FAMILY = "neuron"


def main() -> None:
    """Write both tables."""
    stage_parser(__doc__).parse_args()
    metrics = read_json(METRICS)
    results = {
        family: {
            name: read_json(RESULTS / family / f"{name}.json") for name in ("scores", "ceiling")
        }
        for family in metrics
    }
    with sole_writer("readme", README):
        page = with_tables(README.read_text(), metrics[_FAMILY], results)
        write_bytes_atomically(README, page.encode())
