"""Where the best model of each family stands: by every split, and below what is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import Estimate, Mark, Panel, panel
from epochs_left.reporting.results import Results, mapping
from epochs_left.reporting.scoring import CAUSAL, LOCKED_TEST, NOTHING, Score, told
from epochs_left.reporting.sections import FAMILIES

CEILING_FILE = "ceiling.json"
CEILING = "ceiling"
NEVER_SEEN = "family never seen"

#: A name of `Standing.figures`, its colour and its mark.
Look = tuple[str, str, Mark]
#: What stands beside the splits of `scoring.SPLITS`.
CEILING_LOOK: Look = (CEILING, "grey", "square")
NEVER_SEEN_LOOK: Look = (NEVER_SEEN, "purple", "open")

LEAST_FLOOR = -0.5  # R² at which an axis begins at the latest


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The best model of a family in one view.

    Attributes
    ----------
    best
        The primary score that it was chosen by.
    figures
        Its R² by split, and what it compares with, by name.
    gap
        How much higher it scores row-wise, on the rows that both splits predict.
    """

    family: str
    view: str
    best: Score
    figures: Mapping[str, Estimate]
    gap: Estimate | None

    @property
    def share(self) -> Estimate | None:
        """Its R² as a share of the ceiling; the bounds are those of the ceiling alone."""
        reached, top = self.best.estimate["value"], self.figures.get(CEILING)
        if reached is None or top is None or not top["value"]:
            return None
        low, high = (reached / at if at else None for at in (top["upper"], top["lower"]))
        return {"value": reached / top["value"], "lower": low, "upper": high}


def standings(results: Results) -> list[Standing]:
    """Return the best model of each family and view that has one, family by family.

    The ceiling (`statistics.ceiling`) binds models that see the past alone.
    """
    found: list[Standing | None] = []
    for family in FAMILIES:
        own = results.below(family)
        scores = scoring.read_scores(own, scope="all")
        top = scoring.estimate(mapping(own.record(CEILING_FILE).get("ceiling")), "estimate")
        beside = {CAUSAL: {CEILING: top}} if top["value"] is not None else {}
        found += [_standing(family, view, scores, beside) for view, _ in scoring.VIEWS]
    return [standing for standing in found if standing is not None]


def _standing(
    family: str,
    view: str,
    scores: Sequence[Score],
    beside: Mapping[str, Mapping[str, Estimate]],
) -> Standing | None:
    best = scoring.champion_of(scores, view)
    if best is None:
        return None
    own = scoring.known(scoring.primary(scores), model=best.model, view=view)
    figures = {score.split: score.estimate for score in own} | dict(beside.get(view, {}))
    gap = scoring.gap(scores, best)
    return Standing(family=family, view=view, best=best, figures=figures, gap=gap)


def standing_panel(
    view: str, found: Sequence[Standing], looks: Sequence[Look], *, floor: float
) -> Panel:
    """Return the picture of one view: a row a family, a dot a figure that it has.

    Rows are as high as they are in the other view. A locked test of too few lineages for an
    interval is not drawn.
    """
    rows: list[DotRow] = [
        {
            "label": each.family,
            "quiet": False,
            "dots": [_dot(each, look) for look in looks],
        }
        for each in found
        if each.view == view
    ]
    spoken = "; ".join(f"{row['label']}: {spoken_dots(row['dots'])}" for row in rows)
    chart = dot_chart("R² of log(1 + R)", rows, floor=floor, ceiling=1.02)
    return panel(scoring.view_title(view), f"{spoken}.", chart)


def axis_floor(found: Sequence[Standing]) -> float:
    """Return where an axis of R² begins: the tenth below the lowest bound, but not too low."""
    ends = [
        at
        for each in found
        for figures in each.figures.values()
        for at in (figures["value"], figures["lower"])
        if at is not None
    ]
    return max(LEAST_FLOOR, min(ends) // 0.1 * 0.1)


def _dot(standing: Standing, look: Look) -> Dot:
    name, colour, mark = look
    known = standing.figures.get(name, NOTHING)
    shown = NOTHING if name == LOCKED_TEST and known["lower"] is None else known
    tip = f"{standing.family}, {name}: {told(shown, 3)}"
    return {"estimate": shown, "colour": colour, "mark": mark, "tip": tip}


def spoken_dots(dots: Sequence[Dot]) -> str:
    """Return the tips of a row of dots as one sentence, without the name of the row."""
    known = [dot for dot in dots if dot["estimate"]["value"] is not None]
    return ", ".join(dot["tip"].partition(", ")[2] for dot in known)
