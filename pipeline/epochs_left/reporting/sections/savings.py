"""What predictive stopping saves, and the regret that is paid for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
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
    points,
    table,
    text,
)
from epochs_left.reporting.estimates import is_below, measured, said_percent, value_of
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.ticks import Tick, share_ticks
from epochs_left.reporting.wording import CONFIDENCE, brief, percent

SAVINGS = "savings.json"
#: Epochs seen when runs are stopped, with the colour and mark of each.
LANDMARKS: Mapping[int, tuple[str, Mark]] = {0: ("orange", "circle"), 10: ("blue", "diamond")}
#: The landmark that the answer is about, and the one whose chance and hindsight are drawn.
STATED_AT = 10
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MOST_TICKS = 4
#: Regrets above this, as a share, end the axis: they are useless alike.
LARGEST = 4.0
PAYS_NOTHING = " Known beforehand: who knows how runs end pays nothing."


class Rule(NamedTuple):
    """A rule of savings.json, the one that knows how runs end, and the regret that it is shown by.

    ``stated`` is the threshold of the answer.
    """

    name: str
    hindsight: str
    regret: str
    stated: float
    title: str
    y_label: str


UNLIKELY = Rule(
    "unlikely to converge", "never converges, known beforehand", "converging_stopped", 0.1,
    "Stop what is unlikely to converge", "converging runs lost",
)  # fmt: skip
SLOW = Rule(
    "slower than the best sibling", "all but the fastest sibling, known beforehand", "slowdown",
    2.0, "Stop what is slower than its best sibling", "best run kept is slower by",
)  # fmt: skip
RULES = (UNLIKELY, SLOW)


@section(
    title="What it is good for: stopping",
    question="How many epochs are saved by stopping runs early, and at what price?",
    order=79,
    reads=[SAVINGS],
    of=EACH,
)
def savings(results: Results) -> Sequence[Block]:
    """Draw the regret of stopping against the epochs saved, a panel a rule."""
    record = results.record(SAVINGS)
    entries = [
        entry for entry in map(mapping, sequence(record.get("stopping"))) if _is_known(entry)
    ]
    drawn = [rule for rule in RULES if _of(entries, rule.name)]
    if not drawn:
        return []
    sentences = [words for rule in drawn if (words := _answer(entries, rule))]
    return [
        *([text(*sentences)] if sentences else []),
        *_claim(entries),
        _figure(entries, drawn, record),
    ]


def _is_known(entry: Row) -> bool:
    return number(entry.get("epochs_seen")) in LANDMARKS and _saved(entry)["value"] is not None


def _of(entries: Sequence[Row], name: str, at: int | None = None) -> list[Row]:
    """Return the entries of a rule, at one landmark or all, in the order of what they save."""
    own = [
        entry
        for entry in entries
        if entry.get("rule") == name and at in {None, count(entry.get("epochs_seen"))}
    ]
    return sorted(own, key=lambda entry: value_of(_saved(entry)))


def _saved(entry: Row, by: str = "predictor") -> Estimate:
    return measured(mapping(entry.get(by)), "epochs_saved")


def _regret(entry: Row, field: str, by: str = "predictor") -> Estimate:
    """Return a regret as a share: of the runs or lineages, or by which the best run is slower."""
    found = measured(mapping(entry.get(by)), field)
    if field != "slowdown":
        return found
    value, lower, upper = (
        None if bound is None else bound - 1
        for bound in (found["value"], found["lower"], found["upper"])
    )
    return {"value": value, "lower": lower, "upper": upper}


def _stated(entries: Sequence[Row], rule: Rule) -> Row | None:
    own = _of(entries, rule.name, STATED_AT)
    return next((entry for entry in own if entry.get("threshold") == rule.stated), None)


def _answer(entries: Sequence[Row], rule: Rule) -> str:
    entry = _stated(entries, rule)
    if entry is None:
        return ""
    saved, by_chance = _saved(entry), _saved(entry, "random")
    best = [_saved(row)["value"] for row in _of(entries, rule.hindsight, STATED_AT)[-1:]]
    hindsight = f" Who knew beforehand would save {percent(best[0])} at no price." if best else ""
    return (
        f"{_action(rule)} saves {said_percent(saved)} of all epochs; {_price(entry, rule)}. As "
        f"many stopped at random save {percent(by_chance['value'])} and "
        f"{_chance(entry, rule)}.{hindsight}"
    )


def _action(rule: Rule) -> str:
    if rule is UNLIKELY:
        return (
            f"Stopping, after {STATED_AT} epochs, the runs whose probability of converging is "
            f"below {percent(rule.stated)}"
        )
    return (
        f"Stopping, after {STATED_AT} epochs, the runs that are expected to take over "
        f"{brief(rule.stated)} times as long as the best of the same initialisation"
    )


def _price(entry: Row, rule: Rule) -> str:
    regret, lost = _regret(entry, rule.regret), _regret(entry, "lineages_lost")
    if rule is UNLIKELY:
        return f"{_part(regret)} of the runs that would have converged are lost ({CONFIDENCE}s)"
    kept = "is" if regret["value"] == 0 else f"takes {said_percent(regret, 1)} longer than"
    return (
        f"the best run that is kept {kept} the best of all, and {_part(lost)} of the "
        f"initialisations lose every run that converges ({CONFIDENCE}s)"
    )


def _part(share: Estimate) -> str:
    """Return a share as words: an interval from 0 to 0 would promise too much."""
    return "none" if share["value"] == 0 else said_percent(share, 1)


def _chance(entry: Row, rule: Rule) -> str:
    regret = percent(_regret(entry, rule.regret, "random")["value"])
    if rule is UNLIKELY:
        return f"lose {regret}"
    lost = percent(_regret(entry, "lineages_lost", "random")["value"])
    return f"leave a best run that takes {regret} longer, and lose {lost}"


def _claim(entries: Sequence[Row]) -> list[Block]:
    """Say whether stopping by prediction beats chance on both counts, as seed 003 hopes."""
    entry = _stated(entries, UNLIKELY)
    if entry is None:
        return []
    saves = is_below(_saved(entry, "random"), _saved(entry))
    spares = is_below(_regret(entry, UNLIKELY.regret), _regret(entry, UNLIKELY.regret, "random"))
    verdict = "holds" if saves and spares else "does not hold"
    return [
        points(
            (
                "Seed 003 (7.3): “Early stopping: Predict if training will take too long”.",
                f"Measured after {STATED_AT} epochs, against as many stopped at random: it saves "
                f"{'more' if saves else 'no more'} and loses {'fewer' if spares else 'no fewer'} "
                f"of the runs that converge: {verdict}.",
            )
        )
    ]


def _figure(entries: Sequence[Row], drawn: Sequence[Rule], record: Row) -> Figure:
    n_runs, n_lineages = (count(record.get(key)) for key in ("n_runs", "n_lineages"))
    looks = [(f"after {at} epochs", *look) for at, look in LANDMARKS.items()]
    key = legend(*looks, ("at random", "grey", "dash"))
    knows = any(_of(entries, rule.hindsight, STATED_AT) for rule in drawn)
    return figure(
        "stopping",
        "Regret paid against epochs saved",
        "Right is saved, up is paid: each line runs over the thresholds of a rule. Bands are "
        f"{CONFIDENCE}s of the regret over lineages; those of the epochs saved are in the data. "
        f"Locked test set, {n_runs} runs of {n_lineages} lineages, past alone; a sibling has the "
        "same initialisation and other hyperparameters. Dashed: as many runs stopped at random "
        f"after {STATED_AT} epochs.{PAYS_NOTHING if knows else ''}",
        [_panel(entries, rule) for rule in drawn],
        _table(entries, drawn),
        key=[*key, *(legend(("known beforehand", "ink", "diamond")) if knows else [])],
    )


def _panel(entries: Sequence[Row], rule: Rule) -> Panel:
    lines = [_line(_of(entries, rule.name, at), rule, at) for at in LANDMARKS]
    lines = [line for line in lines if line["points"]]
    known = _line(_of(entries, rule.hindsight, STATED_AT)[-1:], rule, None)
    shown = [*lines, *([known] if known["points"] else [])]
    tops = [
        bound for line in lines for at in line["points"] for bound in (at["y"], at["upper"] or 0)
    ]
    rights = [point["x"] for line in shown for point in line["points"]]
    chart = line_chart(
        [*_by_chance(entries, rule), *shown],
        x_label="epochs saved",
        y_label=rule.y_label,
        x_ticks=share_ticks(high=min(1.0, max(rights, default=0.2))),
        y_ticks=_ticks(max(tops, default=0.0)),
    )
    spoken = "; ".join(line["points"][at]["tip"] for line in shown for at in (0, -1))
    return panel(rule.title, spoken, chart)


def _ticks(top: float) -> list[Tick]:
    """Return ticks from 0 to at least ``top``, a share, at most `MOST_TICKS` steps of them."""
    step = next((step for step in STEPS if step * MOST_TICKS >= top), STEPS[-1])
    return share_ticks(step, high=max(top, 2 * step))


def _line(entries: Sequence[Row], rule: Rule, at: int | None) -> Line:
    """Return the line of a landmark; None for the point of who knows beforehand."""
    colour, mark = LANDMARKS[at] if at is not None else ("ink", "diamond")
    made = [point for entry in entries if (point := _point(entry, rule))]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": made}


def _point(entry: Row, rule: Rule) -> LinePoint | None:
    saved, regret = _saved(entry), _regret(entry, rule.regret)
    if saved["value"] is None or regret["value"] is None:
        return None
    seen = count(entry.get("epochs_seen"))
    saves, pays = percent(saved["value"]), said_percent(regret, 1)
    return {
        "x": saved["value"],
        "y": min(regret["value"], LARGEST),
        "lower": _within(regret["lower"]),
        "upper": _within(regret["upper"]),
        "tip": f"after {seen} epochs, {_threshold(entry)}: saves {saves}, pays {pays}",
    }


def _within(bound: float | None) -> float | None:
    return None if bound is None else min(bound, LARGEST)


def _by_chance(entries: Sequence[Row], rule: Rule) -> list[Line]:
    """Return the dashed line of random stopping, which begins where nothing is stopped."""
    pairs = [
        (_saved(entry, "random")["value"], _regret(entry, rule.regret, "random")["value"])
        for entry in _of(entries, rule.name, STATED_AT)
    ]
    known = sorted((x, y) for x, y in pairs if x is not None and y is not None)
    if not known:
        return []
    made: list[LinePoint] = [
        {"x": x, "y": y, "lower": None, "upper": None, "tip": ""} for x, y in [(0.0, 0.0), *known]
    ]
    return [{"label": "", "colour": "grey", "dashed": True, "mark": "", "points": made}]


def _threshold(entry: Row) -> str:
    """Return the threshold as people write it; nothing for who knows beforehand."""
    threshold = brief(number(entry.get("threshold")))
    signs = {UNLIKELY.name: f"P < {threshold}", SLOW.name: f"over ×{threshold}"}
    return signs.get(word(entry.get("rule")), "")


def _table(entries: Sequence[Row], drawn: Sequence[Rule]) -> Table:
    columns = [
        column("stopped if", start=""), column("threshold"), column("epochs seen", "integer"),
        column("runs stopped", "integer"), column("epochs saved", "percent"),
        column("regret drawn", "percent"), column("initialisations lost", "percent"),
        column("saved at random", "percent"), column("regret at random", "percent"),
    ]  # fmt: skip
    rows = [
        _row(entry, rule)
        for rule in drawn
        for entry in [*_of(entries, rule.name), *_of(entries, rule.hindsight, STATED_AT)]
    ]
    caption = (
        "Stopping by prediction. The regret is the share of converging runs that are stopped, or, "
        "beside siblings, by how much the best run kept is slower."
    )
    return table("data", caption, columns, rows)


def _row(entry: Row, rule: Rule) -> list[Cell]:
    return [
        word(entry.get("rule")),
        _threshold(entry),
        count(entry.get("epochs_seen")),
        count(entry.get("n_stopped")),
        _saved(entry),
        _regret(entry, rule.regret),
        _regret(entry, "lineages_lost")["value"],
        _saved(entry, "random")["value"],
        _regret(entry, rule.regret, "random")["value"],
    ]
