"""Which features the predictions rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.bars import BarRow, bar_chart
from epochs_left.reporting.content import (
    Block,
    Estimate,
    Figure,
    LegendEntry,
    Panel,
    Table,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.feature_words import (
    KIND_COLOURS,
    feature_label,
    group_kind,
    group_label,
    group_summary,
)
from epochs_left.reporting.results import Results, Row, number, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import joined

IMPORTANCE = "importance.json"
MOST_BARS = 10
N_NAMED = 3  # groups that the sentence names
_VIEWS = (scoring.CAUSAL, scoring.ORACLE)
DISTANCES, PRODUCTS = "oracle_distances", "oracle_interactions"


@section(
    title="What matters",
    question="Which features do the predictions rest on?",
    order=80,
    reads=[IMPORTANCE, scoring.SCORES],
    of=EACH,
)
def importance(results: Results) -> Sequence[Block]:
    """Rank feature groups by the loss of R² when they are shuffled between runs, by view."""
    rows = [row for row in results.rows(IMPORTANCE) if _drop(row) is not None]
    by_view = {view: own for view in _VIEWS if (own := _of_best(rows, view))}
    if not by_view:
        return []
    titles = scoring.titles(scoring.read_scores(results))
    words = [_sentence(view, own) for view, own in by_view.items()]
    return [text(*words, *_simple_distances(rows)), _figure(by_view, titles)]


def _drop(row: Row) -> float | None:
    return number(row.get("importance"))


def _of_best(rows: Sequence[Row], view: str) -> list[Row]:
    """Return the rows of the best model of a view, the first there, the largest drop first."""
    own = [row for row in rows if row.get("view") == view]
    best = [row for row in own if row.get("model") == own[0].get("model")]
    return sorted(best, key=lambda row: -(_drop(row) or 0.0))


def _sentence(view: str, rows: Sequence[Row]) -> str:
    """Say what the best model of a view rests on most, with the loss that shuffling it makes."""
    first, *others = (
        (_label(row, rows), scoring.told(scoring.estimate(row, "importance"), 3))
        for row in rows[:N_NAMED]
    )
    after = joined([f"the {label} with {drop}" for label, drop in others])
    return (
        f"{scoring.view_title(view)}: the predictions rest most on the {first[0]}; shuffling it "
        f"between runs costs {first[1]} of R²{f'. Next come {after}' if after else ''}."
    )


def _simple_distances(rows: Sequence[Row]) -> list[str]:
    """Answer seed 003, section 6.2: whether simple distances suffice or interactions matter."""
    found = {word(row.get("group")): scoring.estimate(row, "importance") for row in rows}
    if DISTANCES not in found or PRODUCTS not in found:
        return []
    return [
        "Seed 003 (section 6.2) asks whether simple distances suffice or interactions matter. "
        f"With all else at hand, the distances to the end are worth "
        f"{scoring.told(found[DISTANCES], 3)} of R², the products of differences "
        f"{scoring.told(found[PRODUCTS], 3)}."
    ]


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return the group's name, or the feature's where a group of the view has several rows."""
    group = word(row.get("group"))
    alone = sum(word(other.get("group")) == group for other in rows) == 1
    return group_label(group) if alone else feature_label(word(row.get("feature")))


def _figure(by_view: Mapping[str, Sequence[Row]], titles: Mapping[str, str]) -> Figure:
    return figure(
        "features",
        "R² lost when a group of features is shuffled between runs",
        "Permutation importance on the locked test: the drop in run-weighted R² of log(1 + R) of "
        "the best model of the view, with 95\u202f% intervals over lineages where there are "
        "enough. A model that does worse than the mean afterwards loses more than the R² it had. "
        "Features that say the same thing stand in for each other: a short bar may still be "
        "informative. The ten largest of each view.",
        [_panel(view, rows, titles) for view, rows in by_view.items()],
        _table(by_view),
        key=_key([row for rows in by_view.values() for row in rows[:MOST_BARS]]),
    )


def _key(rows: Sequence[Row]) -> list[LegendEntry]:
    shown = {group_kind(word(row.get("group"))) for row in rows}
    return legend(
        *((kind, shade, "square") for kind, shade in KIND_COLOURS.items() if kind in shown)
    )


def _panel(view: str, rows: Sequence[Row], titles: Mapping[str, str]) -> Panel:
    bars = [_bar(row, rows) for row in rows[:MOST_BARS]]
    model = word(rows[0].get("model"))
    title = f"{scoring.view_title(view)}: {titles.get(model, model)}"
    spoken = "; ".join(bar["tip"] for bar in bars)
    return panel(title, spoken, bar_chart("drop in R²", bars, digits=3))


def _bar(row: Row, rows: Sequence[Row]) -> BarRow:
    label, estimate = _label(row, rows), scoring.estimate(row, "importance")
    return {
        "label": label,
        "estimate": estimate,
        "colour": KIND_COLOURS[group_kind(word(row.get("group")))],
        "tip": f"{label}: {scoring.told(estimate, 3)}",
    }


def _table(by_view: Mapping[str, Sequence[Row]]) -> Table:
    """Return a row a group, a column a view."""
    drops: dict[tuple[str, str], dict[str, Estimate]] = {}
    for view, rows in by_view.items():
        for row in rows:
            key = _label(row, rows), group_summary(word(row.get("group")))
            drops.setdefault(key, {})[view] = scoring.estimate(row, "importance")
    columns = [column("features"), column("what they are")]
    columns += [column(scoring.view_title(view).lower(), "decimal") for view in by_view]
    cells = [[*key, *(found.get(view) for view in by_view)] for key, found in drops.items()]
    return table("data", "Drop in R² when shuffled.", columns, cells)
