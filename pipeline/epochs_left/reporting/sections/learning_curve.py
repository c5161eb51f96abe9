"""Whether more runs would make the predictions better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log10

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    Table,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import said, value_of
from epochs_left.reporting.ladders import count_ticks
from epochs_left.reporting.results import Results, Row, count, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    VIEWS,
    estimate,
    family_legend,
    view_title,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import CONFIDENCE, decimal, joined

CURVE = "learning_curve.json"
#: The view in which a reader's own run is.
CAUSAL = "causal"
STEP = 0.2  # of R², between two ticks

Curves = Mapping[str, Sequence[Row]]


@section(
    title="Learning curves",
    question="Would more runs make the predictions better?",
    order=79,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (CURVE,)],
)
def learning_curve(results: Results) -> Sequence[Block]:
    """Draw R² against the number of lineages trained on, a panel a view, a line a family."""
    found = {name: _known(results.below(name).rows(CURVE)) for name in FAMILIES}
    curves = {name: rows for name, rows in found.items() if rows}
    if not curves:
        return []
    return [text(_answer(curves)), _figure(curves)]


def _known(rows: Sequence[Row]) -> list[Row]:
    views = dict(VIEWS)
    known = [row for row in rows if row.get("view") in views and _r2(row)["value"] is not None]
    return sorted((row for row in known if _size(row) > 0), key=_size)


def _r2(row: Row) -> Estimate:
    return estimate(row, "estimate")


def _size(row: Row) -> int:
    return count(row.get("n_training_lineages"))


def _of_view(rows: Iterable[Row], view: str) -> list[Row]:
    return [row for row in rows if row.get("view") == view]


def _answer(curves: Curves) -> str:
    """Say where the last step of the curve still helped, and what it brought."""
    steps = {
        name: pair
        for name, rows in curves.items()
        for pair in list(pairwise(_of_view(rows, CAUSAL)))[-1:]
    }
    rising = [name for name, (before, after) in steps.items() if _rose(before, after)]
    still = [name for name in steps if name not in rising]
    sentences = []
    if rising:
        sentences.append(f"Yes for {joined(rising)}: {_steps(rising, steps)}.")
    if still:
        sentences.append(
            f"The gain is within the uncertainty for {joined(still)}: {_steps(still, steps)}."
        )
    if not sentences:
        return "Too few lineages to say."
    sentences.append(
        "R² of log epochs, past alone; yes where the value before the last step lies below the "
        f"{CONFIDENCE} (in brackets) of the value after it."
    )
    return " ".join(sentences)


def _rose(before: Row, after: Row) -> bool:
    bound = _r2(after)["lower"]
    return bound is not None and value_of(_r2(before)) < bound


def _steps(names: Sequence[str], steps: Mapping[str, tuple[Row, Row]]) -> str:
    return joined([f"{name} from {_told(*steps[name])}" for name in names])


def _told(before: Row, after: Row) -> str:
    return (
        f"{decimal(_r2(before)['value'])} with {_size(before)} lineages to {said(_r2(after))} "
        f"with {_size(after)}"
    )


def _figure(curves: Curves) -> Figure:
    views = [view for view, _ in VIEWS if any(_of_view(rows, view) for rows in curves.values())]
    return figure(
        "r2",
        "R² by the number of lineages trained on",
        "Each point: the same runs are predicted under the same folds by lineage, from a share of "
        f"the training lineages (an eighth to all); bands are {CONFIDENCE}s over the lineages "
        "predicted. Gradient boosting in a sample of runs outside the locked test set. A lineage "
        "is an initialisation with all its runs; values below the axis are in the data.",
        [_panel(view, curves) for view in views],
        _table(curves),
        key=family_legend(curves),
    )


def _panel(view: str, curves: Curves) -> Panel:
    lines = [line for name, rows in curves.items() if (line := _line(name, _of_view(rows, view)))]
    sizes = [_size(row) for rows in curves.values() for row in rows]
    chart = line_chart(
        lines,
        x_label="lineages trained on",
        y_label="R² of log epochs",
        x_ticks=count_ticks(min(sizes), max(sizes)),
        y_ticks=[{"at": STEP * i, "label": decimal(STEP * i, 1)} for i in range(6)],
    )
    spoken = "; ".join(point["tip"] for line in lines for point in line["points"])
    return panel(view_title(view), spoken, chart)


def _line(name: str, rows: Sequence[Row]) -> Line | None:
    points = [_point(name, row) for row in rows if value_of(_r2(row)) >= 0]
    if not points:
        return None
    colour, mark = FAMILY_LOOKS[name]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _point(name: str, row: Row) -> LinePoint:
    r2 = _r2(row)
    return {
        "x": log10(_size(row)),
        "y": value_of(r2),
        "lower": r2["lower"],
        "upper": r2["upper"],
        "tip": f"{name}, {_size(row)} lineages: {said(r2)}",
    }


def _table(curves: Curves) -> Table:
    columns = [
        column("family", start=""), column("view", start=""),
        column("lineages trained on", "integer"), column("R² of log epochs", "decimal"),
        column("runs predicted", "integer"), column("lineages predicted", "integer"),
    ]  # fmt: skip
    cells: list[list[Cell]] = [
        [
            name,
            view_title(word(row.get("view"))),
            _size(row),
            _r2(row),
            *(count(row.get(key)) for key in ("n_runs", "n_lineages")),
        ]
        for name, rows in curves.items()
        for row in rows
    ]
    return table("data", "R² of log(1 + R) by lineage.", columns, cells)
