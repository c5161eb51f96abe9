"""Kinds of charts: one file each, found by the ``kind`` of a chart specification.

A chart is a function from its specification (plain data) to a matplotlib figure, made through the
object-oriented interface alone. Every chart is ``canvas.WIDTH`` wide, which fits a telephone; a
figure with two panels puts them side by side where there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from epochs_left.registry import Registry

Draw = Callable[[Any], Figure]

CHARTS: Registry[Draw] = Registry("chart", __name__)


def chart(draw: Draw) -> Draw:
    """Register a drawing function under its name, the ``kind`` of its specifications."""
    CHARTS.add(str(draw.__name__), draw)
    return draw


def draw_chart(specification: Mapping[str, Any]) -> Figure:
    """Return the picture of a specification."""
    return CHARTS[specification["kind"]](specification)
