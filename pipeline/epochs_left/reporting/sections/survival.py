"""Whether and when together: censored runs scored as survival analysis scores curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
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
from epochs_left.reporting.results import Results, Row, count, mapping, number, word
from epochs_left.reporting.scoring import estimate
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.ticks import epoch_position, epoch_ticks, share_ticks
from epochs_left.reporting.wording import between, decimal, joined

SURVIVAL = "survival.json"
SIBLINGS = "siblings"
#: What is drawn beside the best regressor, as it is called, coloured and marked.
RIVALS: Mapping[str, tuple[str, str, Mark]] = {
    "failure_times": ("Boosted failure times, without P(converges)", "orange", "diamond"),
    "survival_forest": ("Random survival forest", "green", "square"),
    SIBLINGS: ("Kaplan-Meier of finished siblings", "grey", "circle"),
}
BEST: tuple[str, str, Mark] = ("best regressor, with P(converges)", "blue", "circle")
SCORES = {"c_index": "C-index (concordance)", "integrated_brier": "Integrated Brier score"}


@section(
    title="Whether and when together",
    question="Do the predicted survival curves rank runs, and are they near the truth?",
    order=78,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (SURVIVAL,)],
)
def survival(results: Results) -> Sequence[Block]:
    """Draw concordance and integrated Brier score against the epoch, a panel a family."""
    entries = {name: results.below(name).rows(SURVIVAL) for name in FAMILIES}
    scored = {name: own for name, rows in entries.items() if (own := _scored(rows))}
    reasons = {word(row.get("missing"), "") for rows in entries.values() for row in rows} - {""}
    blocks: list[Block] = [note(*sorted(reasons))] if reasons else []
    if not scored:
        return blocks
    return [text(_words(entries, scored)), *blocks, *(_figure(key, scored) for key in SCORES)]


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if any(_value(row, key) is not None for key in SCORES)]


def _value(row: Row, key: str) -> float | None:
    return estimate(mapping(row.get(key)), "estimate")["value"]


def _words(entries: Mapping[str, Sequence[Row]], scored: Mapping[str, Sequence[Row]]) -> str:
    left = [name for name in entries if name not in scored]
    aside = f" Too few runs that converge, or no result, for: {joined(left)}." if left else ""
    return (
        "A run that never converges is not left out here but censored at the cap. One row of each "
        "run of the locked test set that is unresolved at a landmark gets a survival curve: the "
        "predicted distribution of its epochs times P(converges). The C-index (Uno et al. 2011, "
        "weighted by the inverse probability of censoring) is the share of pairs of runs in the "
        "right order, .5 by chance; the Brier score (Graf et al. 1999, weighted the same way) is "
        "the squared distance of the curve from what happened, averaged over the epochs up to the "
        f"cap, 0 at best.{aside}"
    )


def _figure(key: str, scored: Mapping[str, Sequence[Row]]) -> Figure:
    best = {name: word(rows[0].get("model")) for name, rows in scored.items()}
    better = "Higher" if key == "c_index" else "Lower"
    return figure(
        key.replace("_", "-"),
        f"{SCORES[key]} at landmark epochs",
        f"{better} is better. The band is the best regressor's 95\u202f% interval, by the "
        "jackknife over lineages; the data have those of all, and the other regressors. Runs that "
        "end leave, so that a landmark has other runs than the one before.",
        [_panel(key, name, rows, best[name]) for name, rows in scored.items()],
        _table(key, scored),
        key=[*legend(BEST), *legend(*(RIVALS[name] for name in RIVALS if _has(scored, name)))],
    )


def _has(scored: Mapping[str, Sequence[Row]], model: str) -> bool:
    return any(row.get("model") == model for rows in scored.values() for row in rows)


def _panel(key: str, name: str, rows: Sequence[Row], best: str) -> Panel:
    shown = {best: BEST, **RIVALS}
    lines = [_line(key, [row for row in rows if row.get("model") == model], look, model)
             for model, look in shown.items()]  # fmt: skip
    tops = [point["y"] for line in lines for point in line["points"]]
    is_rank = key == "c_index"
    y_ticks = share_ticks(0.1) if is_rank else share_ticks(0.05, high=max([0.1, *tops]))
    chart = line_chart(
        [line for line in lines if line["points"]],
        x_label="epochs seen",
        y_label=SCORES[key],
        x_ticks=epoch_ticks(number(row.get("at_epoch")) for row in rows),
        y_ticks=[
            {"at": tick["at"], "label": decimal(tick["at"])}
            for tick in y_ticks
            if not is_rank or tick["at"] >= min([0.45, *tops]) - 0.1
        ],
    )
    return panel(name, "; ".join(_ends(line) for line in lines if line["points"]), chart)


def _line(key: str, rows: Sequence[Row], look: tuple[str, str, Mark], model: str) -> Line:
    _, colour, mark = look
    points = [point for row in rows if (point := _point(key, row, banded=model not in RIVALS))]
    points.sort(key=lambda point: point["x"])
    is_rule = model == SIBLINGS
    return {"label": "", "colour": colour, "dashed": is_rule, "mark": mark, "points": points}


def _point(key: str, row: Row, *, banded: bool) -> LinePoint | None:
    at, score = number(row.get("at_epoch")), estimate(mapping(row.get(key)), "estimate")
    if at is None or score["value"] is None:
        return None
    bounds = between(score["lower"], score["upper"], 3)
    value = decimal(score["value"], 3) + (f" ({bounds})" if bounds else "")
    return {
        "x": epoch_position(at),
        "y": score["value"],
        "lower": score["lower"] if banded else None,
        "upper": score["upper"] if banded else None,
        "tip": f"{word(row.get('title'))}, epoch {at:.0f}: {value}",
    }


def _ends(line: Line) -> str:
    first, last = line["points"][0]["tip"], line["points"][-1]["tip"]
    return first if first == last else f"{first}; {last}"


def _table(key: str, scored: Mapping[str, Sequence[Row]]) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            word(row.get("title")),
            count(row.get("at_epoch")),
            estimate(mapping(row.get(key)), "estimate"),
            *(count(row.get(field)) for field in ("n_runs", "n_converged", "n_lineages")),
        ]
        for name, own in scored.items()
        for row in own
    ]
    columns = [
        column("family", start=""), column("model", start=""), column("epochs seen", "integer"),
        column(SCORES[key], "decimal"), column("runs", "integer"),
        column("of them converged", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    return table("data", f"{SCORES[key]} of survival curves.", columns, rows)
