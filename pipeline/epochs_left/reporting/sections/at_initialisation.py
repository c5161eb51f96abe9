"""What can be said before the first epoch, and how much depends on the initialisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.claims import HOLDS, at_least, claim
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import measured
from epochs_left.reporting.feature_words import feature_label
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    estimate,
    family_legend,
    told,
    told_percent,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.wording import brief, decimal, joined

INITIALISATION, ALIGNMENT = "initialisation.json", "alignment.json"
CAPE, SETTINGS = "CAPE", "hyperparameters"
CAUSAL, MEASURED = "causal", "causal and measured at the state"
#: What the sets of features are called.
WORDS = {
    CAPE: "CAPE's features",
    CAUSAL: "all that is known",
    MEASURED: "the same and measured",
}
#: What is held where initialisations are compared: on an axis, and in a sentence.
FIXED, PLAIN = "settings fixed", "plain SGD"
KINDS = {FIXED: "at fixed hyperparameters", PLAIN: "of plain SGD at varied rates"}
FLOOR = -0.2  # of R² and of shares: below it a figure says nothing

#: Entries of a file, each with its family.
Entries = Sequence[tuple[str, Row]]


@section(
    title="Before training",
    question="Can slow runs be told before they start, and does the initialisation matter?",
    order=89,
    reads=[f"{family}/{file}" for family in FAMILIES for file in (INITIALISATION, ALIGNMENT)],
)
def at_initialisation(results: Results) -> Sequence[Block]:
    """Show R² at epoch 0 by set of features, and the variance that lies between initialisations."""
    sets = [
        (name, row)
        for name in FAMILIES
        for row in results.below(name).rows(INITIALISATION)
        if estimate(row, "estimate")["value"] is not None
    ]
    shares = [
        (name, row)
        for name in FAMILIES
        for row in _parts(results.below(name))
        if _share(row)["value"] is not None
    ]
    drawn = [(name, row) for name, row in sets if count(row.get("n_lineages")) >= LEAST_LINEAGES]
    return [
        *([text(*_words(drawn))] if drawn else []),
        *([_question(drawn, shares)] if drawn or shares else []),
        *([_set_figure(drawn, sets)] if drawn else []),
        *([_share_figure(shares)] if shares else []),
    ]


def _parts(results: Results) -> list[Row]:
    return [mapping(row) for row in sequence(results.record(ALIGNMENT).get("initialisation"))]


def _share(row: Row) -> Estimate:
    return measured(row, "share_between_lineages")


def _of(entries: Entries, features: str) -> dict[str, Estimate]:
    """Return R² of a set of features by family."""
    return {
        name: estimate(row, "estimate") for name, row in entries if row.get("features") == features
    }


def _listed(found: Mapping[str, Estimate]) -> str:
    return joined([f"{told(each)} on {name}" for name, each in found.items()])


def _words(sets: Entries) -> list[str]:
    """Say what is explained at epoch 0, what CAPE's features do, and what measuring adds."""
    known, cape, probed = (_of(sets, features) for features in (CAUSAL, CAPE, MEASURED))
    words = []
    if known:
        words.append(f"Before the first epoch, all that is known has an R² of {_listed(known)}.")
    if cape:
        words.append(f"CAPE's features ({_names(sets)}) have {_listed(cape)}.")
    if known and probed:
        words.append(
            "With what has to be measured at the state besides, such as the agreement of the "
            f"examples' gradients (GradCosine, Yang et al. 2022), it is {_listed(probed)}."
        )
    return words


def _names(sets: Entries) -> str:
    """Return the names of CAPE's features in words."""
    names = next(sequence(row.get("names")) for _, row in sets if row.get("features") == CAPE)
    return joined([feature_label(word(name)) for name in names])


def _question(sets: Entries, shares: Entries) -> Block:
    """Answer seed 003: what the start says beyond the hyperparameters, and what it could say."""
    known, settings = _of(sets, CAUSAL), _of(sets, SETTINGS)
    judged = {
        name: at_least(known[name], _upper(settings[name])) for name in known if name in settings
    }
    yes = [name for name, verdict in judged.items() if verdict == HOLDS]
    no = [name for name in judged if name not in yes]
    parts = [f"beyond the hyperparameters for sure on {joined(yes)}"] if yes else []
    parts += [f"undecided on {joined(no)}, where intervals overlap"] if no else []
    figures = [f"R² of the hyperparameters alone {_listed(settings)}"] if settings else []
    figures += [f"with the start {_listed(known)}"] if known else []
    return claim(
        "Seed 003 asks (section 5.2)",
        "Can we predict slow convergence from initialization alone?",
        f"{'; '.join([*figures, *_shared(shares)])}.",
        f"{'; '.join(parts) or 'not measured'}.",
    )


