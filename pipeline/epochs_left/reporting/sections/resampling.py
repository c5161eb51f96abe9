"""Whether the way of resampling matters: folds, refits on resamples, resampled predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Mark,
    Panel,
    Table,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import is_below, measured, said, value_of
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import decimal, integer, joined, percent

BOOTSTRAPPED = "bootstrapped_cv.json"
REFITTED = "lineages resampled, model fitted again"
PLUS, OUT_OF_BAG = ".632+", "out of bag"
#: Differences of R² that change no conclusion.
SMALL = 0.05
#: Lowest R² on the axis; what lies below stands at its edge with its value.
FLOOR = -0.5
LOOKS: tuple[tuple[str, str, Mark], ...] = (
    scoring.SPLITS[0],
    scoring.SPLITS[1],
    (PLUS, "purple", "diamond"),
    (OUT_OF_BAG, "orange", "circle"),
    scoring.SPLITS[2],
)


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """R² of log epochs of one model of a family and view, by way of resampling.

    Attributes
    ----------
    is_refitted
        Whether it was fitted again on every resample.
    ways
        By the name of the way; of a model that was not refitted also ``conditional``.
    """

    family: str
    view: str
    title: str
    is_refitted: bool
    n_lineages: int
    ways: Mapping[str, Estimate]

    @property
    def shift(self) -> float:
        """Return how far .632+ is from the folds by lineage."""
        return abs(value_of(self.ways[PLUS]) - value_of(self.ways[scoring.BY_LINEAGE]))


@section(
    title="Ways of resampling",
    question="Would the figures be others if runs had been resampled otherwise?",
    order=106,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (BOOTSTRAPPED, scoring.SCORES)],
)
def resampling(results: Results) -> Sequence[Block]:
    """Draw R² by row-wise folds, folds by lineage, .632+ and the locked test set."""
    everything = [each for name in FAMILIES for each in _read(name, results.below(name))]
    again = [each for each in everything if each.is_refitted]
    others = [each for each in everything if not each.is_refitted]
    blocks: list[Block] = []
    if again:
        blocks += [text(_words(again)), _figure(again)]
    if agreed := _agreement(others):
        blocks += [text(_conditional_words(others)), agreed]
    return blocks


def _read(family: str, results: Results) -> Iterator[Resampled]:
    scores = scoring.primary(scoring.read_scores(results))
    for row in results.rows(BOOTSTRAPPED):
        same = {"model": word(row.get("model")), "view": word(row.get("view"))}
        found = {score.split: score for score in scoring.known(scores, **same)}
        if scoring.BY_LINEAGE not in found or number(row.get("estimate")) is None:
            continue
        is_refitted = row.get("method") == REFITTED
        own = _refits(row) if is_refitted else {"conditional": scoring.estimate(row, "estimate")}
        yield Resampled(
            family=family,
            view=same["view"],
            title=found[scoring.BY_LINEAGE].title,
            is_refitted=is_refitted,
            n_lineages=count(row.get("n_lineages")),
            ways={**{split: score.estimate for split, score in found.items()}, **own},
        )


def _refits(row: Row) -> dict[str, Estimate]:
    return {
        PLUS: scoring.estimate(row, "estimate"),
        OUT_OF_BAG: measured(row, OUT_OF_BAG.replace(" ", "_")),
    }


def _words(again: Sequence[Resampled]) -> str:
    worst = {name: max(_of(again, name), key=lambda each: each.shift) for name in _families(again)}
    same = [_shift_words(each) for each in worst.values() if each.shift < SMALL]
    other = [_shift_words(each) for each in worst.values() if each.shift >= SMALL]
    told = [f"hardly matters in {joined(same)}"] if same else []
    told += [f"matters in {joined(other)}"] if other else []
    few = " There a resample, which holds some 63 % of the lineages, leaves too few to fit."
    return (
        f"Whether lineages are left out by folds or by bootstrap {', and '.join(told)}: R² by "
        f".632+ and by folds over lineages are at most so far apart.{few if other else ''} "
        f"{_example(again)} {_row_wise_words(again)}"
    )


def _families(found: Sequence[Resampled]) -> list[str]:
    return list(dict.fromkeys(each.family for each in found))


def _of(found: Sequence[Resampled], family: str) -> list[Resampled]:
    return [each for each in found if each.family == family]


def _shift_words(each: Resampled) -> str:
    shift = decimal(each.shift, 3 if each.shift < SMALL else 2)
    return f"{each.family} ({shift}; {integer(each.n_lineages)} lineages)"


def _example(again: Sequence[Resampled]) -> str:
    each = max(again, key=lambda each: (each.n_lineages, value_of(each.ways[scoring.BY_LINEAGE])))
    folds, bag = each.ways[scoring.BY_LINEAGE], each.ways[OUT_OF_BAG]
    return (
        f"{each.title}, {each.family}: {said(folds, _three)} by folds, {said(bag, _three)} out "
        f"of bag, {_three(each.ways[PLUS]['value'])} by .632+."
    )


def _three(value: float | None) -> str:
    return decimal(value, 3)


def _row_wise_words(again: Sequence[Resampled]) -> str:
    gaps = [
        (value_of(each.ways[scoring.ROW_WISE]) - value_of(each.ways[scoring.BY_LINEAGE]), each)
        for each in again
        if scoring.ROW_WISE in each.ways
    ]
    if not gaps:
        return ""
    gap, each = max(gaps, key=lambda pair: pair[0])
    return (
        "What matters is that lineages stay together: R² by folds over rows is up to "
        f"{decimal(gap)} higher than by folds over lineages ({each.family})."
    )


def _figure(again: Sequence[Resampled]) -> Figure:
    shown = [view for view, _ in scoring.VIEWS if any(each.view == view for each in again)]
    return figure(
        "ways",
        "R² of the models that are fitted again on every resample",
        "Least-squares models alone are quick enough. Out of bag: each row predicted by the fits "
        "on resamples of lineages that leave its lineage out; .632+ weighs that with the error on "
        "the training rows (Efron and Tibshirani 1997). Lines are 95\u202f% intervals over "
        "lineages, of which .632+ has none. Row-wise folds leak; they predict some of the rows. "
        "The locked test set is other lineages. An arrow points to what lies below the axis.",
        [_panel(view, [each for each in again if each.view == view]) for view in shown],
        _table(again),
        key=legend(*LOOKS),
    )


def _panel(view: str, again: Sequence[Resampled]) -> Panel:
    rows: list[DotRow] = [
        {"label": f"{each.family}, {each.title}", "quiet": False, "dots": _dots(each)}
        for each in again
    ]
    chart = dot_chart("R² of log epochs", rows, floor=_floor(again), ceiling=1.0)
    told = (f"{row['label']}: {', '.join(dot['tip'] for dot in row['dots'])}" for row in rows)
    return panel(scoring.view_title(view), "; ".join(told), chart)


def _floor(again: Sequence[Resampled]) -> float | None:
    lowest = [value for each in again for value in _bounds(each)]
    return FLOOR if lowest and min(lowest) < FLOOR else None


def _bounds(each: Resampled) -> list[float]:
    ends = (way[end] for way in each.ways.values() for end in ("value", "lower"))
    return [end for end in ends if end is not None]


def _dots(each: Resampled) -> list[Dot]:
    return [
        {
            "estimate": _on_axis(each.ways[name]),
            "colour": colour,
            "mark": mark,
            "tip": f"{name}: {said(each.ways[name], _three)}",
        }
        for name, colour, mark in LOOKS
        if name in each.ways
    ]


def _on_axis(way: Estimate) -> Estimate:
    """Cut an interval where the axis may end."""
    lower = None if way["lower"] is None else max(way["lower"], FLOOR)
    return {**way, "lower": lower}


def _table(again: Sequence[Resampled]) -> Table:
    columns = [
        column("family", start=""), column("view", start=""), column("model", start=""),
        *(column(name, "decimal") for name, _, _ in LOOKS), column("lineages", "integer"),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            each.family, scoring.view_title(each.view), each.title,
            *(each.ways.get(name) for name, _, _ in LOOKS), each.n_lineages,
        ]
        for each in again
    ]  # fmt: skip
    return table("data", "R² of log epochs by way of resampling.", columns, rows)


def _pairs(others: Sequence[Resampled]) -> list[tuple[Resampled, Estimate, Estimate]]:
    """Return the models with both intervals: conditional on the fits, and of the locked test."""
    pairs = [
        (each, each.ways["conditional"], each.ways.get(scoring.LOCKED_TEST)) for each in others
    ]
    return [
        (each, own, locked)
        for each, own, locked in pairs
        if locked is not None and None not in {own["lower"], locked["lower"]}
    ]


def _conditional_words(others: Sequence[Resampled]) -> str:
    pairs = _pairs(others)
    apart = sum(is_below(own, locked) or is_below(locked, own) for _, own, locked in pairs)
    return (
        "All other models take too long to be fitted on every resample: their intervals come from "
        "resampling the lineages of their out-of-fold predictions as they are, and say nothing of "
        "what other training runs would have changed. On the locked test set, with its own "
        f"lineages and its own interval, {len(pairs) - apart} of {len(pairs)} models "
        f"({percent((len(pairs) - apart) / len(pairs))}) agree with theirs: the two overlap."
    )


def _agreement(others: Sequence[Resampled]) -> Table | None:
    """Table how often the two intervals overlap, by family and view."""
    found: dict[tuple[str, str], list[tuple[Estimate, Estimate]]] = {}
    for each, own, locked in _pairs(others):
        found.setdefault((each.family, each.view), []).append((own, locked))
    if not found:
        return None
    columns = [
        column("family", start=""), column("view", start=""), column("models", "integer"),
        column("overlap", "integer"), column("locked test higher", "integer"),
        column("locked test lower", "integer"),
    ]  # fmt: skip
    rows = [
        [family, scoring.view_title(view), *_sides(pairs)]
        for (family, view), pairs in found.items()
    ]
    caption = "Intervals of R² conditional on the fits, against those of the locked test set."
    return table("agreement", caption, columns, rows)


def _sides(pairs: Sequence[tuple[Estimate, Estimate]]) -> list[Cell]:
    higher = sum(is_below(own, locked) for own, locked in pairs)
    lower = sum(is_below(locked, own) for own, locked in pairs)
    return [len(pairs), len(pairs) - higher - lower, higher, lower]
