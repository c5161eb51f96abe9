"""Results to a dictionary to HTML.

A section is one file in `reporting.sections`; a kind of chart is one file in `reporting.charts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochs_left.reporting.render import render
from epochs_left.reporting.summary import result_files, summarise

__all__ = ["build_report", "result_files", "summarise"]


def build_report(results: Mapping[str, Any]) -> str:
    """Return the report as one self-contained HTML document.

    Parameters
    ----------
    results
        What `evaluate` wrote, by path below ``reports/results`` (``neuron/scores.json``), with or
        without the extension: parsed JSON, or a `pyarrow.Table` for Parquet. `result_files` names
        what is read. Whatever is missing or empty is said to be so in its section.
    """
    return render(summarise(results))
