"""What the log-linear model says of each feature, and which groups count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Estimate,
    Figure,
    Panel,
    Table,
    column,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.feature_words import (
    KIND_COLOURS,
    bounded_exp,
    feature_label,
    group_kind,
    group_label,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import CAUSAL, ORACLE, estimate, told, view_title
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import brief, joined

INFERENCE = "inference.json"
MOST_DOTS = 8
LEVEL = 0.05  # of the tests
_VIEWS = (CAUSAL, ORACLE)

ByView = Mapping[str, Sequence[Row]]


@section(
    title="Coefficients",
    question="Which features count when all others are held, by a test that knows runs repeat?",
    order=82,
    reads=[INFERENCE],
    of=EACH,
)
def coefficients(results: Results) -> Sequence[Block]:
    """Show the surest coefficients of the log-linear model, and the tests of feature groups."""
    record = results.record(INFERENCE)
    tests = _by_view(record, "tests")
    found = {
        view: sorted(filter(_is_sure, rows), key=lambda row: -_ratio(row))
        for view, rows in _by_view(record, "coefficients").items()
    }
    drawn = {view: rows for view, rows in found.items() if rows}
    tested = {view: own for view, rows in tests.items() if (own := list(filter(_is_tested, rows)))}
    words = [
        f"{view_title(view)}: {_verdict(tested[view])}{_surest(drawn.get(view, []))}"
        for view in tested
    ]
    words += _left_out(tests)
    if not words:
        return []
    blocks: list[Block] = [text(*words)]
    blocks += [_figure(drawn)] if drawn else []
    return [*blocks, _test_table(tested)] if tested else blocks


def _by_view(record: Row, name: str) -> dict[str, list[Row]]:
    rows = [mapping(row) for row in sequence(record.get(name))]
    return {view: [row for row in rows if row.get("view") == view] for view in _VIEWS}


def _is_sure(row: Row) -> bool:
    """Tell whether a coefficient is that of a feature and has an interval."""
    has_error = (number(row.get("standard_error")) or 0.0) > 0
    return row.get("group") is not None and has_error and _effect(row)["value"] is not None


def _effect(row: Row) -> Estimate:
    return estimate(row, "estimate")


def _ratio(row: Row) -> float:
    """Return the size of a coefficient in standard errors."""
    return abs(number(row.get("estimate")) or 0.0) / (number(row.get("standard_error")) or 1.0)


def _surest(rows: Sequence[Row]) -> str:
    """Say what the coefficient with the most standard errors does to the epochs left."""
    if not rows:
        return ""
    effect = _effect(rows[0])
    factor: Estimate = {
        "value": _factor(effect["value"]),
        "lower": _factor(effect["lower"]),
        "upper": _factor(effect["upper"]),
    }
    return (
        f" The surest coefficient belongs to the {feature_label(word(rows[0].get('feature')))}: "
        f"one standard deviation more multiplies the epochs left by {told(factor)}, all "
        "other features held."
    )


def _factor(effect: float | None) -> float | None:
    return None if effect is None else bounded_exp(effect)


def _is_tested(row: Row) -> bool:
    return _p_value(row, "wald") is not None


def _p_value(row: Row, test: str) -> float | None:
    return number(mapping(row.get(test)).get("p_value"))


def _verdict(rows: Sequence[Row]) -> str:
    """Say which groups count, and what a test that takes rows as independent would say."""
    not_counted = [group_label(word(row.get("group"))) for row in rows if not row.get("counts")]
    but = f" ({joined(not_counted)} cannot be told from nothing)" if not_counted else ""
    n_by_lr = sum((_p_value(row, "lr") or 0.0) < LEVEL for row in rows)
    return (
        f"{len(rows) - len(not_counted)} of {len(rows)} groups of features count by the Wald test "
        f"with lineages as clusters{but}. The likelihood-ratio test, which is valid for "
        f"independent rows alone, would keep {n_by_lr}{_overstated(rows)}."
    )


def _overstated(rows: Sequence[Row]) -> str:
    """Say by how much the likelihood ratio a column exceeds the F statistic in the median group."""
    pairs = [(_strength(row, "lr"), _strength(row, "wald")) for row in rows]
    ratios = [lr / wald for lr, wald in pairs if lr is not None and wald]
    if not ratios:
        return ""
    return f": its statistic a column is {brief(median(ratios))} times as large in the median group"


def _strength(row: Row, test: str) -> float | None:
    """Return F of Wald's test, or chi-squared over its degrees of freedom of the other."""
    record = mapping(row.get(test))
    statistic, df = number(record.get("statistic")), count(record.get("df"))
    if statistic is None or test == "wald":
        return statistic
    return statistic / df if df else None


