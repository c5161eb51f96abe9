"""Plateaus of runs of every family, by a predictor that has seen none of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from epochs_left.reporting.content import Block, Cell, column, table, text
from epochs_left.reporting.results import Results, Row, count, mapping, number, word
from epochs_left.reporting.scoring import estimate
from epochs_left.reporting.sections import section

UNSEEN = "unseen_plateaus.json"
GOAL = 0.85
INPUTS = {
    "all": "loss and schedule",
    "rates": "loss and learning rates so far",
    "loss_only": "the loss alone",
}


@section(
    title="Plateaus of runs never seen",
    question="How well is the plateau of a run foreseen, by synthetic curves alone?",
    order=75,
    reads=[UNSEEN],
)
def unseen_plateaus(results: Results) -> Sequence[Block]:
    """Table scores of plateaus by family and by what was known."""
    entries = results.rows(UNSEEN)
    if not entries:
        return []
    columns = [
        column("family", start=""), column("answered from", start=""),
        column("R² of log epochs", "decimal"), column("median error", "percent"),
        column("90 % intervals held", "percent"), column("sooner", "percent"),
        column("later", "percent"), column("upper over lower", "brief"),
        column("AUC", "decimal"), column("runs", "integer"),
    ]  # fmt: skip
    return [
        text(
            "A plateau begins where a curve comes within a share of its whole fall, for good. The "
            "predictor of plateaus has learnt from the curve prior alone, so that every run here "
            "is of a kind that it has never seen; the intervals of a family come from the prior "
            "and from the other families. AUC is of a plateau before nine tenths of the horizon, "
            "at epoch 10. " + _verdict(entries)
        ),
        table("unseen-plateaus", "Scores of plateaus.", columns, list(map(_row, entries))),
    ]


def _verdict(entries: Sequence[Row]) -> str:
    short = dict.fromkeys(word(entry.get("family")) for entry in entries if _held(entry) < GOAL)
    if not short:
        return f"The intervals hold at least {GOAL:.0%} in every family."
    return (
        f"The intervals hold less than {GOAL:.0%} of the truths of: {', '.join(short)}. What they "
        "miss are plateaus that begin sooner than the interval, or later, as the table says."
    )


def _held(entry: Row) -> float:
    return number(mapping(entry.get("coverage")).get("estimate")) or 0.0


def _row(entry: Row) -> list[Cell]:
    width = number(entry.get("log_width"))
    return [
        word(entry.get("family")),
        INPUTS.get(word(entry.get("availability")), ""),
        estimate(mapping(entry.get("r2")), "estimate"),
        number(entry.get("median_relative_error")),
        estimate(mapping(entry.get("coverage")), "estimate"),
        number(entry.get("sooner")),
        number(entry.get("later")),
        None if width is None else exp(width),
        estimate(mapping(entry.get("auc")), "estimate"),
        count(entry.get("n_runs")),
    ]
