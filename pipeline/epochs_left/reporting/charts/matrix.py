"""A table of cells in steps of colour with a figure in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import colour

ROW_HEIGHT = 46.0  # px
MARGIN = 64.0  # px: labels of the columns and of the axis
MAX_COLUMN_LABEL = 10  # characters
INSET = 0.04  # between a cell and its frame, in cells

#: Fill and ink of the steps, without the middle of the ramp: no ink reads on it in both schemes.
STEPS = (
    ("level0", "ink"),
    ("level1", "ink"),
    ("level2", "ink"),
    ("level5", "paper"),
    ("level6", "paper"),
    ("level7", "paper"),
)


class MatrixCell(TypedDict):
    """What is written in a cell; its ``step`` of `STEPS`, null for a hatched one."""

    words: str
    step: int | None
    framed: bool
    tip: str


class MatrixChart(TypedDict):
    """Cells by row (from the top) and column, null where there is none."""

    kind: Literal["matrix"]
    x_label: str
    y_label: str
    columns: list[str]
    rows: list[str]
    cells: list[list[MatrixCell | None]]


def step_of(share: float) -> int | None:
    """Return the step of a share in (0, 1], the highest for more; None for 0 and below."""
    return None if share <= 0 else min(len(STEPS) - 1, int(share * len(STEPS)))


def matrix_chart(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[MatrixCell | None]],
    *,
    x_label: str,
    y_label: str,
) -> MatrixChart:
    """Return the specification of a matrix; each row has a cell a column (ValueError)."""
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(f"a matrix needs {len(rows)} rows of {len(columns)} cells")
    return {
        "kind": "matrix",
        "x_label": x_label,
        "y_label": y_label,
        "columns": list(columns),
        "rows": list(rows),
        "cells": [list(row) for row in cells],
    }


@chart
def matrix(spec: MatrixChart) -> Figure:
    """Draw the cells, columns named on top."""
    figure, axes = canvas.new_chart(MARGIN + ROW_HEIGHT * max(1, len(spec["rows"])))
    canvas.rows_axis(axes, spec["rows"])
    columns = [canvas.shortened(name, MAX_COLUMN_LABEL) for name in spec["columns"]]
    axes.set_xticks(range(len(columns)), columns)
    axes.set_xlim(-0.5, max(1, len(columns)) - 0.5)
    axes.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    for y, row in enumerate(spec["cells"]):
        for x, cell in enumerate(row):
            if cell is not None:
                _draw_cell(axes, x, y, cell)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(spec["x_label"], labelpad=8)
    axes.set_ylabel(spec["y_label"])
    return figure


def _draw_cell(axes: Axes, x: int, y: int, cell: MatrixCell) -> None:
    is_hatched = cell["step"] is None
    fill, ink = ("grey", "ink") if cell["step"] is None else STEPS[cell["step"]]
    corner, size = (x - 0.5 + INSET, y - 0.5 + INSET), 1 - 2 * INSET
    axes.add_patch(
        Rectangle(
            corner, size, size, facecolor="none" if is_hatched else colour(fill),
            edgecolor=colour(fill), hatch="////" if is_hatched else None, linewidth=0.0,
            gid=canvas.tip(cell["tip"]),
        )
    )  # fmt: skip
    if cell["framed"]:
        axes.add_patch(
            Rectangle(
                corner, size, size, facecolor="none", edgecolor=colour("orange"), linewidth=2.5
            )
        )
    behind = {"facecolor": colour("paper"), "edgecolor": "none", "pad": 2.5}
    axes.text(
        x, y, cell["words"], ha="center", va="center", color=colour(ink),
        bbox=behind if is_hatched else None, gid=canvas.tip(cell["tip"]),
    )  # fmt: skip