def _left_out(tests: ByView) -> list[str]:
    """Say why groups were not tested: once where the whole view was not."""
    said = []
    for view, rows in tests.items():
        notes = dict.fromkeys(word(row.get("note"), "") for row in rows if not _is_tested(row))
        reasons = [note for note in notes if note]
        said += [f"{view_title(view)}, not tested: {'; '.join(reasons)}."] if reasons else []
    return said


def _figure(drawn: ByView) -> Figure:
    return figure(
        "coefficients",
        "Effect of one standard deviation of a feature",
        "Coefficients of least squares on standardised features, every run weighing the same, in "
        "sample: the change of log(1 + R), so that 0.7 doubles the epochs and −0.7 halves them. "
        "Lines are 95\u202f% intervals with lineages as clusters. Each holds the other features: "
        "of features that say the same, one may take a sign that it would not have alone. The "
        "eight that are largest in standard errors.",
        [_panel(view, rows[:MOST_DOTS]) for view, rows in drawn.items()],
        _data(drawn),
    )


def _panel(view: str, rows: Sequence[Row]) -> Panel:
    dots = [_dot_row(row) for row in rows]
    spoken = "; ".join(row["dots"][0]["tip"] for row in dots)
    return panel(view_title(view), spoken, dot_chart("change of log(1 + R)", dots, reference=0.0))


def _dot_row(row: Row) -> DotRow:
    name = word(row.get("feature"))
    colour = KIND_COLOURS[group_kind(word(row.get("group")))]
    tip = f"{feature_label(name)}: {told(_effect(row))}"
    dot: Dot = {"estimate": _effect(row), "colour": colour, "mark": "circle", "tip": tip}
    return {"label": name.replace("_", " "), "quiet": False, "dots": [dot]}


def _data(drawn: ByView) -> Table:
    columns = [
        column("view", start=""), column("feature", "code"), column("in words"),
        column("change of log(1 + R)", "decimal"), column("standard errors", "decimal"),
    ]  # fmt: skip
    cells = [_cells(view, row) for view, rows in drawn.items() for row in rows[:MOST_DOTS]]
    return table("data", "Coefficients of the log-linear model.", columns, cells)


def _cells(view: str, row: Row) -> list[Cell]:
    name = word(row.get("feature"))
    return [view_title(view), name, feature_label(name), _effect(row), _ratio(row)]


def _test_table(tested: ByView) -> Table:
    """Return a row a group with both tests of each view, the strongest first."""
    columns = [column("features")]
    for view in tested:
        columns += [
            column(f"{view_title(view).lower()}: F, lineages as clusters", "brief"),
            column("χ² a column, rows independent", "brief"),
        ]
    by_group: dict[str, dict[str, Row]] = {}
    for view, rows in tested.items():
        for row in sorted(rows, key=lambda row: -(_strength(row, "wald") or 0.0)):
            by_group.setdefault(group_label(word(row.get("group"))), {})[view] = row
    cells = [
        [label, *(cell for view in tested for cell in _statistics(found.get(view, {})))]
        for label, found in by_group.items()
    ]
    caption = (
        "Tests that all coefficients of a group are 0; both statistics are 1 where a group says "
        "nothing. A group counts by Wald's test, adjusted by Holm over the groups of a view to a "
        f"level of {LEVEL}."
    )
    return table("tests", caption, columns, cells)


def _statistics(row: Row) -> tuple[float | None, float | None]:
    return _strength(row, "wald"), _strength(row, "lr")
