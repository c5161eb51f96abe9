"""The scores of a backtest as tables: for a terminal by rich, else in plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochs_left.backtesting.scores import MIN_LINEAGES
from epochs_left.cli.messages import is_terminal, one_line, printable, write_stdout

Entry = Mapping[str, Any]
#: More tasks are in the JSON alone.
SHOWN_TASKS = 8
_NONE = "-"


@dataclass(frozen=True)
class TextTable:
    """A table for people; the first column is text, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


_SCORE_HEAD = (
    "forecaster",
    "runs",
    "lineages",
    "not reached",
    "not predictable",
    "error",
    "R2",
    "R2 log",
    "Spearman",
    "coverage",
    "width",
    "AUC",
)
_SCORE_KEYS = ("n_scored", "n_lineages", "n_censored", "n_not_predictable")
#: Columns that a narrow terminal goes without, these first; the JSON has them.
_SPARE = (
    *("lineages", "not predictable", "not reached", "width", "Spearman", "R2 log", "ties"),
    *("open", "tasks lost", "rightly", "best stopped"),
)
_PAIR_HEAD = ("forecaster", "against", "runs", "wins", "losses", "ties", "difference", "better")
_POLICY_HEAD = (
    "policy",
    "open",
    "stopped",
    "rightly",
    "wrongly",
    "epochs saved",
    "best stopped",
    "tasks lost",
    "slowdown",
)


def show(results: Mapping[str, Any]) -> None:
    """Write the tables of a backtest to stdout."""
    tables = list(_tables(results))
    note = _footnote(results, tables)
    if not is_terminal(sys.stdout):
        write_stdout("\n".join([_plain(table) for table in tables] + [note]))
        return
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - slow to import
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    for table in (fitting(table, console.width) for table in tables):
        shown = Table(title=Text(printable(table.title)), title_justify="left", box=SIMPLE_HEAD)
        for number, name in enumerate(table.head):
            shown.add_column(name, justify="right" if number else "left", no_wrap=True)
        for row in table.rows:
            shown.add_row(*(Text(printable(cell)) for cell in row))
        console.print(shown)
    console.print(Text(note), end="")


def fitting(table: TextTable, width: int) -> TextTable:
    """Return a table without as many of the spare columns as do not fit in ``width`` letters."""
    for name in _SPARE:
        cells = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
        if sum(cells) + 3 * len(cells) + 1 <= width:
            break
        if name in table.head:
            at = table.head.index(name)
            rows = [row[:at] + row[at + 1 :] for row in table.rows]
            table = TextTable(table.title, table.head[:at] + table.head[at + 1 :], rows)
    return table


def _tables(results: Mapping[str, Any]) -> Iterator[TextTable]:
    """Yield every score; what is compared and stopped of all runs together."""
    for budget in results["budgets"]:
        at = f"{budget:g} % of the horizon"
        for task in _shown_tasks(results):
            what = f"{at}, {'all runs' if task is None else one_line(task)}"
            yield from _table(results["scores"], budget, task, what, _SCORE_HEAD, _score_row)
        title = f"{at}: what is tried against each baseline on the same runs"
        yield from _table(results["comparisons"], budget, None, title, _PAIR_HEAD, _pair_row)
        title = f"{at}: stopping runs there"
        yield from _table(results["policies"], budget, None, title, _POLICY_HEAD, _policy_row)


def _table(
    entries: Sequence[Entry],
    budget: float,
    task: str | None,
    title: str,
    head: tuple[str, ...],
    row: Callable[[Entry], tuple[str, ...]],
) -> Iterator[TextTable]:
    """Yield the table of the entries at a budget and task, if there are any."""
    chosen = [each for each in entries if (each["budget"], each["task"]) == (budget, task)]
    if chosen:
        yield TextTable(title, head, [row(each) for each in chosen])


def _shown_tasks(results: Mapping[str, Any]) -> list[str | None]:
    tasks = dict.fromkeys(each["task"] for each in results["scores"])
    named = [task for task in tasks if task is not None]
    return [None, *named] if len(named) <= SHOWN_TASKS else [None]


def _score_row(entry: Entry) -> tuple[str, ...]:
    error = entry["median_relative_error"]
    return (
        entry["forecaster"],
        *(f"{entry[key]:,}" for key in _SCORE_KEYS),
        _with_interval(error),
        *(_estimate(entry[key]) for key in ("r2", "r2_log", "spearman", "coverage")),
        _estimate(entry["width_factor"]),
        _estimate(entry["auc"]),
    )


def _pair_row(entry: Entry) -> tuple[str, ...]:
    tried, baseline = entry["forecaster"], entry["baseline"]
    better = {True: tried, False: baseline, None: "neither"}[entry["is_better"]]
    counts = (f"{entry[key]:,}" for key in ("n_runs", "wins", "losses", "ties"))
    return (tried, baseline, *counts, _with_interval(entry["difference"]), better)


def _policy_row(entry: Entry) -> tuple[str, ...]:
    keys = ("n_open", "n_stopped", "n_rightly", "n_wrongly")
    saved, slowdown = (
        {"estimate": entry[name], **entry["intervals"][name]}
        for name in ("epochs_saved", "slowdown")
    )
    return (
        entry["policy"],
        *(f"{entry[key]:,}" for key in keys),
        _with_interval(saved, ".1%"),
        f"{entry['n_best_stopped']:,} of {entry['n_tasks']:,}",
        f"{entry['n_tasks_lost']:,}",
        _with_interval(slowdown),
    )


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _estimate(score: Entry | None) -> str:
    return _NONE if score is None else _number(score["estimate"])


def _with_interval(score: Entry | None, form: str = ".2f") -> str:
    if score is None or score["estimate"] is None:
        return _NONE
    estimate = format(score["estimate"], form)
    if score["lower"] is None:
        return estimate
    return f"{estimate} ({score['lower']:{form}} to {score['upper']:{form}})"


def _footnote(results: Mapping[str, Any], tables: Sequence[TextTable]) -> str:
    """Return what the columns mean, and what is not shown."""
    counts = results["runs"]
    lines = [f"{counts['n_runs']:,} runs"]
    if tables:
        lines[0] += (
            f" in {counts['n_lineages']:,} lineages: {counts['n_reached']:,} reached it, "
            f"{counts['n_not_reached']:,} did not, {counts['n_unfinished']:,} ended before that "
            "is known."
        )
        lines.append(
            "error: median of |predicted - actual| / actual, both the time of reaching, with 95 % "
            f"intervals over lineages where they are {MIN_LINEAGES} or more; coverage and width of "
            f"{results['level']:.0%} intervals, width as a factor on the epochs left; AUC of "
            "reaching it or not."
        )
    if results["policies"]:
        lines.append(
            "stopping: the runs of a task one after another, by name; slowdown: time of the best "
            "run kept over that of the best run; both intervals are given that order, and left "
            "out where all resamples agree."
        )
    n_tasks = len({each["task"] for each in results["scores"]} - {None})
    if n_tasks > SHOWN_TASKS:
        lines.append(f"Scores of {n_tasks:,} tasks are in the JSON alone: pass -o FILE.")
    return "\n".join(lines) + "\n"


def _plain(table: TextTable) -> str:
    """Return a table as aligned text."""
    rows = [table.head, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, *lines]) + "\n"
