"""How the error falls while a run is watched."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    column,
    figure,
    panel,
    table,
)
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import section
from epochs_left.reporting.ticks import epoch_position, epoch_ticks, share_ticks
from epochs_left.reporting.wording import between_percent, integer, percent

ERRORS = "error_by_epoch.json"
COLOURS = ("blue", "vermillion", "green", "purple", "orange", "sky")
MOST_LINES = len(COLOURS)
CEILING = 2.0  # relative errors above 200 % end the axis: they are useless alike


@section(
    title="Error by epochs seen",
    question="How long must a run be watched before the answer is worth something?",
    order=60,
    reads=[ERRORS, scoring.SCORES],
)
def error_by_epoch(results: Results) -> Sequence[Block]:
    """Draw the median relative error at landmark epochs, a line a model, a panel a view."""
    rows = [row for row in results.rows(ERRORS) if _point(row) is not None]
    views = [view for view, _ in scoring.VIEWS if any(row.get("view") == view for row in rows)]
    return [_figure(rows, scoring.read_scores(results), views)] if views else []


def _figure(rows: Sequence[Row], scores: Sequence[Score], views: Sequence[str]) -> Figure:
    names = scoring.titles(scores)
    cells: list[list[Cell]] = [
        [
            scoring.view_title(word(row.get("view"))),
            names.get(word(row.get("model")), word(row.get("model"))),
            count(row.get("epochs_seen")),
            scoring.estimate(row, "median_relative_error"),
            count(row.get("n_runs")),
        ]
        for row in rows
    ]
    columns = [
        column("view", start=""),
        column("model", start=""),
        column("epochs seen", "integer"),
    ]
    columns += [column("median relative error", "percent"), column("runs", "integer")]
    return figure(
        "landmarks",
        "Median relative error after so many epochs",
        "At each landmark every run that is still going counts once; bands are 95\u202f% "
        "intervals. Runs that end early leave, so the runs at the right are the slow ones. "
        "Baselines are dashed. Values beyond 200\u202f% stand at the upper edge.",
        [_panel(view, rows, scores) for view in views],
        table("data", "Median |predicted − actual| / actual by epochs seen.", columns, cells),
    )


def _panel(view: str, rows: Sequence[Row], scores: Sequence[Score]) -> Panel:
    own = [row for row in rows if row.get("view") == view]
    lines = [
        _line(model, _colour_of(model, rows), own, scores)
        for model in _shown_models(own, view, scores)
    ]
    tops = [point["y"] for line in lines for point in line["points"]]
    y_ticks = share_ticks(0.2 if max(tops) <= 1 else 0.5, high=max(0.2, *tops))
    chart = line_chart(
        lines,
        x_label="epochs seen",
        y_label="median relative error",
        x_ticks=epoch_ticks(number(row.get("epochs_seen")) for row in own),
        y_ticks=y_ticks,
    )
    spoken = "; ".join(f"{line['label']}: {_ends(line)}" for line in lines if line["points"])
    return panel(scoring.view_title(view), spoken, chart)


def _shown_models(rows: Sequence[Row], view: str, scores: Sequence[Score]) -> list[str]:
    """Return the models to draw, best first by their score, the best baseline among them."""
    present = list(dict.fromkeys(word(row.get("model")) for row in rows))
    ranked = sorted(
        scoring.known(scoring.primary(scores), view=view, split=scoring.BY_LINEAGE),
        key=lambda score: -(score.estimate["value"] or 0.0),
    )
    models = [score.model for score in ranked if not score.baseline and score.model in present]
    baselines = [score.model for score in ranked if score.baseline and score.model in present]
    unranked = [model for model in present if model not in {*models, *baselines}]
    return [*models[:2], *baselines[:2], *models[2:3], *unranked][:MOST_LINES]


def _colour_of(model: str, rows: Sequence[Row]) -> str:
    """Return the colour of a model: the same in every panel, whatever its rank there."""
    models = sorted({word(row.get("model")) for row in rows})
    return COLOURS[models.index(model) % len(COLOURS)]


def _line(model: str, colour: str, rows: Sequence[Row], scores: Sequence[Score]) -> Line:
    own = [point for row in rows if word(row.get("model")) == model and (point := _point(row))]
    is_baseline = any(score.baseline for score in scores if score.model == model)
    return {
        "label": scoring.titles(scores).get(model, model),
        "colour": "grey" if is_baseline else colour,
        "dashed": is_baseline,
        "mark": "circle",
        "points": sorted(own, key=lambda point: point["x"]),
    }


def _point(row: Row) -> LinePoint | None:
    seen, error = number(row.get("epochs_seen")), scoring.estimate(row, "median_relative_error")
    if seen is None or seen < 0 or error["value"] is None:
        return None
    return {
        "x": epoch_position(seen),
        "y": min(error["value"], CEILING),
        "lower": _capped(error["lower"]),
        "upper": _capped(error["upper"]),
        "tip": f"{word(row.get('model'))}, {integer(seen)} epochs seen: {_spoken(error)}",
    }


def _capped(value: float | None) -> float | None:
    return None if value is None else min(value, CEILING)


def _spoken(error: Estimate) -> str:
    bounds = between_percent(error["lower"], error["upper"])
    return percent(error["value"]) + (f" ({bounds})" if bounds else "")


def _ends(line: Line) -> str:
    first, last = line["points"][0], line["points"][-1]
    return f"{first['tip'].rpartition(', ')[2]}, {last['tip'].rpartition(', ')[2]}"
