"""What the predictors were trained and tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from epochs_left.reporting.charts.histogram import Layer, histogram_chart
from epochs_left.reporting.charts.shares import ShareRow, share_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Table,
    choice,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.palette import OUTCOME_COLOURS
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import brief, file_size, integer, joined, percent
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
#: Bars of one dimension at most: the rest, the rarest, stand in the file.
MOST_BARS = 4
MOST_BINS = 16  # of a histogram: where there are more, neighbours are put together

DEFINITIONS = (
    "A run converges when its loss falls below epsilon. It is stuck where the gradient vanishes at "
    "a higher loss, capped if the limit on epochs comes first (it may be late or never: it is "
    "censored), and diverged if the loss leaves all bounds."
)

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
    options = [
        (family if family in FAMILIES else f"other-{order}", family, _family_blocks(family, card))
        for order, (family, card) in enumerate(cards.items())
    ]
    return [text(_answer(cards), DEFINITIONS), _overview(cards), choice("Family", options)]


def _answer(cards: Mapping[str, Row]) -> str:
    fitted = {family: card for family, card in cards.items() if card.get("fitted")} or cards
    n_runs, n_lineages = (
        sum(count(card.get(name)) for card in fitted.values()) for name in ("n_runs", "n_lineages")
    )
    ended = sum(count(mapping(card.get("outcomes")).get(OUTCOMES[0])) for card in fitted.values())
    share = f", of which {percent(ended / n_runs)} converged" if n_runs else ""
    others = [family for family in cards if family not in fitted]
    beside = f" Beside them: {joined(others)}." if others else ""
    return (
        f"{integer(n_runs)} runs of {joined(list(fitted))} in {integer(n_lineages)} lineages "
        f"(runs that share an initialisation){share}.{beside}"
    )


def _family_blocks(family: str, card: Row) -> list[Block]:
    """Return what is said of a family; where no run converged there is no outcome to picture."""
    blocks: list[Block] = [text(_spread(family, card))]
    if not count(mapping(card.get("outcomes")).get(OUTCOMES[0])):
        return blocks
    rows = _drawn([mapping(row) for row in sequence(card.get("by"))])
    if rows:
        blocks.append(_outcome_figure(family, rows))
    spread = mapping(card.get("histogram"))
    edges = _edges(spread)
    edges, spread = _coarser(edges, spread)
    if len(edges) > 1:
        blocks.append(_epochs_figure(family, edges, spread, card))
    return blocks


def _drawn(sweep: Sequence[Row]) -> list[Row]:
    """Return the settings of the dimensions that vary, in their order, the rarest left out."""
    return [row for dimension in DIMENSIONS for row in _most_frequent(dimension, sweep)]


def _most_frequent(dimension: str, sweep: Sequence[Row]) -> list[Row]:
    rows = [row for row in sweep if word(row.get("dimension")) == dimension]
    if len(rows) < 2:
        return []  # the same for all runs
    frequent = sorted(range(len(rows)), key=lambda i: -count(rows[i].get("n_runs")))[:MOST_BARS]
    return [rows[i] for i in sorted(frequent)]


def _overview(cards: Mapping[str, Row]) -> Table:
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


def _spread(family: str, card: Row) -> str:
    low, middle, high = (_quantile(card, level) for level in ("0.05", "0.5", "0.95"))
    kept = f"Each epoch of {family} keeps {RECORDED[family]}. " if family in RECORDED else ""
    if middle is None:
        return f"{kept}No {family} run converged."
    return (
        f"{kept}Half of the converged {family} runs need at most {brief(middle)} epochs, one in "
        f"twenty at most {brief(low)} and one in twenty more than {brief(high)}."
    )


def _outcome_figure(family: str, settings: Sequence[Row]) -> Figure:
    rows = [row for dimension in DIMENSIONS for row in _bars(dimension, settings)]
    described = f"Share of runs that converged, by part of the sweep: {_extent(rows)}."
    columns = [column("setting")]
    columns += [column(outcome, "integer") for outcome in OUTCOMES]
    return figure(
        "outcomes",
        f"How the {family} runs ended",
        "Each bar is one setting of the sweep, over all the others. At its end stand the share "
        f"that converged, and of how many runs. Of each dimension the {MOST_BARS} most frequent "
        "settings.",
        [
            panel(
                "Outcome shares over the sweep",
                described,
                share_chart("share of runs", list(OUTCOMES), list(OUTCOME_COLOURS.values()), rows),
            )
        ],
        table("data", "Runs by setting and outcome.", columns, map(_sweep_cells, settings)),
        key=legend(*((outcome, OUTCOME_COLOURS[outcome], "square") for outcome in OUTCOMES)),
    )


def _bars(dimension: str, settings: Sequence[Row]) -> list[ShareRow]:
    """Return a heading and a bar a setting."""
    rows = [row for row in settings if word(row.get("dimension")) == dimension]
    heading: ShareRow = {"label": DIMENSIONS[dimension], "shares": [], "n": 0}
    return [heading, *map(_bar, rows)] if rows else []


def _bar(row: Row) -> ShareRow:
    counts = _counts(row)
    total = sum(counts)
    shares = [n / total for n in counts] if total else []
    return {"label": word(row.get("setting")), "shares": shares, "n": total}


def _counts(row: Row) -> list[int]:
    return [count(mapping(row.get("outcomes")).get(outcome)) for outcome in OUTCOMES]


def _extent(rows: Iterable[ShareRow]) -> str:
    shown = sorted((row["shares"][0], row["label"]) for row in rows if row["shares"])
    if not shown:
        return "none known"
    (low, lowest), (high, highest) = shown[0], shown[-1]
    return f"from {percent(low)} of {lowest} to {percent(high)} of {highest}"


def _sweep_cells(row: Row) -> list[Cell]:
    return [f"{DIMENSIONS[word(row.get('dimension'))]}: {word(row.get('setting'))}", *_counts(row)]


def _edges(spread: Row) -> list[float]:
    """Return the edges of the histogram in epochs, none unless they rise."""
    edges = [max(number(edge) or 0.0, LEAST_EDGE) for edge in sequence(spread.get("edges"))]
    return edges if all(low < high for low, high in pairwise(edges)) else []


def _coarser(edges: list[float], spread: Row) -> tuple[list[float], Row]:
    """Put bins together by twos, the last ones alone if they are odd, until there are few."""
    while len(edges) - 1 > MOST_BINS:
        spread = {name: _by_twos(_numbers(spread, name)) for name in OUTCOMES}
        edges = [*edges[:-1:2], edges[-1]]
    return edges, spread


def _by_twos(counts: Sequence[float]) -> list[float]:
    return [sum(counts[i : i + 2]) for i in range(0, len(counts), 2)]


def _numbers(spread: Row, name: str) -> list[float]:
    return [number(value) or 0.0 for value in sequence(spread.get(name))]


def _epochs_figure(family: str, edges: Sequence[float], spread: Row, card: Row) -> Figure:
    layers = [_layer(outcome, spread, len(edges) - 1) for outcome in OUTCOMES]
    layers = [layer for layer in layers if any(layer["counts"])]
    quantiles = mapping(card.get("epochs_to_convergence"))
    described = "Epochs to convergence by quantile: " + ", ".join(
        f"{level} at {brief(number(value))}" for level, value in quantiles.items()
    )
    columns = [column("epochs", "text")]
    columns += [column(layer["label"], "integer") for layer in layers]
    names = [f"{brief(low)} to {brief(high)}" for low, high in pairwise(edges)]
    bins = zip(names, *(layer["counts"] for layer in layers), strict=True)
    return figure(
        "epochs",
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
        key=legend(*((layer["label"], layer["colour"], "square") for layer in layers)),
    )


def _layer(outcome: str, spread: Row, n_bins: int) -> Layer:
    padded = (_numbers(spread, outcome) + [0.0] * n_bins)[:n_bins]
    return {"label": outcome, "colour": OUTCOME_COLOURS[outcome], "counts": padded}
