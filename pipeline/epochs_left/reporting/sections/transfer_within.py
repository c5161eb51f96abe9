"""Optimizers, learning rates, tasks and networks that were left out of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Mark,
    column,
    figure,
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.estimates import is_below, measured, said, value_of
from epochs_left.reporting.results import Results, Row, count, mapping, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import CONFIDENCE, decimal, joined

TRANSFER = "transfer.json"
#: Lowest R² on the axis; what is lower is written at its edge.
FLOOR = -0.4
#: Groups in the picture, those that lose most; the data have all.
MOST_ROWS = 12
LOOKS: tuple[tuple[str, str, Mark], ...] = (
    ("never in training", "vermillion", "diamond"),
    ("in training, other lineages", "blue", "circle"),
)
#: What dimensions of transfer.json are called, where it is not their own name.
NAMES = {"lr_bin": "learning rate"}


class Claim(NamedTuple):
    """Words of a seed on a dimension; ``differs`` if they say that its groups are not alike."""

    words: str
    differs: bool


CLAIMS: Mapping[str, Claim] = {
    "optimizer": Claim(
        "Seed 003 (8.1): “Vanilla SGD behavior differs from Adam/momentum-based optimizers”.", True
    ),
    "activation": Claim(
        "Seed 003 (8.3): “Will patterns hold for other activation functions?”", False
    ),
    "architecture": Claim("Seed 003 (8.3): “How do results scale with network size?”", False),
}


class Group(NamedTuple):
    """R² on a group of runs, left out of training and not."""

    dimension: str
    name: str
    left_out: Estimate
    seen: Estimate
    n_runs: int
    n_lineages: int

    @property
    def fails(self) -> bool:
        """Whether leaving it out costs more than both intervals allow for."""
        return is_below(self.left_out, self.seen)


@section(
    title="Transfer within a family",
    question="Does it hold for an optimizer, a learning rate, a task or a network that is new?",
    order=76,
    reads=[TRANSFER],
    of=EACH,
)
def transfer_within(results: Results) -> Sequence[Block]:
    """Show R² on groups of runs with and without the group in training."""
    groups = [group for row in results.rows(TRANSFER) if (group := _group(row))]
    if not groups:
        return []
    return [text(_answer(groups)), points(*_by_dimension(groups)), _figure(groups)]


def _group(row: Row) -> Group | None:
    left_out, seen = measured(row, "held_out"), measured(row, "by_lineage")
    if left_out["value"] is None or seen["value"] is None:
        return None
    dimension = word(row.get("dimension"))
    held_out = mapping(row.get("held_out"))
    return Group(
        NAMES.get(dimension, dimension), word(row.get("group")), left_out, seen,
        count(held_out.get("n_runs")), count(held_out.get("n_lineages")),
    )  # fmt: skip


def _answer(groups: Sequence[Group]) -> str:
    failing = [group for group in groups if group.fails]
    worst = min(groups, key=_gain)
    loss = (
        f"the largest loss is that of {worst.dimension} {worst.name}: R² {said(worst.left_out)} "
        f"when it was never in training, {said(worst.seen)} when it was ({CONFIDENCE}s)."
    )
    if not failing:
        return f"Yes: none of the {len(groups)} groups is predicted clearly worse; {loss}"
    lost = sum(value_of(group.left_out) <= 0 for group in groups)
    aside = f" For {lost} the mean of the group would do as well or better." if lost else ""
    start = "Not always" if len(failing) < len(groups) else "No"
    verb = "are" if len(failing) > 1 else "is"
    return (
        f"{start}: {len(failing)} of the {len(groups)} groups {verb} predicted clearly worse "
        f"(the two intervals do not meet); {loss}{aside}"
    )


def _gain(group: Group) -> float:
    return value_of(group.left_out) - value_of(group.seen)


def _by_dimension(groups: Sequence[Group]) -> list[tuple[str, str]]:
    names = dict.fromkeys(group.dimension for group in groups)
    return [_point(name, [group for group in groups if group.dimension == name]) for name in names]


def _point(dimension: str, groups: Sequence[Group]) -> tuple[str, str]:
    failing = [group for group in groups if group.fails]
    claim = CLAIMS.get(dimension)
    found = f"{len(groups) - len(failing)} of {len(groups)} groups are predicted as well unseen"
    if failing:
        found += f"; not so {joined([_loss(group) for group in failing])}"
    if claim is None:
        return f"{dimension[:1].upper()}{dimension[1:]}.", f"{found}."
    holds = bool(failing) == claim.differs
    verdict = "holds" if holds else "does not hold"
    return claim.words, f"Measured by {dimension}: {found}: {verdict}."


def _loss(group: Group) -> str:
    return (
        f"{group.name} ({decimal(group.left_out['value'])} against {decimal(group.seen['value'])})"
    )


def _figure(groups: Sequence[Group]) -> Figure:
    drawn = sorted(groups, key=_gain)[:MOST_ROWS]
    chart = dot_chart(
        "R² of log epochs",
        [_row(group) for group in drawn],
        floor=min(0.0, max(FLOOR, min(value_of(group.left_out) for group in drawn) - 0.1)),
        ceiling=1.02,
        reference=0.0,
    )
    spoken = "; ".join(dot["tip"] for row in chart["rows"][:3] for dot in row["dots"])
    columns = [
        column("dimension", start=""), column("group"), column(LOOKS[0][0], "decimal"),
        column(LOOKS[1][0], "decimal"), column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [list(group) for group in groups]
    return figure(
        "groups",
        "R² on groups of runs that were never in training",
        f"{_extent(len(drawn), len(groups))}, the largest loss on top. Groups of different "
        "dimensions share runs, and may fail together. Each group is predicted twice: by a model "
        "that has seen no run of it, and by one that has seen runs of it from other lineages "
        "(three folds by lineage). The lineage that is scored is in neither. Lines are "
        f"{CONFIDENCE}s over lineages; left of 0 the mean of the group would do better. Gradient "
        "boosting on causal features, in a sample of runs outside the locked test set; fifths of "
        "the learning rate are by kind of optimizer, the first the lowest.",
        [panel("R² of log epochs", f"The largest losses: {spoken}", chart)],
        table("data", "R² of log(1 + R) on each group.", columns, cells),
        key=legend(*LOOKS),
    )


def _extent(n_drawn: int, n_groups: int) -> str:
    if n_drawn == n_groups:
        return f"All {n_groups} groups"
    return f"The {n_drawn} groups that lose most of the {n_groups} in the data"


def _row(group: Group) -> DotRow:
    dots = [
        _dot(group, figure, look)
        for figure, look in zip((group.left_out, group.seen), LOOKS, strict=True)
    ]
    return {"label": f"{group.dimension}: {group.name}", "quiet": False, "dots": dots}


def _dot(group: Group, figure: Estimate, look: tuple[str, str, Mark]) -> Dot:
    label, colour, mark = look
    tip = f"{group.dimension} {group.name}, {label}: {said(figure)}"
    return {"estimate": figure, "colour": colour, "mark": mark, "tip": tip}
