"""What is left of the predictor on a family of runs that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from epochs_left.reporting.content import Block, Cell, column, table, text
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import estimate
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import brief, percent

HELD_OUT = "held_out_families.json"
GOAL = 0.85
SHOWN_INPUTS = "the loss alone"
INPUTS = {"all": "everything known", "loss_only": SHOWN_INPUTS}


@section(
    title="Families never seen",
    question="What is a prediction worth for a kind of run that was not in training?",
    order=74,
    reads=[HELD_OUT],
)
def unseen_families(results: Results) -> Sequence[Block]:
    """Table scores of predictors that were trained on all other families."""
    entries = results.rows(HELD_OUT)
    if not entries:
        return []
    columns = [
        column("family left out", start=""),
        column("R² of log epochs", "decimal"),
        column("the same, seen", "decimal"),
        column("median error", "percent"),
        column("90 % intervals held", "percent"),
        column("the same, seen", "percent"),
        column("upper over lower", "brief"),
        column("flagged", "percent"),
        column("AUC", "decimal"),
        column("runs", "integer"),
    ]
    return [
        text(
            "The predictor of any threshold, trained on all families but one. Nothing is promised "
            "here: rows unlike the training data are flagged, answered from the loss curve alone, "
            "and get intervals twice as wide on the log scale as they would have in training: "
            "wider where a row is hard, as the other families have taught. “Seen” is what it says "
            "of other lineages of a family that was in training. " + _verdict(entries)
        ),
        table("unseen", "Scores with a family held out.", columns, list(map(_row, entries))),
        *_short_parts(entries),
        *_kinds(entries),
    ]


def _verdict(entries: Sequence[Row]) -> str:
    short = [
        word(entry.get("family"))
        for entry in entries
        if (number(entry.get("coverage")) or 0.0) < GOAL
    ]
    if not short:
        return f"The intervals hold at least {GOAL:.0%} in every family."
    return f"The intervals hold less than {GOAL:.0%} of the truths of: {', '.join(short)}."


def _short_parts(entries: Sequence[Row]) -> list[Block]:
    """Table the parts in which intervals hold less than the goal, and on which side they fail."""
    short = [
        (entry, part)
        for entry in entries
        for part in map(mapping, sequence(entry.get("parts")))
        if _held(part) < GOAL
    ]
    if not short:
        return []
    columns = [
        column("family left out", start=""), column("part"), column("held", "percent"),
        column("ended sooner", "percent"), column("ended later", "percent"),
        column("upper over lower", "brief"), column("runs", "integer"),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            word(entry.get("family")),
            word(part.get("part")),
            estimate(mapping(part.get("coverage")), "estimate"),
            *(number(part.get(side)) for side in ("sooner", "later")),
            _factor(part),
            count(part.get("n_runs")),
        ]
        for entry, part in short
    ]
    words = text(_why(*min(short, key=lambda pair: _held(pair[1]))))
    return [words, table("short", f"Parts that hold less than {GOAL:.0%}.", columns, rows)]


def _held(part: Row) -> float:
    return number(mapping(part.get("coverage")).get("estimate")) or 0.0


def _why(entry: Row, part: Row) -> str:
    """Say where coverage is shortest, on which side it fails, and how far off predictions are."""
    family, name = word(entry.get("family")), word(part.get("part"))
    sooner, later = (number(part.get(side)) or 0.0 for side in ("sooner", "later"))
    return (
        "Intervals may hold over a family and fail in parts of it; parts by epochs left are known "
        f"only afterwards. The weakest is {family}, {name}: {percent(_held(part))} held, while "
        f"{percent(sooner)} of the runs ended sooner and {percent(later)} later than their "
        f"interval says. Predictions are {_off(part)} there, {_off(entry)} in the whole family; "
        f"the upper end of an interval is typically {brief(_factor(part))} times the lower there, "
        f"{brief(_factor(entry))} times in the whole family."
    )


def _off(part: Row) -> str:
    """Return the typical factor by which predictions miss, and to which side."""
    bias = number(part.get("bias")) or 0.0
    return f"{brief(exp(abs(bias)))} times too {'high' if bias < 0 else 'low'}"


def _factor(entry: Row) -> float | None:
    width = number(entry.get("log_width"))
    return None if width is None else exp(width)


def _kinds(entries: Sequence[Row]) -> list[Block]:
    """Table coverage and width of every way to make the intervals."""
    rows: list[list[Cell]] = [
        [
            word(entry.get("family")),
            INPUTS.get(word(answer.get("inputs")), word(answer.get("inputs"))),
            word(answer.get("interval")),
            number(answer.get("r2")),
            estimate(mapping(answer.get("coverage")), "estimate"),
            _factor(answer),
        ]
        for entry in entries
        for answer in map(mapping, sequence(entry.get("answers")))
    ]
    if not rows:
        return []
    columns = [
        column("family left out", start=""), column("answered from", start=SHOWN_INPUTS),
        column("interval", start=""), column("R² of log epochs", "decimal"),
        column("held", "percent"), column("upper over lower", "brief"),
    ]  # fmt: skip
    return [
        text(
            "Other ways to answer. “As measured” intervals are those of rows like the training "
            "data; “the same for every row” ignores how hard a row looks; “unseen family” takes "
            "the worst of what each other family says when it is left out, too."
        ),
        table("kinds", "Coverage and width by kind of interval.", columns, rows),
    ]


def _row(entry: Row) -> list[Cell]:
    seen = mapping(entry.get("in_family"))
    return [
        word(entry.get("family")),
        number(entry.get("r2")),
        number(seen.get("r2")),
        number(entry.get("median_relative_error")),
        number(entry.get("coverage")),
        number(seen.get("coverage")),
        _factor(entry),
        number(entry.get("share_unlike")),
        _area(entry),
        count(entry.get("n_runs")),
    ]


def _area(entry: Row) -> float | None:
    area = entry.get("auc")
    return number(mapping(area).get("estimate")) if isinstance(area, dict) else number(area)
