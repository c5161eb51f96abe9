"""What the predictors were trained and tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from epochs_left.reporting.charts.histogram import Layer, histogram_chart
from epochs_left.reporting.charts.shares import ShareRow, share_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Table,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.palette import OUTCOME_COLOURS
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import brief, file_size, integer, percent
from epochs_left.schema import MAX_STORED_PARAMS, OUTCOMES

DATA_CARD = "data_card.json"
LEAST_EDGE = 0.5  # epochs: where a bin that begins at 0 begins on a logarithmic axis
#: The dimensions of the sweeps, in the order of their bars, with the words in front of them.
DIMENSIONS = {
    "cohort": "cohort",
    "task": "task",
    "architecture": "architecture",
    "activation": "activation",
    "batch": "batch",
    "init_scheme": "initialisation",
    "optimizer": "optimizer",
    "weight_decay_mode": "weight decay",
    "lr_schedule": "learning-rate schedule",
}
#: Bars of one dimension at most: the rest, the rarest, stand in the table.
MOST_BARS = 8

_VECTORS = "loss, gradient norm and every parameter"
_WIDE = f"{_VECTORS}; above {MAX_STORED_PARAMS:,} parameters statistics of each tensor and a sketch"
#: What an epoch's row keeps, where it is known.
RECORDED = {
    "neuron": _VECTORS,
    "mlp": _VECTORS,
    "resnet": _WIDE,
    "char_lm": _WIDE,
    "curve_prior": "loss and learning rate: such curves have no parameters",
}


@section(
    title="Data card",
    question="Which runs is this about, and how did they end?",
    order=10,
    reads=[DATA_CARD],
)
def data_card(results: Results) -> Sequence[Block]:
    """Describe all families in one table, then each: outcomes over the sweep, epochs to the end."""
    cards = {str(family): mapping(card) for family, card in results.record(DATA_CARD).items()}
    cards = {family: card for family, card in cards.items() if card}
    if not cards:
        return []
    blocks: list[Block] = [_overview(cards), text(_definitions())]
    for order, (family, card) in enumerate(cards.items()):
        blocks += _family_blocks(order, family, card)
    return blocks


def _family_blocks(order: int, family: str, card: Row) -> list[Block]:
    blocks: list[Block] = [text(_spread(family, card))]
    sweep = [mapping(row) for row in sequence(card.get("by"))]
    if sweep:
        blocks.append(_outcome_figure(f"outcomes_{order}", family, sweep))
    spread = mapping(card.get("histogram"))
    edges = _edges(spread)
    if len(edges) > 1:
        blocks.append(_epochs_figure(f"epochs_{order}", family, edges, spread, card))
    return blocks


def _overview(cards: dict[str, Row]) -> Table:
    columns = [column("family"), column("runs", "integer"), column("lineages", "integer")]
    columns += [column("recorded epochs", "integer"), column("on disk")]
    columns += [column(str(outcome), "percent") for outcome in OUTCOMES]
    columns += [column("median epochs to convergence", "brief")]
    rows = [_overview_cells(family, card) for family, card in cards.items()]
    return table("families", "The families: size, and how their runs ended.", columns, rows)


def _overview_cells(family: str, card: Row) -> list[Cell]:
    runs, outcomes = number(card.get("n_runs")), mapping(card.get("outcomes"))
    shares = [count(outcomes.get(name)) / runs if runs else None for name in OUTCOMES]
    size = file_size(number(card.get("bytes")))
    counts: list[Cell] = [number(card.get(name)) for name in ("n_runs", "n_lineages", "n_rows")]
    return [family, *counts, size, *shares, _quantile(card, "0.5")]


def _quantile(card: Row, level: str) -> float | None:
    return number(mapping(card.get("epochs_to_convergence")).get(level))


def _definitions() -> str:
    return (
        "A run converges when its loss falls below epsilon. It is stuck where the gradient "
        "vanishes at a higher loss, capped if the limit on epochs comes first (it may be late or "
        "never: it is censored), and diverged if the loss leaves all bounds."
    )


def _spread(family: str, card: Row) -> str:
    low, middle, high = (_quantile(card, level) for level in ("0.05", "0.5", "0.95"))
    kept = f"Each epoch of a {family} run keeps {RECORDED[family]}. " if family in RECORDED else ""
    if middle is None:
        return f"{kept}No {family} run converged."
    return (
        f"{kept}Half of the converged {family} runs need at most {brief(middle)} epochs, one in "
        f"twenty at most {brief(low)} and one in twenty more than {brief(high)}."
    )


def _outcome_figure(name: str, family: str, sweep: Sequence[Row]) -> Figure:
    rows = [row for dimension in DIMENSIONS for row in _bars(dimension, sweep)]
    described = f"Share of runs that converged, by part of the sweep: {_converged_shares(rows)}."
    columns = [column("dimension", start=""), column("setting", start="")]
    columns += [column("runs", "integer")] + [column(outcome, "integer") for outcome in OUTCOMES]
    return figure(
        name,
        f"How the {family} runs ended",
        "Each bar is one setting of the sweep, over all the others. At its end stand the share "
        "that converged, and of how many runs.",
        [
            panel(
                "Outcome shares over the sweep",
                described,
                share_chart("share of runs", list(OUTCOMES), list(OUTCOME_COLOURS.values()), rows),
            )
        ],
        table("data", "Runs and outcomes by setting.", columns, map(_sweep_cells, sweep)),
        key=legend(*((outcome, OUTCOME_COLOURS[outcome], "square") for outcome in OUTCOMES)),
    )


def _bars(dimension: str, sweep: Sequence[Row]) -> list[ShareRow]:
    """Return a heading and a bar a setting in the order of the results, the rarest left out."""
    rows = [row for row in sweep if word(row.get("dimension")) == dimension]
    if not rows:
        return []
    frequent = sorted(range(len(rows)), key=lambda i: -count(rows[i].get("n_runs")))[:MOST_BARS]
    heading: ShareRow = {"label": DIMENSIONS[dimension], "shares": [], "n": 0}
    return [heading, *(_bar(rows[i]) for i in sorted(frequent))]


def _bar(row: Row) -> ShareRow:
    ended = mapping(row.get("outcomes"))
    counts = [count(ended.get(outcome)) for outcome in OUTCOMES]
    total = sum(counts)
    shares = [n / total for n in counts] if total else []
    return {"label": word(row.get("setting")), "shares": shares, "n": total}


def _converged_shares(rows: Iterable[ShareRow]) -> str:
    shown = [row for row in rows if row["shares"]]
    return ", ".join(
        f"{row['label']} {percent(row['shares'][0])} of {integer(row['n'])}" for row in shown
    )


def _sweep_cells(row: Row) -> list[Cell]:
    ended = mapping(row.get("outcomes"))
    dimension = word(row.get("dimension"))
    settings: list[Cell] = [DIMENSIONS.get(dimension, dimension), word(row.get("setting"))]
    counts = [count(ended.get(outcome)) for outcome in OUTCOMES]
    return [*settings, count(row.get("n_runs")), *counts]


def _edges(spread: Row) -> list[float]:
    """Return the edges of the histogram in epochs, none unless they rise."""
    edges = [max(number(edge) or 0.0, LEAST_EDGE) for edge in sequence(spread.get("edges"))]
    return edges if all(low < high for low, high in pairwise(edges)) else []


def _epochs_figure(
    name: str, family: str, edges: Sequence[float], spread: Row, card: Row
) -> Figure:
    layers = [_layer(outcome, spread, len(edges) - 1) for outcome in OUTCOMES]
    quantiles = mapping(card.get("epochs_to_convergence"))
    described = "Epochs to convergence by quantile: " + ", ".join(
        f"{level} at {brief(number(value))}" for level, value in quantiles.items()
    )
    columns = [column("from epoch", "brief"), column("to epoch", "brief")]
    columns += [column(outcome, "integer") for outcome in OUTCOMES]
    bins = zip(edges[:-1], edges[1:], *(layer["counts"] for layer in layers), strict=True)
    return figure(
        name,
        f"When the {family} runs ended",
        "Runs by the epoch at which their outcome was known, on a logarithmic axis: convergence, a "
        "stationary point, the limit on epochs, or the first loss out of bounds.",
        [
            panel(
                "Runs by the epoch of their end",
                described,
                histogram_chart("epoch of the outcome", "runs", edges, layers),
            )
        ],
        table("data", "Runs by the epoch of their end.", columns, bins),
        key=legend(*((outcome, OUTCOME_COLOURS[outcome], "square") for outcome in OUTCOMES)),
    )


def _layer(outcome: str, spread: Row, n_bins: int) -> Layer:
    counts = [number(value) or 0.0 for value in sequence(spread.get(outcome))]
    padded = (counts + [0.0] * n_bins)[:n_bins]
    return {"label": outcome, "colour": OUTCOME_COLOURS[outcome], "counts": padded}
