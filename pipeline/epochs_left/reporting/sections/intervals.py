"""Whether intervals hold what they promise, and whether P(converges) means it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Mark,
    Table,
    column,
    fact,
    facts,
    figure,
    legend,
    panel,
    table,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import section
from epochs_left.reporting.ticks import share_ticks
from epochs_left.reporting.wording import CONFIDENCE, between, decimal, percent

CONVERGENCE = "convergence.json"
COLOURS: Mapping[str, tuple[str, Mark]] = {
    "oracle": ("purple", "open"),
    "causal": ("blue", "circle"),
}


@section(
    title="Intervals and “never”",
    question="Do the intervals hold the truth as often as they say? Is P(converges) calibrated?",
    order=70,
    reads=[scoring.SCORES, CONVERGENCE],
)
def intervals(results: Results) -> Sequence[Block]:
    """Show coverage against the promised level with the widths, then reliability and AUC."""
    scores = scoring.read_scores(results)
    return [*_coverage(scores), *_reliability(results.record(CONVERGENCE))]


def _coverage(scores: Sequence[Score]) -> list[Block]:
    covered = [score for score in _locked(scores, "coverage") if score.level is not None]
    if not covered:
        return []
    lines = {view: _coverage_line(view, covered, scores) for view, _ in scoring.VIEWS}
    drawn = {view: line for view, line in lines.items() if line["points"]}
    return [_coverage_figure(drawn, covered, scores)] if drawn else []


def _locked(scores: Sequence[Score], metric: str) -> list[Score]:
    """Return the scores of a metric over all runs, of the locked test where there are any."""
    found = scoring.known(scores, metric=metric, scope="all")
    return scoring.known(found, split=scoring.LOCKED_TEST) or found


def _coverage_line(view: str, covered: Sequence[Score], scores: Sequence[Score]) -> Line:
    own = scoring.known(covered, view=view)
    best = scoring.champion_of(scores, view)
    models = {score.model for score in own}
    model = best.model if best and best.model in models else min(models, default="")
    chosen = {score.level: score for score in own if score.model == model}
    points = [_coverage_point(chosen[level]) for level in sorted(chosen, key=lambda at: at or 0.0)]
    colour, mark = COLOURS[view]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _coverage_point(score: Score) -> LinePoint:
    estimate = score.estimate
    held = percent(estimate["value"], 1)
    return {
        "x": score.level or 0.0,
        "y": estimate["value"] or 0.0,
        "lower": estimate["lower"],
        "upper": estimate["upper"],
        "tip": f"{score.title}: promised {percent(score.level)}, held {held}",
    }


def _coverage_figure(
    lines: Mapping[str, Line], covered: Sequence[Score], scores: Sequence[Score]
) -> Figure:
    spoken = "; ".join(point["tip"] for line in lines.values() for point in line["points"])
    chart = line_chart(
        list(lines.values()),
        x_label="promised share",
        y_label="share of intervals that hold the truth",
        x_ticks=share_ticks(),
        y_ticks=share_ticks(),
        diagonal=True,
    )
    return figure(
        "coverage",
        "Promised and actual coverage",
        "On the dashed line intervals hold the truth as often as promised; below it they are too "
        "narrow. This is measured on unseen initialisations of the same family: for other families "
        "nothing is promised. The data have the widths beside the coverage.",
        [panel("Promised and actual coverage of prediction intervals", spoken, chart)],
        _coverage_table(covered, scores),
        key=legend(*((scoring.view_title(view), *COLOURS[view]) for view in lines)),
    )


def _coverage_table(covered: Sequence[Score], scores: Sequence[Score]) -> Table:
    widths = _locked(scores, "width")
    rows: list[list[Cell]] = []
    for score in covered:
        same = {"model": score.model, "view": score.view, "level": score.level}
        width = scoring.first(widths, **same, weighting=score.weighting)
        view, scale = scoring.view_title(score.view), width.scale if width else None
        rows.append([view, score.title, score.weighting, score.level, score.estimate,
                     width.estimate if width else None, scale])  # fmt: skip
    columns = [
        column("view", start=""),
        column("model", start=""),
        column("weighting", start="run"),
    ]
    columns += [column("promised", "percent"), column("held", "percent")]
    columns += [column("width", "brief"), column("scale of the width")]
    return table("data", "Coverage and width of prediction intervals.", columns, rows)


def _reliability(record: Row) -> list[Block]:
    area = scoring.estimate(record, "auc", "auc_lower", "auc_upper")
    bins = [mapping(row) for row in sequence(record.get("reliability"))]
    usable = [row for row in bins if number(row.get("predicted")) is not None]
    usable = [row for row in usable if number(row.get("observed")) is not None]
    blocks: list[Block] = []
    if area["value"] is not None:
        at = number(record.get("at_epoch"))
        when = "" if at is None else f" at epoch {at:.0f}"
        runs = f"{count(record.get('n_runs')):,} unresolved runs{when}"
        bounds = between(area["lower"], area["upper"])
        detail = f"{CONFIDENCE} {bounds}; {runs}" if bounds else runs
        brier = decimal(number(record.get("brier")), 3)
        blocks.append(
            facts(
                fact("AUC: will it converge at all?", decimal(area["value"], 3), detail),
                fact("Brier score", brier, "0 is perfect; .25 is a coin's answer"),
            )
        )
    return [*blocks, _reliability_figure(usable)] if usable else blocks


def _reliability_figure(bins: Sequence[Row]) -> Figure:
    points: list[LinePoint] = [_reliability_point(row) for row in bins]
    points.sort(key=lambda point: point["x"])
    line: Line = {
        "label": "", "colour": "blue", "dashed": False, "mark": "circle", "points": points,
    }  # fmt: skip
    chart = line_chart(
        [line],
        x_label="predicted P(converges)",
        y_label="share that converged",
        x_ticks=share_ticks(),
        y_ticks=share_ticks(),
        diagonal=True,
    )
    rows = [
        [number(row.get("predicted")), number(row.get("observed")), count(row.get("n"))]
        for row in bins
    ]
    columns = [
        column("predicted", "percent"),
        column("converged", "percent"),
        column("runs", "integer"),
    ]
    return figure(
        "reliability",
        "Does P(converges) mean what it says?",
        "Runs binned by the predicted probability that they converge by the cap. On the dashed "
        "line as many converge as predicted.",
        [panel("Reliability of P(converges)", "; ".join(p["tip"] for p in points), chart)],
        table("data", "Predicted and observed share of converged runs.", columns, rows),
    )


def _reliability_point(row: Row) -> LinePoint:
    predicted, observed = number(row.get("predicted")), number(row.get("observed"))
    tip = (
        f"predicted {percent(predicted)}, converged {percent(observed)}, {count(row.get('n'))} runs"
    )
    return {"x": predicted or 0.0, "y": observed or 0.0, "lower": None, "upper": None, "tip": tip}
