"""The first screen: the research questions answered in plain words, over all families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp

from epochs_left.reporting import scoring
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Fact,
    Figure,
    column,
    fact,
    facts,
    figure,
    headline,
    legend,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    CAUSAL,
    LEAST_LINEAGES,
    ORACLE,
    Score,
    told,
    told_percent,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.standings import (
    CEILING_FILE,
    CEILING_LOOK,
    NEVER_SEEN,
    NEVER_SEEN_LOOK,
    Standing,
    axis_floor,
    standing_panel,
    standings,
)
from epochs_left.reporting.wording import (
    CONFIDENCE,
    brief,
    joined,
    percent,
    span,
    span_percent,
)

ERRORS, CONVERGENCE = "error_by_epoch.json", "convergence.json"
CALIBRATION, IMPORTANCE, BEATEN = "calibration.json", "importance.json", "beats_baselines.json"
TRANSFER, HELD_OUT = "transfer_families.json", "held_out_families.json"
OF_FAMILIES = (
    scoring.SCORES, CEILING_FILE, CONVERGENCE, CALIBRATION, IMPORTANCE, ERRORS, BEATEN,
)  # fmt: skip
READS = [f"{family}/{name}" for family in FAMILIES for name in OF_FAMILIES]

QUESTIONS = {
    ORACLE: "Can it be predicted when the end point is known?",
    CAUSAL: "And when the end is unknown, as in a run in progress?",
}
LEVEL = 0.9  # of the prediction intervals that are spoken of
EARLY, LATE = 0, 10  # epochs seen between which the typical error is compared
GOOD, POOR = 0.5, 0.2  # R² from which the answer is yes, and below which it is no
LOOKS = (*scoring.SPLITS[1:], NEVER_SEEN_LOOK, CEILING_LOOK)

Told = Mapping[str, Estimate]


@section(
    title="Verdict", question="The answer in brief.", order=0, reads=[*READS, TRANSFER, HELD_OUT]
)
def verdict(results: Results) -> Sequence[Block]:
    """Answer whether, how well, by what, where not, and how surely."""
    found = standings(results)
    if not found:
        return []
    unseen = _unseen(results)
    families = {name: results.below(name) for name in FAMILIES}
    answers = [
        *(_answer(view, [each for each in found if each.view == view]) for view in _views(found)),
        *_drivers(families),
        *_beaten(families),
        *_elsewhere(unseen),
        *_weakest(families, found),
        *_convergence(families),
        *_coverage(families, results.rows(HELD_OUT)),
    ]
    return [
        headline(_sentence(found, unseen)),
        facts(*answers),
        _figure(found, unseen),
        *_row_wise(found),
    ]


def _views(found: Sequence[Standing]) -> list[str]:
    return [view for view, _ in scoring.VIEWS if any(each.view == view for each in found)]


def _levels(found: Sequence[Standing], view: str) -> list[float]:
    return [each.best.estimate["value"] or 0.0 for each in found if each.view == view]


def _unseen(results: Results) -> Told:
    """Return R² by family of a model that was trained on all other families."""
    return {
        word(row.get("tested_on")): scoring.estimate(row, "estimate")
        for row in results.rows(TRANSFER)
        if row.get("trained_on") == "all others" and number(row.get("estimate")) is not None
    }


def _sentence(found: Sequence[Standing], unseen: Told) -> str:
    ways = {ORACLE: "knowing the end", CAUSAL: "from the past alone"}
    parts = [f"{span_percent(_levels(found, view))} {ways[view]}" for view in _views(found)]
    known = _levels(found, _views(found)[-1])
    answer = "Yes" if min(known) >= GOOD else "No" if max(known) < POOR else "In part"
    sentence = (
        f"{answer}, within families seen in training: of the variation in remaining epochs we "
        f"explain {joined(parts)}."
    )
    levels = [each["value"] or 0.0 for each in unseen.values()]
    if not levels:
        return sentence
    only = "only " if max(levels) < min(known) else ""
    return f"{sentence} In families never seen, {only}{span_percent(levels)}."


def _answer(view: str, found: Sequence[Standing]) -> Fact:
    sizes = {each.family: each.best.estimate for each in found}
    shares = {each.family: each.share for each in found if each.share is not None}
    words = [
        f"of the variation in remaining epochs explained, on lineages not trained on: "
        f"{_listed(sizes, digits=1)}.",
        *([f"Of what the past can tell, that is {_listed(shares, digits=1)}."] if shares else []),
    ]
    return fact(QUESTIONS[view], span_percent(_levels(found, view)), " ".join(words))


def _listed(named: Told, digits: int = 0) -> str:
    """Return ``neuron 99 % (98 to 99 %), ...``."""
    return ", ".join(f"{name} {told_percent(each, digits)}" for name, each in named.items())


def _drivers(families: Mapping[str, Results]) -> list[Fact]:
    best = {name: row for name, own in families.items() if (row := _top_feature(own)) is not None}
    if not best:
        return []
    labels = {name: scoring.feature_label(row) for name, row in best.items()}
    (leader, n_led), *_ = Counter(reversed(labels.values())).most_common()
    costs = {name: scoring.estimate(row, "importance") for name, row in best.items()}
    listed = "; ".join(f"{name}: {labels[name]}, {told(costs[name])}" for name in best)
    where = f"leads in {n_led} of {len(best)} families. " if len(best) > 1 else ""
    cost = f"What shuffling the first group of features between runs costs of R²: {listed}."
    return [fact("What drives it, from the past alone?", leader, f"{where}{cost}")]


def _top_feature(own: Results) -> Row | None:
    rows = [row for row in own.rows(IMPORTANCE) if row.get("view") == CAUSAL]
    return max(rows, key=lambda row: number(row.get("importance")) or 0.0, default=None)


def _elsewhere(unseen: Told) -> list[Fact]:
    if not unseen:
        return []
    values = [each["value"] or 0.0 for each in unseen.values()]
    words = (
        "explained in a family that was not in training, by a model trained on all the others: "
        f"{_listed(unseen)}."
    )
    return [fact("Where does it fail? In families never seen", span_percent(values), words)]


def _weakest(families: Mapping[str, Results], found: Sequence[Standing]) -> list[Fact]:
    """Tell the part of a family that is predicted worst, and what few epochs cost."""
    best = {each.family: each.best for each in found if each.view == CAUSAL}
    parts = [(name, part) for name in best for part in _parts(families[name], best[name])]
    if not parts:
        return []
    family, worst = min(parts, key=lambda pair: pair[1].estimate["value"] or 0.0)
    words = (
        f"of the variation is explained in the weakest part on the locked test: {family}, "
        f"{worst.scope}, {told_percent(worst.estimate)}."
    )
    pairs = {name: pair for name in best if (pair := _errors(families[name], best[name]))}
    listed = [f"{percent(a)} and {percent(b)} ({name})" for name, (a, b) in pairs.items()]
    early = f" The typical error at epoch {EARLY} and {LATE} is {joined(listed)}."
    value = percent(worst.estimate["value"])
    return [fact("And where within a family?", value, words + (early if pairs else ""))]


def _parts(own: Results, best: Score) -> list[Score]:
    """Return R² of a model by part of its family, of parts with enough lineages."""
    scores = scoring.read_scores(
        own, metric="r2", scale="log", weighting="run", split=scoring.LOCKED_TEST,
        model=best.model, view=best.view,
    )  # fmt: skip
    return [
        each
        for each in scoring.known(scores)
        if each.scope != "all" and each.n_lineages >= LEAST_LINEAGES
    ]


def _errors(own: Results, best: Score) -> tuple[float, float] | None:
    """Return the median relative error of a model early and late."""
    at = {
        count(row.get("epochs_seen")): number(row.get("median_relative_error"))
        for row in own.rows(ERRORS)
        if (row.get("model"), row.get("view")) == (best.model, best.view)
    }
    early, late = at.get(EARLY), at.get(LATE)
    return None if early is None or late is None else (early, late)


def _beaten(families: Mapping[str, Results]) -> list[Fact]:
    records = {name: own.record(BEATEN) for name, own in families.items()}
    rules = {name: _rules(record) for name, record in records.items() if _rules(record)}
    if not rules:
        return []
    left = {
        name: [word(rule.get("title")) for rule in listed if not rule.get("beaten")]
        for name, listed in rules.items()
    }
    failing = [f"in {name}, {joined(titles)}" for name, titles in left.items() if titles]
    words = "the best model beats every simple rule: formulas, curve fits, medians of other runs."
    words += f" Not beaten for certain: {'; '.join(failing)}." if failing else ""
    n_beaten = sum(not titles for titles in left.values())
    return [
        fact("Is it better than a simple rule?", f"in {n_beaten} of {len(rules)} families", words)
    ]


def _rules(record: Row) -> list[Row]:
    return [mapping(rule) for rule in sequence(record.get("baselines"))]


def _convergence(families: Mapping[str, Results]) -> list[Fact]:
    records = {name: own.record(CONVERGENCE) for name, own in families.items()}
    areas = {
        name: scoring.estimate(row, "auc", "auc_lower", "auc_upper")
        for name, row in records.items()
    }
    sure, unsure = _split(areas)
    if not sure:
        return []
    epochs = {count(records[name].get("at_epoch")) for name in sure}
    listed = ", ".join(f"{name} {told(each)}" for name, each in sure.items())
    words = f"AUC after {span(epochs, 0)} epochs, of runs whose end is open: {listed}."
    values = [each["value"] or 0.0 for each in sure.values()]
    return [fact("Will it converge at all?", span(values), words + _too_few(unsure))]


def _split(named: Told) -> tuple[dict[str, Estimate], list[str]]:
    """Return the figures that have an interval, and the names of those that have none."""
    known = {name: each for name, each in named.items() if each["value"] is not None}
    sure = {name: each for name, each in known.items() if each["lower"] is not None}
    return sure, [name for name in known if name not in sure]


def _too_few(names: Sequence[str]) -> str:
    return f" Too few lineages to say: {joined(list(names))}." if names else ""


def _coverage(families: Mapping[str, Results], held_out: Sequence[Row]) -> list[Fact]:
    entries = {name: row for name, own in families.items() if (row := _interval(own)) is not None}
    held = {
        name: scoring.estimate(mapping(row.get("coverage")), "estimate")
        for name, row in entries.items()
    }
    sure, unsure = _split(held)
    if not sure:
        return []
    widths = [f"{brief(number(entries[name].get('median_ratio')))} ({name})" for name in sure]
    words = (
        f"of the {percent(LEVEL)} intervals hold the truth on the locked test: {_listed(sure)}. "
        f"Their upper end is typically {joined(widths)} times the lower.{_too_few(unsure)}"
        f"{_far_off(held_out)}"
    )
    values = [each["value"] or 0.0 for each in sure.values()]
    return [fact("How sure is it?", span_percent(values), words)]


def _interval(own: Results) -> Row | None:
    rows = map(mapping, sequence(own.record(CALIBRATION).get("intervals")))
    return next(
        (row for row in rows if (row.get("scope"), number(row.get("level"))) == ("all", LEVEL)),
        None,
    )


def _far_off(held_out: Sequence[Row]) -> str:
    pairs = [(number(row.get("coverage")), number(row.get("log_width"))) for row in held_out]
    known = [(held, width) for held, width in pairs if held is not None and width is not None]
    if not known:
        return ""
    held, factors = [at[0] for at in known], [exp(at[1]) for at in known]
    return (
        f" In families never seen {span_percent(held)} hold, at the price of {span(factors, 0)} "
        "times."
    )


def _figure(found: Sequence[Standing], unseen: Told) -> Figure:
    shown = [_drawn(each, unseen) for each in found]
    looks = [look for look in LOOKS if any(look[0] in each.figures for each in shown)]
    floor = min(0.0, axis_floor(shown))
    names = [name for name, _, _ in (scoring.SPLITS[0], *looks)]
    columns = [column("family", start=""), column("view", start=""), column("model")]
    columns += [column(name, "decimal") for name in names] + [column("runs", "integer")]
    rows: list[list[Cell]] = [
        [
            each.family, scoring.view_title(each.view), each.best.title,
            *(each.figures.get(name) for name in names), each.best.n_runs,
        ]
        for each in shown
    ]  # fmt: skip
    return figure(
        "families",
        "How much of the variation is explained, by family",
        f"R² of log(1 + epochs remaining), each run weighing the same, with {CONFIDENCE}s over "
        "lineages: 1 is perfect, 0 is what always saying the average explains. The best model of "
        "each family by lineage; on the locked test, a fifth of all lineages, where that holds "
        "enough of them for an interval. In a family never seen: of a model that was trained on "
        "all the others. No model that sees the past alone exceeds the ceiling: "
        "the rest is the order of the examples still to come.",
        [standing_panel(view, shown, looks, floor=floor) for view in _views(found)],
        table("data", "R² of the best model of each family and view.", columns, rows),
        key=legend(*looks),
    )


def _drawn(standing: Standing, unseen: Told) -> Standing:
    """Add what is left of it where the family was not in training."""
    if standing.view != CAUSAL or standing.family not in unseen:
        return standing
    return replace(standing, figures={**standing.figures, NEVER_SEEN: unseen[standing.family]})


def _row_wise(found: Sequence[Standing]) -> list[Block]:
    gaps = [each.gap["value"] for each in found if each.gap and each.gap["value"] is not None]
    if not gaps:
        return []
    return [
        text(
            "Every figure here is of runs whose lineage was not in training. Scored row-wise, with "
            f"epochs of one run on both sides, R² of the same models is {span(gaps, 3)} higher on "
            "the same rows: see Families."
        )
    ]
