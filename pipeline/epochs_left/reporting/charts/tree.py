"""A decision tree from left to right: questions on its branches, answers at its leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypedDict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epochs_left.reporting.charts import canvas, chart
from epochs_left.reporting.palette import colour

LEAF_HEIGHT = 30.0  # px
MARGIN = 26.0  # px: the heading over the leaves
ANSWER = 0.55  # width of an answer, in units of a question's


class Node(TypedDict):
    """A question with its two branches, the upper one for yes; an answer has no branches."""

    label: str
    tip: str
    branches: list[Node]


class TreeChart(TypedDict):
    """A tree, and what its answers are called."""

    kind: Literal["tree"]
    answer: str
    root: Node


def tree_chart(answer: str, root: Node) -> TreeChart:
    """Return the specification of a tree."""
    return {"kind": "tree", "answer": answer, "root": root}


@chart
def tree(spec: TreeChart) -> Figure:
    """Draw a tree; answers stand below each other at the right."""
    n_leaves, depth = len(list(_leaves(spec["root"]))), _depth(spec["root"])
    figure, axes = canvas.new_chart(MARGIN + LEAF_HEIGHT * n_leaves)
    axes.set_axis_off()
    axes.set_xlim(0, depth + ANSWER)
    axes.set_ylim(n_leaves - 0.5, -0.5 - MARGIN / LEAF_HEIGHT)
    _draw(axes, spec["root"], 0, 0, depth)
    axes.annotate(
        spec["answer"], (depth + ANSWER, -0.5), ha="right", va="bottom",
        fontsize=canvas.SMALL, color=colour("muted"),
    )  # fmt: skip
    return figure


def _leaves(node: Node) -> Iterator[Node]:
    if not node["branches"]:
        yield node
    for branch in node["branches"]:
        yield from _leaves(branch)


def _depth(node: Node) -> int:
    return max((1 + _depth(branch) for branch in node["branches"]), default=0)


def _draw(axes: Axes, node: Node, at: int, first: int, depth: int) -> float:
    """Draw a node at a depth, its first leaf in row ``first``; return the row that it stands in."""
    if not node["branches"]:
        _draw_answer(axes, node, at, first, depth)
        return float(first)
    rows, below = [], first
    for branch in node["branches"]:
        rows.append(_draw(axes, branch, at + 1, below, depth))
        below += len(list(_leaves(branch)))
    row = (rows[0] + rows[-1]) / 2
    _line(axes, [at, at + 1], [row, row])
    _line(axes, [at + 1, at + 1], [rows[0], rows[-1]])
    axes.annotate(
        canvas.shortened(node["label"], 18), (at, row), (4, 4), textcoords="offset points",
        fontsize=canvas.SMALL, gid=canvas.tip(node["tip"]),
    )  # fmt: skip
    return row


def _draw_answer(axes: Axes, node: Node, at: int, row: int, depth: int) -> None:
    _line(axes, [at, depth], [row, row])
    style = canvas.mark_style("circle", "blue")
    axes.plot([depth], [row], gid=canvas.tip(node["tip"]), clip_on=False, **style)
    axes.annotate(
        node["label"], (depth, row), (9, 0), textcoords="offset points", va="center",
        fontsize=canvas.FONT_SIZE, annotation_clip=False,
    )  # fmt: skip


def _line(axes: Axes, x: list[int], y: list[float] | list[int]) -> None:
    axes.plot(x, y, color=colour("grey"), linewidth=1.5, solid_capstyle="round")
