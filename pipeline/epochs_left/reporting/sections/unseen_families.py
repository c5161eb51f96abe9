"""What is left of the predictor on a family of runs that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting.content import Block, Cell, column, table, text
from epochs_left.reporting.results import Results, Row, count, mapping, number, word
from epochs_left.reporting.sections import section

HELD_OUT = "held_out_families.json"
GOAL = 0.85


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
        column("flagged", "percent"),
        column("AUC", "decimal"),
        column("runs", "integer"),
    ]
    return [
        text(
            "The predictor of any target, trained on all families but one. Nothing is promised "
            "here: rows unlike the training data are flagged, answered from the loss curve alone, "
            "and get intervals twice as wide on the log scale. “Seen” is what it says of other "
            "lineages of a family that was in training. " + _verdict(entries)
        ),
        table("unseen", "Scores with a family held out.", columns, list(map(_row, entries))),
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


def _row(entry: Row) -> list[Cell]:
    seen = mapping(entry.get("in_family"))
    return [
        word(entry.get("family")),
        number(entry.get("r2")),
        number(seen.get("r2")),
        number(entry.get("median_relative_error")),
        number(entry.get("coverage")),
        number(seen.get("coverage")),
        number(entry.get("share_unlike")),
        _area(entry),
        count(entry.get("n_runs")),
    ]


def _area(entry: Row) -> float | None:
    area = entry.get("auc")
    return number(mapping(area).get("estimate")) if isinstance(area, dict) else number(area)
