"""How well each family can be predicted, and how near that is to what is possible."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    column,
    figure,
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.scoring import CAUSAL, NOTHING, ORACLE, told
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.standings import (
    CEILING,
    CEILING_FILE,
    CEILING_LOOK,
    Standing,
    axis_floor,
    spoken_dots,
    standing_panel,
    standings,
)
from epochs_left.reporting.wording import CONFIDENCE, decimal

LOOKS = (*scoring.SPLITS, CEILING_LOOK)
EXPECTED = 0.95  # R²: seed 003, section 6.1


@section(
    title="Families",
    question="Does it work beyond the single neuron, and how much more could be had?",
    order=25,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (scoring.SCORES, CEILING_FILE)],
)
def families(results: Results) -> Sequence[Block]:
    """Show the best model of each family and view by split, and what a row-wise split adds."""
    found = standings(results)
    if not found:
        return []
    gained = [each for each in found if each.gap is not None]
    return [
        text(_answer(found)),
        points(_claim(found)),
        _split_figure(found),
        *([_gap_figure(gained)] if gained else []),
    ]


def _answer(found: Sequence[Standing]) -> str:
    view = CAUSAL if any(each.view == CAUSAL for each in found) else ORACLE
    ranked = sorted((each for each in found if each.view == view), key=_level)
    worst, best = ranked[0], ranked[-1]
    extent = f"from {_r2(worst)} in {worst.family} to {_r2(best)} in {best.family}"
    reached = extent if worst is not best else f"{_r2(best)} in {best.family}"
    words = f"R² by lineage, {scoring.view_title(view).lower()}, is {reached} ({CONFIDENCE}s)."
    far = [each for each in ranked if each.share is not None]
    if not far:
        return words
    return f"{words} {_room(min(far, key=lambda each: (each.share or NOTHING)['value'] or 0.0))}"


def _level(standing: Standing) -> float:
    return standing.best.estimate["value"] or 0.0


def _r2(standing: Standing) -> str:
    return told(standing.best.estimate)


def _room(standing: Standing) -> str:
    top = standing.figures[CEILING]
    left = (top["value"] or 0.0) - _level(standing)
    return (
        f"Most is left in {standing.family}, where {told(top)} is possible from the past alone: "
        f"{decimal(left)} more."
    )


def _claim(found: Sequence[Standing]) -> tuple[str, str]:
    measured = [
        f"{scoring.view_title(view)}: {', '.join(_verdict(each) for each in own)}."
        for view, _ in scoring.VIEWS
        if (own := [each for each in found if each.view == view])
    ]
    return (
        f"Claim: high accuracy, R² > {EXPECTED} (seed 003, section 6.1).",
        f"Measured by lineage. {' '.join(measured)}",
    )


def _verdict(standing: Standing) -> str:
    return f"{standing.family} {told(standing.best.estimate, 3)} {_holds(standing.best.estimate)}"


def _holds(measured: Estimate) -> str:
    """Return whether the claim holds: undecided where its interval has the bound inside."""
    value = measured["value"] or 0.0
    low, high = (
        measured[end] if measured[end] is not None else value for end in ("lower", "upper")
    )
    if (low or 0.0) > EXPECTED:
        return "holds"
    return "does not hold" if (high or 0.0) <= EXPECTED else "is undecided"


def _split_figure(found: Sequence[Standing]) -> Figure:
    views = [view for view, _ in scoring.VIEWS if any(each.view == view for each in found)]
    columns = [column("family", start=""), column("view", start=""), column("best model")]
    columns += [column(name, "decimal") for name, _, _ in LOOKS]
    columns += [column("gained row-wise, same rows", "decimal"), column("runs", "integer")]
    return figure(
        "splits",
        "The same model, scored three ways, below its ceiling",
        f"R² of log(1 + epochs remaining), each run weighing the same, with {CONFIDENCE}s over "
        "lineages; the axis does not begin at 0. The model of each view was chosen by its score "
        "by lineage; the locked test, a fifth of all lineages, is what no model was fitted on, and "
        "is drawn where it holds enough of them for an interval. Row-wise folds have rows of one "
        "run on both sides, and predict some of the rows only. The ceiling is what no predictor "
        "can exceed that sees the past alone: the share of the variance that is not due to the "
        "order of the examples still to come.",
        [standing_panel(view, found, LOOKS, floor=axis_floor(found)) for view in views],
        table("data", "R² by family and view.", columns, [_cells(each) for each in found]),
        key=legend(*LOOKS),
    )


def _cells(standing: Standing) -> list[Cell]:
    return [
        standing.family,
        scoring.view_title(standing.view),
        standing.best.title,
        *(standing.figures.get(name) for name, _, _ in LOOKS),
        standing.gap,
        standing.best.n_runs,
    ]


def _gap_figure(gained: Sequence[Standing]) -> Figure:
    names = dict.fromkeys(each.family for each in gained)
    rows = [_gap_row(name, [each for each in gained if each.family == name]) for name in names]
    views = [view for view, _ in scoring.VIEWS if any(each.view == view for each in gained)]
    columns = [column("family"), column("view", start=""), column("R² gained", "decimal")]
    cells = [[each.family, scoring.view_title(each.view), each.gap] for each in gained]
    spoken = "; ".join(f"{row['label']}: {spoken_dots(row['dots'])}" for row in rows)
    return figure(
        "gap",
        "What a row-wise split adds to the score",
        "R² row-wise less R² by lineage, on the rows that both splits predict, with paired "
        f"{CONFIDENCE}s over lineages. Right of 0 the row-wise split rewards remembering: the "
        "epochs of one run are almost copies of each other.",
        [panel("R² gained row-wise", f"{spoken}.", dot_chart("R² gained", rows, reference=0.0))],
        table("data", "R² gained row-wise on the same rows.", columns, cells),
        key=legend(*((scoring.view_title(view), *scoring.VIEW_LOOKS[view]) for view in views)),
    )


def _gap_row(family: str, gained: Sequence[Standing]) -> DotRow:
    return {"label": family, "quiet": False, "dots": [_gap_dot(each) for each in gained]}


def _gap_dot(standing: Standing) -> Dot:
    colour, mark = scoring.VIEW_LOOKS[standing.view]
    gap = standing.gap or NOTHING
    tip = f"{standing.family}, {scoring.view_title(standing.view).lower()} {told(gap, 3)}"
    return {"estimate": gap, "colour": colour, "mark": mark, "tip": tip}
