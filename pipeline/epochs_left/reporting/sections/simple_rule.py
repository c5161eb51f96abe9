"""A rule that a person can keep in mind, and what it loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.charts.tree import Node, tree_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Mark,
    choice,
    column,
    figure,
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.estimates import measured
from epochs_left.reporting.feature_words import bounded_exp, feature_label, is_count, is_log
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.rules import Rule, Split, features, leaves, parsed, question
from epochs_left.reporting.scoring import (
    BY_LINEAGE,
    SCORES,
    Score,
    first,
    read_scores,
    told,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import brief, decimal, joined, span

RULE = "simple_rule.json"
BEST, TREE, FORMULA = "best", "tree", "formula"
#: Contenders with their looks: best first.
LOOKS: Sequence[tuple[str, str, str, Mark]] = (
    (BEST, "gradient boosting, every feature", "blue", "circle"),
    (TREE, "three questions (tree)", "vermillion", "diamond"),
    (FORMULA, "three terms (formula)", "green", "square"),
)
NEURON = "neuron"
#: Baselines of the neuron that know its equations, and the parts that they are compared on.
THEORIES = ("theory", "linearised")
WHOLE = "all"
PARTS = ("abs, full batch, no momentum", "abs, full batch", WHOLE)


@section(
    title="A simple rule",
    question="Is there a rule that a person can keep in mind, and what does it lose?",
    order=86,
    reads=[*(f"{family}/{RULE}" for family in FAMILIES), f"{NEURON}/{SCORES}"],
)
def simple_rule(results: Results) -> Sequence[Block]:
    """Show a tree of depth 3 and a formula of three terms beside the best model, in words."""
    records = {name: results.below(name).record(RULE) for name in FAMILIES}
    known = {
        name: record
        for name, record in records.items()
        if measured(record, BEST)["value"] is not None
    }
    if not known:
        return []
    rules = [(name, name, blocks) for name, record in known.items() if (blocks := _rule(record))]
    return [
        text(*_words(known)),
        _figure(known),
        *([choice("Family", rules)] if rules else []),
        *_closed_form(known.get(NEURON, {}), results.below(NEURON)),
    ]


def _words(known: Mapping[str, Row]) -> list[str]:
    """Say what the tree reaches beside the best model, and what the formula loses."""
    trees = {
        name: own
        for name, record in known.items()
        if (own := measured(record, TREE))["value"] is not None
    }
    reached = joined([f"{told(own)} on {name}" for name, own in trees.items()])
    best = joined([decimal(measured(known[name], BEST)["value"]) for name in trees])
    lost = [loss for record in known.values() if (loss := _loss(record, FORMULA)) is not None]
    said = (
        f"Three questions about a run reach an R² of {reached}; a model of every feature, fitted "
        f"on the same runs, has {best}.",
        f"A formula of three terms loses {span(lost or [0.0])} of R². Both rules know the past "
        "alone, and choose their features anew in each fold.",
    )
    return [words for words, there in zip(said, (trees, lost), strict=True) if there]


def _loss(record: Row, kind: str) -> float | None:
    best, own = measured(record, BEST)["value"], measured(record, kind)["value"]
    return None if best is None or own is None else best - own


def _figure(known: Mapping[str, Row]) -> Figure:
    rows = [_dot_row(name, record) for name, record in known.items()]
    spoken = "; ".join(dot["tip"] for row in rows for dot in row["dots"])
    columns = [
        column("family", start=""), column("rule"), column("R²", "decimal"),
        column("lost", "decimal"), column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    cells = [
        _cells(name, record, kind, label)
        for name, record in known.items()
        for kind, label, *_ in LOOKS
    ]
    return figure(
        "accuracy",
        "What a rule of three questions or three terms explains",
        "R² of log(1 + R) by lineage, every run weighing the same, past alone, with 95\u202f% "
        "intervals over lineages. All are fitted on the same runs, a part of the family's: the "
        "leaderboard has the models that are fitted on all of them.",
        [panel("R² by lineage", spoken, dot_chart("R² by lineage", rows, ceiling=1.02))],
        table("data", "R² of rules and of the best model on the same runs.", columns, cells),
        key=legend(*((label, colour, mark) for _, label, colour, mark in LOOKS)),
    )


def _dot_row(name: str, record: Row) -> DotRow:
    dots: list[Dot] = [
        {
            "estimate": measured(record, kind),
            "colour": colour,
            "mark": mark,
            "tip": f"{name}, {label}: {told(measured(record, kind))}",
        }
        for kind, label, colour, mark in LOOKS
    ]
    return {"label": name, "quiet": False, "dots": dots}


def _cells(name: str, record: Row, kind: str, label: str) -> list[Cell]:
    own = mapping(record.get(kind))
    return [
        name, label, measured(record, kind), _loss(record, kind),
        count(own.get("n_runs")), count(own.get("n_lineages")),
    ]  # fmt: skip


def _rule(record: Row) -> list[Block]:
    """Return the tree with what its letters stand for, and the formula as its factors."""
    rule = parsed(word(mapping(record.get(TREE)).get("text"), ""))
    blocks = _formula(record)
    if not isinstance(rule, Split):
        return blocks
    letters = dict(zip(features(rule), ascii_uppercase, strict=False))
    key = [(f"{letter}:", feature_label(name)) for name, letter in letters.items()]
    return [_tree_figure(record, rule, letters), points(*key), *blocks]


def _tree_figure(record: Row, rule: Split, letters: Mapping[str, str]) -> Figure:
    rows: list[list[Cell]] = [
        [" and ".join(conditions), bounded_exp(value) - 1] for conditions, value in leaves(rule)
    ]
    spoken = "; ".join(f"{conditions}: {brief(number(epochs))}" for conditions, epochs in rows)
    columns = [column("if"), column("epochs left", "brief")]
    return figure(
        "tree",
        f"Three questions, R² {told(measured(record, TREE))}",
        "From left to right: the upper branch for yes, the lower one for no; at its end the "
        "epochs that are left, those of the mean of log(1 + R). The letters are below. The data "
        "spell each way out.",
        [
            panel(
                "Questions and epochs left", spoken, tree_chart("epochs left", _node(rule, letters))
            )
        ],
        table("data", "The tree, a row an answer.", columns, rows),
    )


def _node(rule: Rule, letters: Mapping[str, str]) -> Node:
    if not isinstance(rule, Split):
        epochs = brief(bounded_exp(rule) - 1)
        return {"label": epochs, "tip": f"{epochs} epochs left", "branches": []}
    return {
        "label": question(letters.get(rule.feature, "?"), rule),
        "tip": question(feature_label(rule.feature), rule),
        "branches": [_node(rule.yes, letters), _node(rule.no, letters)],
    }


def _formula(record: Row) -> list[Block]:
    """Return log(1 + R) = intercept + sum of coefficient x feature as a product."""
    terms = [
        (word(term.get("term")), number(term.get("coefficient")))
        for term in map(mapping, sequence(mapping(record.get(FORMULA)).get("terms")))
    ]
    factors = [_factor(name, value) for name, value in terms if value is not None]
    if not factors:
        return []
    return [
        text(
            f"The formula, R² {told(measured(record, FORMULA))}: 1 + epochs left is the product of"
        ),
        points(*factors),
    ]


def _factor(name: str, coefficient: float) -> tuple[str, str]:
    """Return the factor exp(coefficient x feature), as a power where the feature is a logarithm."""
    if name == "intercept":
        return brief(bounded_exp(coefficient)), ""
    power, words = decimal(coefficient), feature_label(name)
    if is_count(name):
        return f"(1 + x)^{power},", f"x the {words}"
    return (f"x^{power}," if is_log(name) else f"e^({power} · x),"), f"x the {words}"


def _closed_form(record: Row, results: Results) -> list[Block]:
    """Compare the neuron's rule with what follows from its equations."""
    same = {"split": BY_LINEAGE, "metric": "r2", "scale": "log", "weighting": "run"}
    scores = [score for score in read_scores(results) if score.model in THEORIES]
    found = [
        score
        for part in PARTS
        for model in THEORIES
        if (score := first(scores, model=model, scope=part, **same)) is not None
    ]
    if not found or measured(record, TREE)["value"] is None:
        return []
    rows: list[list[Cell]] = [
        [score.title, score.scope, score.estimate, score.n_runs] for score in found
    ]
    rows += [
        [label, WHOLE, measured(record, kind), count(mapping(record.get(kind)).get("n_runs"))]
        for kind, label, *_ in LOOKS
    ]
    columns = [
        column("rule"),
        column("runs of"),
        column("R²", "decimal"),
        column("runs", "integer"),
    ]
    caption = "R² by lineage on the neuron: derived from its equations, and learnt from runs."
    return [text(_against(record, found)), table("theory", caption, columns, rows)]


def _against(record: Row, found: Sequence[Score]) -> str:
    """Say what the derived forecasts reach in each part, the tree over all, and what it asks."""
    derived = "; ".join(
        f"{score.title.lower()} {told(score.estimate)} on {score.scope}"
        for score in found
        if score.scope in (PARTS[0], WHOLE)
    )
    rule = parsed(word(mapping(record.get(TREE)).get("text"), ""))
    asked = features(rule)[0] if isinstance(rule, Split) else ""
    return (
        f"The neuron's rule against the closed form, R² by lineage: {derived}; the tree "
        f"{told(measured(record, TREE))} on {WHOLE}"
        + (f". It asks first for the {feature_label(asked)}." if asked else ".")
    )
