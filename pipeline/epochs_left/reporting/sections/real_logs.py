"""Public logs that nobody here made: the released predictor against simple rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
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
    note,
    panel,
    table,
    text,
)
from epochs_left.reporting.estimates import said, value_of
from epochs_left.reporting.replays import (
    MODEL,
    TRIED,
    WITH_SIBLINGS,
    Scored,
    best_rule,
    entries_of,
    read_scored,
    rule_label,
)
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.sections import section
from epochs_left.reporting.ticks import Tick, share_ticks
from epochs_left.reporting.wording import brief, integer, joined, percent

REAL_LOGS = "benchmarks/real_logs.json"
#: Name of the logs taken together, in the file and in the report.
POOLED, TOGETHER = "pooled", "All together"
#: Budget that the sentence in front is about, if it was tried.
TOLD_BUDGET = 25.0
#: Relative errors above this end the axis: they are useless alike.
HIGHEST = 1.0
#: Right end of the axis of coverage, so that a mark at 1 is whole.
BEYOND_ALL = 1.03
RULE = "rule"
LOOKS: Mapping[str, tuple[str, str, Mark]] = {
    MODEL: ("predictor", "blue", "circle"),
    WITH_SIBLINGS: ("with finished runs", "green", "diamond"),
    RULE: ("best simple rule, picked afterwards", "grey", "square"),
}
_COUNTS = ("n_runs", "n_lineages", "n_reached", "n_not_reached", "n_unfinished")

Entries = Sequence[Scored]
Names = Mapping[str, str]


@section(
    title="Real logs",
    question="Does it work on training runs that nobody here made?",
    order=108,
    reads=[REAL_LOGS],
    command="python benchmarks/real_logs.py FOLDER",
)
def real_logs(results: Results) -> Sequence[Block]:
    """Draw errors and coverage on public logs by budget, and say where a simple rule wins."""
    record = results.record(REAL_LOGS)
    found = read_scored(record)
    tried = [each for each in found if not each.is_rule]
    if not tried:
        return []
    logs = entries_of(record, "logs")
    names = {POOLED: TOGETHER, **{word(row.get("log")): word(row.get("title")) for row in logs}}
    together = [word(row.get("log")) for row in logs if row.get("is_pooled")]
    return [
        text(_words(found, names, len(together)), _about(record)),
        note(
            "These are development logs: they served to choose features and priors, never to fit. "
            "Expect somewhat more error on logs that served for neither."
        ),
        _error_figure(found, names),
        *_coverage([each for each in tried if each.log in together], names, record),
        *_losses(tried, names),
        *_origins(logs),
    ]


def _words(found: Entries, names: Names, n_together: int) -> str:
    """Say the error at one budget, of the logs together if they were scored so."""
    logs, budgets = _logs(found), {each.budget for each in found}
    log = POOLED if POOLED in logs else logs[0]
    budget = TOLD_BUDGET if TOLD_BUDGET in budgets else min(budgets)
    at = _at(found, log, budget)
    if MODEL not in at:
        return f"The predictor by itself was not tried at {brief(budget)}\u202f% of the horizon."
    sets = f"{n_together} public set{'s' * (n_together != 1)} of logs"
    named = sets if log == POOLED else names.get(log, log)
    told = [
        f"the predictor misses the epoch at which the plateau begins by "
        f"{said(at[MODEL].error, percent)} of it (median)",
        *(
            f"together with finished runs of the task by {said(each.error, percent)}"
            for name, each in at.items()
            if name == WITH_SIBLINGS
        ),
        *_rule_words(best_rule(found, log, budget)),
    ]
    return (
        f"On {integer(at[MODEL].n_runs)} runs of {named}, at {brief(budget)}\u202f% of their "
        f"horizon, {'; '.join(told)}. {_against(at[MODEL])}"
    )


def _rule_words(rule: Scored | None) -> list[str]:
    if rule is None:
        return []
    name = rule_label(rule.forecaster)
    return [f"the best simple rule ({name}), picked afterwards, by {said(rule.error, percent)}"]


def _against(model: Scored) -> str:
    """Say which rules the predictor beats by itself, and which beat it."""
    lost = joined([rule_label(name) for name, _ in model.ahead])
    beaten = f"{len(model.behind)} of {len(model.against)} rules"
    return f"By itself it errs less than {beaten} beyond chance, and more than {lost or 'none'}."


def _about(record: Row) -> str:
    share, level = (percent(number(record.get(name))) for name in ("plateau", "level"))
    digest = word(record.get("model_sha256"))[:12]
    return (
        f"Asked: when the loss comes within {share} of its whole fall, for good. Every run is "
        "replayed up to an absolute budget and weighs the same; the schedule of the learning rate "
        "is stated where it is known, as its user would, and once not. Intervals promise "
        f"{level}. Predictor: {word(record.get('model'))} ({digest})."
    )


def _logs(found: Entries) -> list[str]:
    return list(dict.fromkeys(each.log for each in found))


def _who(each: Scored) -> str:
    return rule_label(each.forecaster) if each.is_rule else LOOKS[each.forecaster][0]


def _error_figure(found: Entries, names: Names) -> Figure:
    return figure(
        "errors",
        "Error by budget",
        "Median of |predicted − actual| over the actual epoch of the plateau; bands are "
        "95\u202f% intervals over lineages. A budget is a percent of the planned epochs. Green: "
        "the predictor together with finished runs of other lineages of the task. The best rule "
        "is picked log by log and budget by budget with the truth in hand. Values beyond "
        "100\u202f% stand at the upper edge.",
        [_error_panel(found, log, names) for log in _logs(found)],
        _error_table(found, names),
        key=legend(*LOOKS.values()),
    )


def _error_panel(found: Entries, log: str, names: Names) -> Panel:
    budgets = sorted({each.budget for each in found})
    rules = [rule for at in budgets if (rule := best_rule(found, log, at)) is not None]
    of_log = [each for each in found if each.log == log]
    series = {RULE: rules}
    for name in reversed(TRIED):
        series[name] = [each for each in of_log if each.forecaster == name]
    lines = [_line(name, entries) for name, entries in series.items() if entries]
    ends = [end for line in lines for at in line["points"] for end in (at["y"], at["upper"])]
    top = max(end for end in ends if end is not None)
    chart = line_chart(
        lines,
        x_label="budget (share of the planned epochs)",
        y_label="median relative error",
        x_ticks=_budget_ticks(budgets),
        y_ticks=share_ticks(0.1 if top <= 0.5 else 0.2, high=max(0.2, top)),
    )
    return panel(names.get(log, log), _spoken(series), chart)


def _spoken(series: Mapping[str, Entries]) -> str:
    """Return the errors of each line; of rules the name is that of the tooltip and the table."""
    return "; ".join(
        f"{LOOKS[name][0]}: "
        + ", ".join(f"{said(each.error, percent)} at {brief(each.budget)} %" for each in entries)
        for name, entries in series.items()
        if entries
    )


def _budget_ticks(budgets: Sequence[float]) -> list[Tick]:
    ticks: list[Tick] = [{"at": at, "label": f"{brief(at)}\u202f%"} for at in budgets]
    return [{"at": 0.0, "label": "0"}, *ticks]


def _line(name: str, entries: Entries) -> Line:
    _, colour, mark = LOOKS[name]
    return {
        "label": "",
        "colour": colour,
        "dashed": name == RULE,
        "mark": mark,
        "points": [_point(each) for each in sorted(entries, key=lambda each: each.budget)],
    }


def _point(each: Scored) -> LinePoint:
    error = each.error
    return {
        "x": each.budget,
        "y": min(value_of(error), HIGHEST),
        "lower": _capped(error["lower"]),
        "upper": _capped(error["upper"]),
        "tip": f"{_who(each)}, {brief(each.budget)} %: {said(error, percent)}",
    }


def _capped(value: float | None) -> float | None:
    return None if value is None else min(value, HIGHEST)


def _error_table(found: Entries, names: Names) -> Table:
    """Table what is tried and the best rule: the file has all of them."""
    columns = [
        column("log", start=""), column("budget, %", "integer"), column("predictor", "percent"),
        column("with finished runs", "percent"), column("best rule", "percent"),
        column("which"), column("R² of log time, predictor", "decimal"),
        column("runs", "integer"),
    ]  # fmt: skip
    rows = [_error_row(found, *place, names) for place in _places(found)]
    return table("data", "Median relative errors on real logs.", columns, rows)


def _places(found: Entries) -> list[tuple[str, float]]:
    return list(dict.fromkeys((each.log, each.budget) for each in found))


def _at(found: Entries, log: str, budget: float) -> dict[str, Scored]:
    """Return what was scored on a log at a budget by the forecaster's name."""
    return {each.forecaster: each for each in found if (each.log, each.budget) == (log, budget)}


