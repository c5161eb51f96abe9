"""Whether other paths from one start to one solution take other times, and whether it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.claims import HOLDS, at_least, claim
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    Points,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import measured
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    family_legend,
    told_percent,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.ticks import epoch_position, epoch_ticks, share_ticks
from epochs_left.reporting.wording import decimal, integer, joined, percent

ALIGNMENT = "alignment.json"
ONE, SEVERAL = "one solution", "other solutions"
#: Whether learning rate and optimizer of a pair differ.
SETTINGS = (
    ("other", "Other learning rate or optimizer"),
    ("same", "Same learning rate and optimizer"),
)
SURE = 1e-9  # a share is above a coin's for sure if its interval begins here
COIN = 0.5  # of the pairs are named rightly by a coin

#: Kinds of pairs, each with its family.
Kinds = Sequence[tuple[str, Row]]


@section(
    title="Paths to one solution",
    question="Do different paths to the same solution take predictably different times?",
    order=88,
    reads=[f"{family}/{ALIGNMENT}" for family in FAMILIES],
)
def paths(results: Results) -> Sequence[Block]:
    """Compare pairs of runs from one start: how their times differ, and who names the faster."""
    records = [
        (name, mapping(results.below(name).record(ALIGNMENT).get("paths"))) for name in FAMILIES
    ]
    kinds = [
        (name, kind)
        for name, record in records
        for kind in map(mapping, sequence(record.get("pairs")))
        if number(kind.get("median_ratio_of_epochs")) is not None
    ]
    if not kinds:
        return []
    near = next((at for _, record in records if (at := number(record.get("near")))), None)
    drawn = [
        (name, kind)
        for name, kind in kinds
        if count(kind.get("n_lineages")) >= LEAST_LINEAGES and _told_apart(kind)
    ]
    return [
        text(*_words(drawn, near)),
        *_question(drawn),
        *([_figure(drawn, kinds)] if drawn else []),
    ]


def _told_apart(kind: Row) -> list[Row]:
    """Return how often the predictor names the faster run of a pair, by epochs seen."""
    found = [mapping(each) for each in sequence(kind.get("told_apart"))]
    known = [each for each in found if _accuracy(each)["value"] is not None and _seen(each) >= 0]
    return sorted(known, key=_seen)


def _seen(landmark: Row) -> float:
    """Return the epochs that both runs have been watched; -1 for what is no epoch."""
    found = number(landmark.get("epochs_seen"))
    return -1.0 if found is None else found


def _accuracy(landmark: Row) -> Estimate:
    return measured(landmark, "accuracy")


def _at_start(kind: Row) -> Estimate | None:
    """Return how often the faster run of a pair is named before the first epoch."""
    return next(
        (_accuracy(each) for each in _told_apart(kind) if _seen(each) == 0),
        None,
    )


def _words(drawn: Kinds, near: float | None) -> list[str]:
    """Say in how many pairs the faster run is named at the start, and what a pair is."""
    other, same = (_named(drawn, settings) for settings, _ in SETTINGS)
    parts = [f"in {other} if learning rate or optimizer differ"] if other else []
    parts += [f"in {same} if both are the same; a coin would name half"] if same else []
    first = "Before the first epoch, the faster of two runs from one start is named "
    return [
        *([f"{first}{', '.join(parts)}."] if parts else []),
        "Two runs end at one solution if their final parameters are nearer to each other than "
        f"{percent(near)} of the mean way that they came; where a family has no such pairs, the "
        "figure above is of others. The studies' gradient boosting names the faster, from the "
        "past alone and out of fold.",
    ]


def _named(drawn: Kinds, settings: str) -> str:
    """Return the share that is named by family, of pairs with one solution where there are any."""
    found: dict[str, str] = {}
    for name, kind in sorted(drawn, key=lambda pair: pair[1].get("end") != ONE):
        share = _at_start(kind)
        if kind.get("settings") == settings and share is not None:
            found.setdefault(name, f"{told_percent(share)} on {name}")
    return joined([found[name] for name in FAMILIES if name in found])


def _question(drawn: Kinds) -> list[Points]:
    """Return seed 003's question with the pairs that it is about: those with one solution."""
    asked = [
        (f"{name} under {_settings(kind)}", kind, share)
        for name, kind in drawn
        if kind.get("end") == ONE and (share := _at_start(kind)) is not None
    ]
    if not asked:
        return []
    yes = [words for words, _, share in asked if at_least(share, COIN + SURE) == HOLDS]
    no = [words for words, *_ in asked if words not in yes]
    parts = [f"yes for {joined(yes)}"] if yes else []
    parts += [f"no better than a coin for {joined(no)}"] if no else []
    return [
        claim(
            "Seed 003 asks (section 5.2)",
            "Do different paths to the same solution take predictably different times?",
            "; ".join(map(_measured, asked)) + ".",
            f"{'; '.join(parts)}.",
        )
    ]


