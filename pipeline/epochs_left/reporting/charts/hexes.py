"""Density of many points as hexagons, darker where there are more (in the dark, brighter)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import colour
from epochs_left.reporting.ticks import Tick

HEIGHT = 360.0  # px
N_ACROSS = 24  # hexagons along the x axis
N_LEVELS = 8  # level0 ... level7 of the palette
CORNERS = [(0.5, 1 / 6), (0.0, 1 / 3), (-0.5, 1 / 6), (-0.5, -1 / 6), (0.0, -1 / 3), (0.5, -1 / 6)]


class Hexagon(TypedDict):
    """Centre and number of points of one cell."""

    x: float
    y: float
    n: int


class Vertex(TypedDict):
    """A point of a line."""

    x: float
    y: float


class HexChart(TypedDict):
    """Cells in the units of the axes, a guide (``"diagonal"`` or ``"zero"``), a line of medians."""

    kind: Literal["hexes"]
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bounds: tuple[float, float, float, float]
    cells: list[Hexagon]
    guide: Literal["diagonal", "zero"]
    medians: list[Vertex]


Bounds = tuple[float, float, float, float]


def hexagons(x: NDArray[np.float64], y: NDArray[np.float64], bounds: Bounds) -> list[Hexagon]:
    """Count points in regular hexagons: those of two rectangular lattices, whichever is nearer.

    ``bounds`` is (x low, x high, y low, y high); points outside of it are moved to its edge.
    """
    step_x, step_y = cell_size(bounds)
    u = (np.clip(x, bounds[0], bounds[1]) - bounds[0]) / step_x
    v = (np.clip(y, bounds[2], bounds[3]) - bounds[2]) / step_y
    even = np.stack([np.round(u), np.round(v)])
    odd = np.stack([np.floor(u) + 0.5, np.floor(v) + 0.5])
    to_even, to_odd = ((u - c[0]) ** 2 + 3 * (v - c[1]) ** 2 for c in (even, odd))
    centres, counts = np.unique(np.where(to_even < to_odd, even, odd), axis=1, return_counts=True)
    return [
        {
            "x": float(bounds[0] + cx * step_x),
            "y": float(bounds[2] + cy * step_y),
            "n": int(n),
        }
        for cx, cy, n in zip(*centres, counts, strict=True)
    ]


def cell_size(bounds: Bounds) -> tuple[float, float]:
    """Return the distances between centres of one lattice along x and y."""
    step = (bounds[1] - bounds[0]) / N_ACROSS
    return step, step * np.sqrt(3) * (bounds[3] - bounds[2]) / (bounds[1] - bounds[0])


def hex_chart(
    cells: Sequence[Hexagon],
    bounds: Bounds,
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    guide: Literal["diagonal", "zero"],
    medians: Sequence[Vertex],
) -> HexChart:
    """Return the specification of a density chart."""
    return {
        "kind": "hexes",
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": list(x_ticks),
        "y_ticks": list(y_ticks),
        "bounds": bounds,
        "cells": list(cells),
        "guide": guide,
        "medians": list(medians),
    }


@chart
def hexes(spec: HexChart) -> Figure:
    """Draw the cells of each level as one outline, then the guide and the medians on top."""
    figure, axes = canvas.new_chart(HEIGHT)
    size = cell_size(spec["bounds"])
    for level, cells in enumerate(_by_level(spec["cells"])):
        if cells:
            axes.add_patch(_outline(cells, size, f"level{level}"))
    _draw_guide(axes, spec)
    axes.plot(
        [at["x"] for at in spec["medians"]], [at["y"] for at in spec["medians"]],
        color=colour("vermillion"), linewidth=2,
    )  # fmt: skip
    low_x, high_x, low_y, high_y = spec["bounds"]
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    canvas.set_ticks(axes, "x", spec["x_ticks"])
    canvas.set_ticks(axes, "y", spec["y_ticks"])
    axes.set_xlabel(spec["x_label"])
    axes.set_ylabel(spec["y_label"])
    return figure


def _by_level(cells: Sequence[Hexagon]) -> list[list[Hexagon]]:
    """Sort cells into levels of equal width in the logarithm of their counts."""
    most = max((cell["n"] for cell in cells), default=1)
    levels: list[list[Hexagon]] = [[] for _ in range(N_LEVELS)]
    for cell in cells:
        share = np.log(cell["n"]) / np.log(most) if most > 1 else 1.0
        levels[min(N_LEVELS - 1, int(share * N_LEVELS))].append(cell)
    return levels


def _outline(cells: Sequence[Hexagon], size: tuple[float, float], level: str) -> PathPatch:
    corners = np.array([*CORNERS, CORNERS[0]]) * np.array([size[0], size[1]])
    centres = np.array([(cell["x"], cell["y"]) for cell in cells])
    vertices = (centres[:, None, :] + corners[None, :, :]).reshape(-1, 2)
    codes = [Outline.MOVETO, *[Outline.LINETO] * 5, Outline.CLOSEPOLY] * len(cells)
    fill = colour(level)
    return PathPatch(Outline(vertices, codes), facecolor=fill, edgecolor=fill, linewidth=0.4)


def _draw_guide(axes: Axes, spec: HexChart) -> None:
    style: dict[str, Any] = {"color": colour("ink"), "linewidth": 1.0, "dashes": (4, 3)}
    if spec["guide"] == "zero":
        axes.axhline(0.0, **style)
    else:
        axes.axline((0.0, 0.0), slope=1.0, **style)
