"""How the error falls while a run is watched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Panel,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.scoring import CAUSAL, Score, told_percent
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import Tick, epoch_position, epoch_ticks
from epochs_left.reporting.wording import CONFIDENCE, integer, percent

ERRORS = "error_by_epoch.json"
MOST_MODELS, MOST_BASELINES = 2, 2  # lines of a panel
COLOURS = ("blue", "vermillion", "green", "purple")  # enough for the models of both panels
LOWEST, HIGHEST = 0.001, 2.0  # relative errors beyond end the axis: they are alike to a reader
#: Where ticks may stand, as relative errors.
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
MOST_TICKS = 6
LATER = 10  # epochs seen at which the error is compared with that at the first landmark


@dataclass(frozen=True)
class Style:
    """How a model is named and drawn."""

    title: str
    colour: str
    is_baseline: bool


@section(
    title="Error by epochs seen",
    question="How long must a run be watched before the answer is worth something?",
    order=60,
    reads=[ERRORS, scoring.SCORES],
    of=EACH,
)
def error_by_epoch(results: Results) -> Sequence[Block]:
    """Draw the median relative error at landmark epochs, a line a model, a panel a view."""
    rows = [row for row in results.rows(ERRORS) if _point(row) is not None]
    scores = scoring.read_scores(results, scope="all")
    shown = {view: _shown_models(rows, view, scores) for view, _ in scoring.VIEWS}
    shown = {view: models for view, models in shown.items() if models}
    if not shown:
        return []
    view = CAUSAL if CAUSAL in shown else next(iter(shown))
    return [text(_answer(rows, view, shown[view], scores)), _figure(rows, scores, shown)]


def _answer(rows: Sequence[Row], view: str, models: Sequence[str], scores: Sequence[Score]) -> str:
    """Compare the error of the best model early and later, and with that of its rivals."""
    names = scoring.titles(scores)
    best = _of_model(rows, view, models[0])
    early, late = best[0], next((row for row in best if _seen(row) >= LATER), best[-1])
    words = (
        f"{scoring.view_title(view)}, a typical prediction of {names.get(models[0], models[0])} is "
        f"off by {_told(early)} {_when(early)}"
    )
    if late is early:
        return f"{words} ({CONFIDENCE})."
    falls = "and" if _error(late) < _error(early) else "and, among the runs still going, no less:"
    words = f"{words} {falls} by {_told(late)} {_when(late)} ({CONFIDENCE}s)."
    return " ".join([words, *_rivals(rows, view, models, late, names)])


def _rivals(
    rows: Sequence[Row], view: str, models: Sequence[str], late: Row, names: dict[str, str]
) -> list[str]:
    """Name whatever is more exact than the best model for at least half of the runs."""
    others = [
        row
        for model in models[1:]
        for row in _of_model(rows, view, model)
        if _seen(row) == _seen(late) and _error(row) < _error(late)
    ]
    listed = [f"{names.get(word(row.get('model')), 'one')}, {_told(row)}" for row in others]
    if not listed:
        return []
    return [
        f"Smaller there: {'; '.join(listed)}. A typical error is that of the middle run; the best "
        "model is the best over all of them (Leaderboard)."
    ]


def _of_model(rows: Sequence[Row], view: str, model: str) -> list[Row]:
    own = [row for row in rows if row.get("view") == view and word(row.get("model")) == model]
    return sorted(own, key=_seen)


def _seen(row: Row) -> int:
    return count(row.get("epochs_seen"))


def _error(row: Row) -> float:
    return number(row.get("median_relative_error")) or 0.0


def _told(row: Row) -> str:
    return told_percent(scoring.estimate(row, "median_relative_error"), 1)


def _when(row: Row) -> str:
    seen = _seen(row)
    return f"after {integer(seen)} epoch{'s' if seen > 1 else ''}" if seen else "at initialisation"


def _figure(rows: Sequence[Row], scores: Sequence[Score], shown: dict[str, list[str]]) -> Figure:
    drawn = {
        view: {model: _of_model(rows, view, model) for model in models}
        for view, models in shown.items()
    }
    every = [row for models in drawn.values() for own in models.values() for row in own]
    styles, ticks = _styles(shown, scores), _ticks(every)
    columns = [
        column("view", start=""), column("model", start=""), column("epochs seen", "integer"),
        column("median relative error", "percent"), column("runs", "integer"),
    ]  # fmt: skip
    cells = [
        _cells(row, styles[model].title)
        for models in drawn.values()
        for model, own in models.items()
        for row in own
    ]
    return figure(
        "landmarks",
        "Median relative error after so many epochs",
        "At each landmark every run of the locked test that is still going counts once; bands are "
        f"{CONFIDENCE}s over lineages. Runs that end early leave, so the runs at the right are the "
        f"slow ones. Both axes are logarithmic; errors below {percent(LOWEST, 1)} or above "
        f"{percent(HIGHEST)} stand at the edge. Dashed: the best simple rules, without bands.",
        [_panel(view, models, styles, ticks) for view, models in drawn.items()],
        table("data", "Median |predicted − actual| / actual by epochs seen.", columns, cells),
    )


def _styles(shown: dict[str, list[str]], scores: Sequence[Score]) -> dict[str, Style]:
    """Return the looks of each model that is drawn: the same in every panel."""
    names, baselines = scoring.titles(scores), {each.model for each in scores if each.baseline}
    drawn = list(dict.fromkeys(model for models in shown.values() for model in models))
    colours = dict(zip([each for each in drawn if each not in baselines], COLOURS, strict=False))
    return {
        model: Style(names.get(model, model), colours.get(model, "grey"), model in baselines)
        for model in drawn
    }


def _cells(row: Row, title: str) -> list[Cell]:
    return [
        scoring.view_title(word(row.get("view"))),
        title,
        _seen(row),
        scoring.estimate(row, "median_relative_error"),
        count(row.get("n_runs")),
    ]


def _ticks(rows: Sequence[Row]) -> list[Tick]:
    """Return ticks that enclose all errors, tens alone where there would be too many."""
    errors = [min(max(_error(row), LOWEST), HIGHEST) for row in rows]
    low = max(at for at in TICKS if at <= min(errors))
    high = min(at for at in TICKS if at >= max(errors) and at > low)
    within = [at for at in TICKS if low <= at <= high]
    if len(within) > MOST_TICKS:
        tens = [at for at in within if at in (0.001, 0.01, 0.1, 1.0)]
        within = sorted({low, *tens, high})
    return [{"at": math.log10(at), "label": percent(at, 1 if at < 0.01 else 0)} for at in within]


def _panel(
    view: str,
    models: dict[str, list[Row]],
    styles: dict[str, Style],
    y_ticks: Sequence[Tick],
) -> Panel:
    lines = [_line(own, styles[model]) for model, own in models.items()]
    chart = line_chart(
        lines,
        x_label="epochs seen",
        y_label="median relative error",
        x_ticks=epoch_ticks(_seen(row) for own in models.values() for row in own),
        y_ticks=y_ticks,
    )
    spoken = "; ".join(f"{line['label']}: {_ends(line)}" for line in lines)
    return panel(scoring.view_title(view), spoken, chart)


def _line(own: Sequence[Row], style: Style) -> Line:
    return {
        "label": style.title,
        "colour": style.colour,
        "dashed": style.is_baseline,
        "mark": "" if style.is_baseline else "circle",
        "points": [point for row in own if (point := _point(row)) is not None],
    }


def _shown_models(rows: Sequence[Row], view: str, scores: Sequence[Score]) -> list[str]:
    """Return the models to draw, best first by lineage, then the best baselines."""
    present = {word(row.get("model")): None for row in rows if row.get("view") == view}
    ranked = sorted(
        scoring.known(scoring.primary(scores), view=view, split=scoring.BY_LINEAGE),
        key=lambda score: -(score.estimate["value"] or 0.0),
    )
    models = [score.model for score in ranked if not score.baseline and score.model in present]
    baselines = [score.model for score in ranked if score.baseline and score.model in present]
    unranked = [model for model in present if model not in {*models, *baselines}]
    return [*[*models, *unranked][:MOST_MODELS], *baselines[:MOST_BASELINES]]


def _point(row: Row) -> LinePoint | None:
    seen, error = number(row.get("epochs_seen")), scoring.estimate(row, "median_relative_error")
    if seen is None or seen < 0 or error["value"] is None:
        return None
    return {
        "x": epoch_position(seen),
        "y": _place(error["value"]),
        "lower": None if error["lower"] is None else _place(error["lower"]),
        "upper": None if error["upper"] is None else _place(error["upper"]),
        "tip": f"{_when(row)}: {told_percent(error)}",
    }


def _place(error: float) -> float:
    """Return the place of a relative error on the logarithmic axis."""
    return math.log10(min(max(error, LOWEST), HIGHEST))


def _ends(line: Line) -> str:
    return ", ".join(point["tip"] for point in (line["points"][0], line["points"][-1]))
