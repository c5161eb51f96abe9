"""What the predictors were trained and tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from epochs_left.reporting.charts.histogram import Layer, histogram_chart
from epochs_left.reporting.charts.shares import ShareRow, share_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Facts,
    Figure,
    column,
    fact,
    facts,
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
from epochs_left.schema import OUTCOMES

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


@section(
    title="Data card",
    question="Which runs is this about, and how did they end?",
    order=10,
    reads=[DATA_CARD],
)
def data_card(results: Results) -> Sequence[Block]:
    """Describe each family: size, outcomes over the sweep, epochs until the end."""
    blocks: list[Block] = []
    for order, (family, card) in enumerate(sorted(results.record(DATA_CARD).items())):
        blocks += _family_blocks(order, str(family), mapping(card))
    return blocks


def _family_blocks(order: int, family: str, card: Row) -> list[Block]:
    if not card:
        return []
    blocks: list[Block] = [_size(family, card), text(_ends(card))]
    sweep = [mapping(row) for row in sequence(card.get("by"))]
    if sweep:
        blocks.append(_outcome_figure(f"outcomes_{order}", family, sweep))
    spread = mapping(card.get("histogram"))
    edges = _edges(spread)
    if len(edges) > 1:
        blocks.append(_epochs_figure(f"epochs_{order}", family, edges, spread, card))
    return blocks


def _size(family: str, card: Row) -> Facts:
    runs = number(card.get("n_runs"))
    lineages = integer(number(card.get("n_lineages")))
    outcomes = mapping(card.get("outcomes"))
    converged = percent(count(outcomes.get("converged")) / runs, 1) if runs else "–"
    return facts(
        fact(f"Runs of the family {family}", integer(runs), f"in {lineages} lineages"),
        fact("Recorded epochs", integer(number(card.get("n_rows"))), "a row a run and epoch"),
        fact("On disk", file_size(number(card.get("bytes"))), "Parquet, every epoch's parameters"),
        fact("Converged", converged, _other_outcomes(outcomes)),
    )


def _other_outcomes(outcomes: Row) -> str:
    return ", ".join(
        f"{integer(count(outcomes.get(name)))} {name}" for name in OUTCOMES if name != "converged"
    )


def _ends(card: Row) -> str:
    quantiles = mapping(card.get("epochs_to_convergence"))
    low, middle, high = (number(quantiles.get(level)) for level in ("0.05", "0.5", "0.95"))
    spread = (
        f"Half of the converged runs need at most {brief(middle)} epochs, one in twenty at most "
        f"{brief(low)} and one in twenty more than {brief(high)}. "
        if middle is not None
        else ""
    )
    return (
        f"{spread}A run converges when its loss falls below epsilon. It is stuck where the "
        "gradient vanishes at a higher loss, capped if the limit on epochs comes first (it "
        "may be late or never: it is censored), and diverged if the loss leaves all bounds."
    )


def _outcome_figure(name: str, family: str, sweep: Sequence[Row]) -> Figure:
    rows = [row for dimension in DIMENSIONS for row in _bars(dimension, sweep)]
    described = f"Share of runs that converged, by part of the sweep: {_converged_shares(rows)}."
    columns = [column("dimension", start=""), column("setting", start="")]
    columns += [column("runs", "integer")] + [column(outcome, "integer") for outcome in OUTCOMES]
    return figure(
        name,
        f"How the {family} runs ended",
        "Each bar is one setting of the sweep, over all the others. The figure at its end is the "
        "share that converged.",
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
    """Return a heading and a bar a setting, most runs first where there are many."""
    rows = [row for row in sweep if word(row.get("dimension")) == dimension]
    if not rows:
        return []
    if len(rows) > MOST_BARS:
        rows = sorted(rows, key=lambda row: -count(row.get("n_runs")))[:MOST_BARS]
    heading: ShareRow = {"label": DIMENSIONS[dimension], "shares": []}
    return [heading, *map(_bar, rows)]


def _bar(row: Row) -> ShareRow:
    ended = mapping(row.get("outcomes"))
    counts = [count(ended.get(outcome)) for outcome in OUTCOMES]
    total = sum(counts)
    shares = [n / total for n in counts] if total else []
    return {"label": word(row.get("setting")), "shares": shares}


def _converged_shares(rows: Iterable[ShareRow]) -> str:
    shown = [row for row in rows if row["shares"]]
    return ", ".join(f"{row['label']} {percent(row['shares'][0])}" for row in shown)


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
