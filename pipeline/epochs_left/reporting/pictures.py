"""Single figures of the report as PNG pictures, for pages that cannot hold its SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg

from epochs_left.reporting.charts import draw_chart
from epochs_left.reporting.charts.canvas import SETTINGS
from epochs_left.reporting.summary import summarise

_DOTS_PER_INCH = 144


def pictures(results: Mapping[str, Any], section: str) -> list[bytes]:
    """Return every panel of a section's figures as PNG, on white, in their order.

    Parameters
    ----------
    results
        As for `build_report`.
    section
        Name of the section.
    """
    return [
        _png(panel["chart"])
        for part in summarise(results)["sections"]
        if part["name"] == section
        for block in part["blocks"]
        if block["kind"] == "figure"
        for panel in block["panels"]
    ]


def _png(specification: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(dict(SETTINGS)):  # type: ignore[arg-type]
        canvas = FigureCanvasAgg(draw_chart(specification))
        canvas.print_figure(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()