def _settings(kind: Row) -> str:
    return "other settings" if kind.get("settings") == "other" else "the same settings"


def _measured(asked: tuple[str, Row, Estimate]) -> str:
    words, kind, share = asked
    ratio = decimal(number(kind.get("median_ratio_of_epochs")), 1)
    return (
        f"{words}, {integer(count(kind.get('n_pairs')))} pairs: the slower takes {ratio} times the "
        f"epochs of the faster (median), which is named at the start in {told_percent(share)}"
    )


def _figure(drawn: Kinds, kinds: Kinds) -> Figure:
    shown = [name for name in FAMILIES if any(name == family for family, _ in drawn)]
    columns = [
        column("family", start=""), column("settings", start=""), column("ends at", start=""),
        column("slower over faster, median", "brief"), column("pairs", "integer"),
        column("epochs seen", "integer"), column("faster named", "percent"),
    ]  # fmt: skip
    return figure(
        "told-apart",
        "Pairs of which the faster run is named",
        "By the epochs that both runs have been watched; the level dashed line is a coin. Full "
        "lines are of pairs that end at one solution, with 95\u202f% intervals over lineages; "
        "those that do not are dashed. Families of fewer than "
        f"{LEAST_LINEAGES} lineages stand in the data alone.",
        [
            _panel(title, own)
            for settings, title in SETTINGS
            if (own := [(name, kind) for name, kind in drawn if kind.get("settings") == settings])
        ],
        table("data", "How times of pairs differ, and how often it shows.", columns, _rows(kinds)),
        key=[*family_legend(shown), *legend((SEVERAL, "muted", "dash"))],
    )


def _panel(title: str, drawn: Kinds) -> Panel:
    lines = [_line(name, kind) for name, kind in drawn]
    seen = [_seen(each) for _, kind in drawn for each in _told_apart(kind)]
    chart = line_chart(
        [_coin(seen), *lines],
        x_label="epochs seen",
        y_label="share of pairs told apart",
        x_ticks=epoch_ticks([0, 1, *seen]),
        y_ticks=share_ticks(),
    )
    return panel(title, "; ".join(at["tip"] for line in lines for at in line["points"]), chart)


def _coin(seen: Sequence[float]) -> Line:
    ends = (0.0, max([1.0, *seen]))
    points = [_point(epoch_position(at), COIN, "a coin") for at in ends]
    return {"label": "", "colour": "ink", "dashed": True, "mark": "", "points": points}


def _line(name: str, kind: Row) -> Line:
    colour, mark = FAMILY_LOOKS[name]
    points = [_landmark(name, kind, each) for each in _told_apart(kind)]
    dashed = kind.get("end") != ONE
    return {"label": "", "colour": colour, "dashed": dashed, "mark": mark, "points": points}


def _landmark(name: str, kind: Row, landmark: Row) -> LinePoint:
    seen, share = _seen(landmark), _accuracy(landmark)
    tip = f"{name}, {word(kind.get('end'))}, {integer(seen)} epochs: {told_percent(share)}"
    point = _point(epoch_position(seen), share["value"] or 0.0, tip)
    return {**point, "lower": share["lower"], "upper": share["upper"]}


def _point(x: float, y: float, tip: str) -> LinePoint:
    return {"x": x, "y": y, "lower": None, "upper": None, "tip": tip}


def _rows(kinds: Kinds) -> Iterator[list[Cell]]:
    """Yield a row a kind of pairs and landmark; one without figures where there is no landmark."""
    for name, kind in kinds:
        for landmark in _told_apart(kind) or [{}]:
            yield [
                name,
                _settings(kind),
                word(kind.get("end")),
                number(kind.get("median_ratio_of_epochs")),
                count(landmark.get("n_pairs", kind.get("n_pairs"))),
                number(landmark.get("epochs_seen")),
                _accuracy(landmark) if landmark else None,
            ]