def _error_row(found: Entries, log: str, budget: float, names: Names) -> list[Cell]:
    at, rule = _at(found, log, budget), best_rule(found, log, budget)
    model = at.get(MODEL)
    return [
        names.get(log, log),
        budget,
        *(at[name].error if name in at else None for name in TRIED),
        None if rule is None else rule.error,
        None if rule is None else _who(rule),
        None if model is None else model.r2_log["value"],
        max(each.n_runs for each in at.values()),
    ]


def _coverage(tried: Entries, names: Names, record: Row) -> list[Block]:
    held = [each for each in tried if each.coverage["value"] is not None]
    if not held:
        return []
    level = number(record.get("level"))
    rows = [_coverage_row(held, *place, names) for place in _places(held)]
    chart = dot_chart(
        "share of intervals that hold the truth", rows, ceiling=BEYOND_ALL, reference=level
    )
    told = "; ".join(
        f"{row['label']}: {', '.join(at['tip'] for at in row['dots'])}" for row in rows
    )
    return [
        figure(
            "coverage",
            "Do the intervals hold the truth?",
            f"Share of {percent(level)} intervals that hold the truth, with 95\u202f% intervals "
            "over lineages, all that is known being stated; the line is what is promised. To its "
            "left intervals are too narrow, to its right wider than need be. The data tell how "
            "wide: a typical upper end over the lower, both plus one.",
            [panel("Coverage", told, chart)],
            _coverage_table(held, names),
            key=legend(*(LOOKS[name] for name in TRIED)),
        )
    ]