def _upper(found: Estimate) -> float:
    """Return where an interval ends, or the figure where none was made."""
    bounds = (found["upper"], found["value"])
    return next((bound for bound in bounds if bound is not None), inf)


def _shared(shares: Entries) -> list[str]:
    """Say how much of the variance lies between initialisations, by what is held."""
    return [
        f"of the variance {words}, "
        + joined([f"{told_percent(_share(row))} on {name}" for name, row in own])
        + " lies between initialisations"
        for kind, words in KINDS.items()
        if (own := [(name, row) for name, row in shares if _kind(row) == kind])
    ]


def _set_figure(drawn: Entries, sets: Entries) -> Figure:
    rows: dict[str, list[Dot]] = {}
    for name, row in drawn:
        rows.setdefault(_set(row), []).append(_dot(name, _set(row), estimate(row, "estimate")))
    spoken = "; ".join(dot["tip"] for dots in rows.values() for dot in dots)
    chart = dot_chart("R² at epoch 0", _dot_rows(rows), floor=FLOOR, ceiling=1.02, reference=0.0)
    columns = [
        column("family", start=""), column("features"), column("model"), column("R²", "decimal"),
        column("how many", "integer"), column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    return figure(
        "sets",
        "What is explained before the first epoch",
        "R² of log(1 + R) at epoch 0 by lineage, on the runs whose start was measured; lines are "
        "95\u202f% intervals over lineages. CAPE's features are fitted with its random forest "
        "(Pourali et al. 2026), re-implemented from the paper's description; the others with "
        f"gradient boosting. What is below {decimal(FLOOR, 1)} stands at the left edge with its "
        f"value; a family of fewer than {LEAST_LINEAGES} lineages stands in the data alone.",
        [panel("R² at epoch 0", spoken, chart)],
        table("data", "R² at epoch 0 by lineage.", columns, [_set_cells(*entry) for entry in sets]),
        key=family_legend([name for name in FAMILIES if name in dict(drawn)]),
    )


def _set(row: Row) -> str:
    features = word(row.get("features"))
    return WORDS.get(features, features)


def _dot(name: str, what: str, found: Estimate) -> Dot:
    colour, mark = FAMILY_LOOKS[name]
    return {
        "estimate": found,
        "colour": colour,
        "mark": mark,
        "tip": f"{name}, {what}: {told(found)}",
    }


def _dot_rows(rows: Mapping[str, list[Dot]]) -> list[DotRow]:
    return [{"label": label, "quiet": False, "dots": dots} for label, dots in rows.items()]


def _set_cells(name: str, row: Row) -> list[Cell]:
    return [
        name,
        _set(row),
        word(row.get("regressor")).replace("_", " "),
        estimate(row, "estimate"),
        len(sequence(row.get("names"))),
        count(row.get("n_runs")),
        count(row.get("n_lineages")),
    ]


def _share_figure(shares: Entries) -> Figure:
    rows = {
        f"{name}, {_kind(row)}": [_dot(name, word(row.get("runs")), _share(row))]
        for name, row in shares
    }
    spoken = "; ".join(dot["tip"] for dots in rows.values() for dot in dots)
    chart = dot_chart(
        "share of the variance", _dot_rows(rows), floor=FLOOR, ceiling=1.02, reference=0.0
    )
    columns = [
        column("family", start=""), column("runs"), column("variance between", "percent"),
        column("of it between schemes", "percent"), column("epochs of each scheme over the mean"),
        column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    return figure(
        "between",
        "Variance of the epochs that lies between initialisations",
        "Share of the variance of log epochs to convergence that runs from one initialisation have "
        "in common (intraclass correlation), with 95\u202f% intervals over lineages: at fixed "
        "hyperparameters, or of plain SGD on its own clock, learning rate times steps. The rest "
        "is made by the order of the data and, where they vary, by the settings.",
        [panel("Variance between initialisations", spoken, chart)],
        table(
            "data",
            "Initialisations and their schemes.",
            columns,
            [_share_cells(*entry) for entry in shares],
        ),
    )


def _kind(row: Row) -> str:
    """Return what is held: a key of ``KINDS``."""
    return FIXED if "fixed" in word(row.get("runs")) else PLAIN


def _share_cells(name: str, row: Row) -> list[Cell]:
    schemes = [mapping(each) for each in sequence(row.get("schemes"))]
    factors = [
        f"{word(each.get('init_scheme'))} ×{brief(number(each.get('factor')))} "
        f"({count(each.get('n_lineages'))})"
        for each in schemes
    ]
    return [
        name,
        word(row.get("runs")),
        _share(row),
        number(row.get("share_of_that_between_schemes")),
        ", ".join(factors) if len(factors) > 1 else "one scheme",
        count(row.get("n_runs")),
        count(row.get("n_lineages")),
    ]
