"""Which features the predictions rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    LegendEntry,
    Panel,
    column,
    figure,
    legend,
    panel,
    table,
)
from epochs_left.reporting.results import Results, Row, number, word
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import decimal

IMPORTANCE = "importance.json"
MOST_FEATURES = 12
COLOURS = ("blue", "vermillion", "green", "orange", "purple", "sky")


@section(
    title="What matters",
    question="Which features do the predictions rest on?",
    order=80,
    reads=[IMPORTANCE, scoring.SCORES],
)
def importance(results: Results) -> Sequence[Block]:
    """Rank features by the loss of R² when they are shuffled between runs, a panel a view."""
    rows = [row for row in results.rows(IMPORTANCE) if number(row.get("importance")) is not None]
    rows.sort(key=lambda row: -(number(row.get("importance")) or 0.0))
    views = [view for view, _ in scoring.VIEWS if any(row.get("view") == view for row in rows)]
    if not views:
        return []
    colours = _group_colours(rows)
    titles = scoring.titles(scoring.read_scores(results))
    columns = [column("view", start=""), column("model", start=""), column("feature")]
    columns += [column("group", start=""), column("unit"), column("drop in R²", "decimal")]
    return [
        figure(
            "features",
            "R² lost when a feature, or a group of them, is shuffled between runs",
            "Permutation importance on the locked test: the drop in run-weighted R² of log(1 + R), "
            "with 95\u202f% intervals. Features that say the same thing share their importance, so "
            "a low one may still be informative. The dozen largest of each view.",
            [_panel(view, rows, colours, titles) for view in views],
            table(
                "data", "Permutation importance.", columns, [_cells(row, titles) for row in rows]
            ),
            key=_key(colours),
        )
    ]


def _group_colours(rows: Sequence[Row]) -> dict[str, str]:
    """Return the colour of each feature group: the most important first, grey when they run out.

    One colour for all where each group has one row: then the labels say all there is to say.
    """
    sizes = Counter((word(row.get("view")), word(row.get("group"))) for row in rows)
    groups = dict.fromkeys(word(row.get("group")) for row in rows)
    if max(sizes.values()) == 1:
        return dict.fromkeys(groups, COLOURS[0])
    return {
        group: COLOURS[order] if order < len(COLOURS) else "grey"
        for order, group in enumerate(groups)
    }


def _key(colours: dict[str, str]) -> list[LegendEntry]:
    if len(set(colours.values())) == 1:
        return []
    shown = {group: shade for group, shade in colours.items() if shade != "grey"}
    if "grey" in colours.values():
        shown["other groups"] = "grey"
    return legend(*((group, shade, "circle") for group, shade in shown.items()))


def _panel(
    view: str, rows: Sequence[Row], colours: dict[str, str], titles: dict[str, str]
) -> Panel:
    own = [row for row in rows if row.get("view") == view][:MOST_FEATURES]
    drawn = [_dot_row(row, colours) for row in own]
    model = word(own[0].get("model"))
    chart = dot_chart("drop in R²", drawn, reference=0.0)
    title = f"{scoring.view_title(view)}: {titles.get(model, model)}"
    return panel(title, "; ".join(row["dots"][0]["tip"] for row in drawn), chart)


def _dot_row(row: Row, colours: dict[str, str]) -> DotRow:
    feature, colour = scoring.feature_label(row), colours[word(row.get("group"))]
    estimate = scoring.estimate(row, "importance")
    tip = f"{feature}: {decimal(estimate['value'], 3)}"
    return {
        "label": feature,
        "quiet": False,
        "dots": [{"estimate": estimate, "colour": colour, "mark": "circle", "tip": tip}],
    }


def _cells(row: Row, titles: dict[str, str]) -> list[Cell]:
    model = word(row.get("model"))
    return [
        scoring.view_title(word(row.get("view"))),
        titles.get(model, model),
        word(row.get("feature")),
        word(row.get("group")),
        word(row.get("unit"), missing="–"),
        scoring.estimate(row, "importance"),
    ]