def _coverage_row(held: Entries, log: str, budget: float, names: Names) -> DotRow:
    at = _at(held, log, budget)
    dots = [_coverage_dot(at[name]) for name in TRIED if name in at]
    return {"label": f"{names.get(log, log)}, {brief(budget)} %", "quiet": False, "dots": dots}


def _coverage_dot(each: Scored) -> Dot:
    who, colour, mark = LOOKS[each.forecaster]
    tip = f"{who}: {said(each.coverage, percent)}"
    return {"estimate": each.coverage, "colour": colour, "mark": mark, "tip": tip}


def _coverage_table(held: Entries, names: Names) -> Table:
    columns = [column("log", start=""), column("budget, %", "integer")]
    for name in TRIED:
        columns += [column(LOOKS[name][0], "percent"), column("upper over lower", "brief")]
    rows = [_coverage_cells(held, *place, names) for place in _places(held)]
    return table("data", "Coverage and width on real logs.", columns, rows)


def _coverage_cells(held: Entries, log: str, budget: float, names: Names) -> list[Cell]:
    at = _at(held, log, budget)
    found = [at.get(name) for name in TRIED]
    figures = [None if each is None else (each.coverage, each.width["value"]) for each in found]
    pairs = (pair or (None, None) for pair in figures)
    return [names.get(log, log), budget, *(cell for pair in pairs for cell in pair)]


def _losses(tried: Entries, names: Names) -> list[Block]:
    """Table where a simple rule errs less beyond chance: the rule that is ahead by most."""
    lost = [each for each in tried if each.ahead]
    cases = f"{len(tried)} cases (a log, a budget, by itself or with finished runs)"
    if not lost:
        return [text(f"In none of {cases} does a simple rule err less beyond chance.")]
    columns = [
        column("log", start=""), column("budget, %", "integer"), column("forecaster"),
        column("its error", "percent"), column("rule ahead of it"), column("by, points", "brief"),
    ]  # fmt: skip
    rows = [_loss(each, names) for each in lost]
    return [
        text(f"Where it loses: in {len(lost)} of {cases} a simple rule errs less beyond chance."),
        table("losses", "Where a simple rule errs less, in points of error.", columns, rows),
    ]


def _loss(each: Scored, names: Names) -> list[Cell]:
    rule, by = each.ahead[0]
    points: Estimate = {
        "value": 100 * value_of(by), "lower": _times_100(by["lower"]),
        "upper": _times_100(by["upper"]),
    }  # fmt: skip
    return [
        names.get(each.log, each.log), each.budget, _who(each), each.error["value"],
        rule_label(rule), points,
    ]  # fmt: skip


def _times_100(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _origins(logs: Sequence[Row]) -> list[Block]:
    if not logs:
        return []
    columns = [
        column("log"), column("from"), column("metric"), column("runs", "integer"),
        column("lineages", "integer"), column("reached it", "integer"),
        column("did not", "integer"), column("ended early", "integer"),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [*(word(row.get(name)) for name in ("title", "origin", "metric")),
         *(count(row.get(name)) for name in _COUNTS)]
        for row in logs
    ]  # fmt: skip
    return [table("logs", "The logs; runs that ended early are not scored.", columns, rows)]
