"""All models against each other and against the baselines, under three splits."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Column,
    Estimate,
    Figure,
    Form,
    Panel,
    Table,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import between, decimal

FLOOR = -0.25  # R² below it is drawn at the edge: worse than the mean is enough to know
#: Further columns: (label, form, metric, scale), on the locked test; None takes any scale.
LOCKED_COLUMNS: tuple[tuple[str, Form, str, str | None], ...] = (
    ("R² of epochs, locked test", "decimal", "r2", "epochs"),
    ("MAE (epochs)", "brief", "mae", "epochs"),
    ("median relative error", "percent", "median_relative_error", None),
)

BY_LINEAGE_AT = 3  # column by which the table is sorted at first


@section(
    title="Leaderboard",
    question="Which model predicts best, and does it beat the simple ones?",
    order=30,
    reads=[scoring.SCORES],
)
def leaderboard(results: Results) -> Sequence[Block]:
    """Rank the models of both views; the table has every scope and weighting."""
    scores = scoring.read_scores(results)
    if not scoring.known(scores):
        return []
    panels = [_panel(view, scores) for view, _ in scoring.VIEWS if _ranked(scores, view)]
    words = text(
        "A model has to beat the baselines, marked with a ring (○) in front of their names and "
        "greyed: they know the learning rate, a formula or a curve fit, and nothing else, so that "
        "there are none where the end point is known. R² is 1 for perfect predictions and 0 for a "
        "model that always says the average."
    )
    board = _board(scores)
    return [words, _dot_figure(panels, scores), board] if panels else [board]


def _ranked(scores: Sequence[Score], view: str) -> list[Score]:
    """Return one primary score a model of a view, best first by its most honest split but one."""
    best: dict[str, Score] = {}
    for split in (scoring.BY_LINEAGE, scoring.LOCKED_TEST, scoring.ROW_WISE):
        for score in scoring.known(scoring.primary(scores), view=view, split=split):
            best.setdefault(score.model, score)
    return sorted(best.values(), key=lambda score: -(score.estimate["value"] or 0.0))


def _panel(view: str, scores: Sequence[Score]) -> Panel:
    rows: list[DotRow] = [
        {
            "label": f"○ {score.title}" if score.baseline else score.title,
            "quiet": score.baseline,
            "dots": _dots(scoring.primary(scores), score),
        }
        for score in _ranked(scores, view)
    ]
    ranking = "; ".join(f"{row['label']}: {_spoken(row['dots'])}" for row in rows)
    chart = dot_chart("R² of log(1 + R)", rows, floor=FLOOR, ceiling=1.02, reference=0.0)
    return panel(scoring.view_title(view), f"Best first. {ranking}.", chart)


def _dots(scores: Sequence[Score], of: Score) -> list[Dot]:
    dots: list[Dot] = []
    for split, colour, mark in scoring.SPLITS:
        score = scoring.first(scores, model=of.model, view=of.view, split=split)
        if score is not None:
            bounds = between(score.estimate["lower"], score.estimate["upper"])
            value = decimal(score.estimate["value"])
            tip = f"{of.title}, {split}: {value}" + (f" ({bounds})" if bounds else "")
            dots.append({"estimate": score.estimate, "colour": colour, "mark": mark, "tip": tip})
    return dots


def _spoken(dots: Sequence[Dot]) -> str:
    return ", ".join(dot["tip"].partition(", ")[2] for dot in dots)


def _dot_figure(panels: Sequence[Panel], scores: Sequence[Score]) -> Figure:
    rows = [
        [scoring.view_title(view), score.title, "baseline" if score.baseline else "model"]
        + [_primary_estimate(scores, score, split) for split, _, _ in scoring.SPLITS]
        for view, _ in scoring.VIEWS
        for score in _ranked(scores, view)
    ]
    columns = [column("view", start=""), column("model"), column("kind", start="")]
    columns += [column(f"R² {split}", "decimal") for split, _, _ in scoring.SPLITS]
    return figure(
        "ranking",
        "Share of the variation explained, by model and split",
        "Each run weighs the same; lines are 95\u202f% intervals (BCa bootstrap over lineages). "
        "Where the open row-wise mark lies far to the right of the others, the score is memory, "
        "not prediction. It rests on some of the rows only, at random; the table below has the "
        "difference on the rows that both splits predict. "
        f"Scores below {decimal(FLOOR)} stand at the edge with their value.",
        panels,
        table("data", "R² of log(1 + epochs remaining) by model and split.", columns, rows),
        key=scoring.SPLIT_LEGEND,
    )


def _primary_estimate(scores: Sequence[Score], of: Score, split: str) -> Estimate | None:
    same = {"model": of.model, "view": of.view, "split": split}
    score = scoring.first(scoring.primary(scores), **same)
    return score.estimate if score else None


def _board(scores: Sequence[Score]) -> Table:
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scoring.known(scores):
        key = (score.view, score.model, score.scope, score.weighting)
        groups.setdefault(key, []).append(score)
    rows = [_board_row(group) for group in groups.values()]
    rows.sort(key=lambda row: -_value(row[BY_LINEAGE_AT]))
    return table("table", "Every model, view, scope and weighting.", _board_columns(), rows)


def _value(cell: Cell) -> float:
    value = cell["value"] if isinstance(cell, dict) else None
    return float("-inf") if value is None else value


def _board_columns() -> list[Column]:
    return [
        column("model"),
        column("view", start=""),
        *(column(f"R² of log, {split}", "decimal") for split, _, _ in scoring.SPLITS),
        column("row-wise less by lineage, same rows", "decimal"),
        *(column(label, form) for label, form, _, _ in LOCKED_COLUMNS),
        column("test lineages", "integer"),
        column("kind", start=""),
        column("scope", start="all"),
        column("weighting", start="run"),
    ]


def _board_row(group: Sequence[Score]) -> list[Cell]:
    of_log = scoring.known(group, metric="r2", scale="log")
    by_split = [scoring.first(of_log, split=split) for split, _, _ in scoring.SPLITS]
    locked = scoring.known(group, split=scoring.LOCKED_TEST)
    return [
        group[0].title,
        scoring.view_title(group[0].view),
        *(score.estimate if score else None for score in by_split),
        scoring.gap(group, group[0]),
        *(_locked_estimate(locked, metric, scale) for _, _, metric, scale in LOCKED_COLUMNS),
        locked[0].n_lineages if locked else None,
        "baseline" if group[0].baseline else "model",
        group[0].scope,
        group[0].weighting,
    ]


def _locked_estimate(scores: Sequence[Score], metric: str, scale: str | None) -> Estimate | None:
    wanted = {"metric": metric} if scale is None else {"metric": metric, "scale": scale}
    score = scoring.first(scores, **wanted)
    return score.estimate if score else None
