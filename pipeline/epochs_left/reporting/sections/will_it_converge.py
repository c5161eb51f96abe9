"""Whether a run converges at all: how well that is told, when, and whether P means what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.charts.reliability import ReliabilityBin, reliability_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Column,
    Estimate,
    Fact,
    Figure,
    Panel,
    column,
    fact,
    facts,
    figure,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    estimate,
    family_legend,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.ticks import Tick, epoch_position, epoch_ticks
from epochs_left.reporting.wording import CONFIDENCE, between, decimal, joined, percent

CONVERGENCE = "convergence.json"
#: An AUC of a coin; the axis of AUC begins here unless one is lower.
COIN = 0.5


@section(
    title="Will it converge at all?",
    question="How early is a run that never converges told from one that does?",
    order=76,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (CONVERGENCE,)],
)
def will_it_converge(results: Results) -> Sequence[Block]:
    """Show AUC by family at one landmark and along all of them, then reliability."""
    records = {name: results.below(name).record(CONVERGENCE) for name in FAMILIES}
    found = {name: record for name, record in records.items() if _area(record)["value"] is not None}
    bins = {name: _bins(record) for name, record in records.items()}
    blocks: list[Block] = []
    if found:
        blocks += [text(_words(found)), facts(*(_fact(*item) for item in found.items()))]
    lines = {name: _line(name, records[name]) for name in FAMILIES}
    drawn = {name: line for name, line in lines.items() if line["points"]}
    if drawn:
        blocks.append(_auc_figure(drawn, records))
    filled = {name: own for name, own in bins.items() if own}
    return [*blocks, _reliability_figure(filled, records)] if filled else blocks


def _area(record: Row) -> Estimate:
    return estimate(record, "auc", "auc_lower", "auc_upper")


def _words(found: Mapping[str, Row]) -> str:
    bare = [name for name, record in found.items() if _area(record)["lower"] is None]
    aside = f" Too few lineages for an interval: {joined(bare)}." if bare else ""
    return (
        "P(converges by the cap) of the best causal model, on the locked test set: one row of each "
        "run that is still unresolved at an epoch, lineages never seen in training. An AUC of 1 "
        f"tells every run apart, .5 none.{aside}"
    )


def _fact(name: str, record: Row) -> Fact:
    area, at = _area(record), number(record.get("at_epoch"))
    bounds = between(area["lower"], area["upper"], 3)
    when = "" if at is None else f" at epoch {at:.0f}"
    runs = f"{count(record.get('n_runs')):,} unresolved runs{when}"
    brier = decimal(number(record.get("brier")), 3)
    detail = f"{f'{CONFIDENCE} {bounds}; ' if bounds else ''}{runs}; Brier score {brier}"
    return fact(f"{name}: AUC", decimal(area["value"], 3), detail)


def _landmarks(record: Row) -> list[Row]:
    return [mapping(entry) for entry in sequence(record.get("landmarks"))]


def _line(name: str, record: Row) -> Line:
    """Return the AUC of a family against the epoch, where enough lineages are left."""
    colour, mark = FAMILY_LOOKS[name]
    points = [
        point
        for entry in _landmarks(record)
        if count(entry.get("n_lineages")) >= LEAST_LINEAGES
        and (point := _point(name, entry)) is not None
    ]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _point(name: str, entry: Row) -> LinePoint | None:
    at, area = number(entry.get("at_epoch")), estimate(mapping(entry.get("auc")), "estimate")
    if at is None or area["value"] is None:
        return None
    bounds = between(area["lower"], area["upper"], 3)
    value = decimal(area["value"], 3) + (f" ({bounds})" if bounds else "")
    runs = f"{count(entry.get('n_runs')):,} runs"
    return {
        "x": epoch_position(at),
        "y": area["value"],
        "lower": area["lower"],
        "upper": area["upper"],
        "tip": f"{name}, epoch {at:.0f}: {value}, {runs}",
    }


def _auc_figure(drawn: Mapping[str, Line], records: Mapping[str, Row]) -> Figure:
    points = [point for line in drawn.values() for point in line["points"]]
    epochs = [
        number(entry.get("at_epoch")) for each in records.values() for entry in _landmarks(each)
    ]
    chart = line_chart(
        list(drawn.values()),
        x_label="epochs seen",
        y_label="AUC of “it converges”",
        x_ticks=epoch_ticks(epochs),
        y_ticks=_area_ticks([point["lower"] or point["y"] for point in points]),
    )
    return figure(
        "auc",
        "Telling runs that converge from those that never do",
        "Runs that end leave, so that those at the right are the slow ones and those that never "
        "end well: harder to tell, and fewer. Bands are 95\u202f% intervals over lineages. The "
        "data have the Brier score and how far P is off on average, beside what a perfectly "
        "calibrated forecaster has on as few runs.",
        [panel("AUC by epochs seen", "; ".join(point["tip"] for point in points), chart)],
        table("data", "P(converges) at landmark epochs.", *_landmark_table(records)),
        key=family_legend(drawn),
    )


def _area_ticks(values: Sequence[float]) -> list[Tick]:
    step = 0.02 if min(values) >= 0.88 else 0.1
    low = min(COIN if step > 0.05 else 0.88, *values)
    first = int(low / step + 1e-9)
    return [{"at": i * step, "label": decimal(i * step)} for i in range(first, round(1 / step) + 1)]


def _landmark_table(records: Mapping[str, Row]) -> tuple[list[Column], list[list[Cell]]]:
    columns = [
        column("family", start=""), column("epochs seen", "integer"), column("runs", "integer"),
        column("lineages", "integer"), column("converged", "percent"), column("AUC", "decimal"),
        column("Brier score", "decimal"), column("mean of P less outcome", "decimal"),
        column("calibration error", "decimal"), column("the same by chance", "decimal"),
    ]  # fmt: skip
    return columns, [
        _landmark_row(name, entry)
        for name, record in records.items()
        for entry in _landmarks(record)
    ]


def _landmark_row(name: str, entry: Row) -> list[Cell]:
    return [
        name,
        *(count(entry.get(key)) for key in ("at_epoch", "n_runs", "n_lineages")),
        number(entry.get("share_converged")),
        *(estimate(mapping(entry.get(key)), "estimate") for key in ("auc", "brier", "bias")),
        *(number(entry.get(f"calibration_error{key}")) for key in ("", "_by_chance")),
    ]


def _bins(record: Row) -> list[ReliabilityBin]:
    found = [_bin(mapping(row)) for row in sequence(record.get("reliability"))]
    return sorted((each for each in found if each is not None), key=lambda each: each["predicted"])


def _bin(row: Row) -> ReliabilityBin | None:
    predicted, observed = number(row.get("predicted")), number(row.get("observed"))
    if predicted is None or observed is None:
        return None
    return {
        "predicted": predicted,
        "observed": observed,
        "lower": number(row.get("lower")),
        "upper": number(row.get("upper")),
        "n": count(row.get("n")),
    }


def _reliability_figure(
    bins: Mapping[str, Sequence[ReliabilityBin]], records: Mapping[str, Row]
) -> Figure:
    at = next((found for name in bins if (found := number(records[name].get("at_epoch")))), None)
    when = "" if at is None else f" at epoch {at:.0f}"
    rows: list[list[Cell]] = [
        [name, each["predicted"], _observed(each), each["n"]]
        for name, own in bins.items()
        for each in own
    ]
    columns = [column("family", start=""), column("predicted", "percent")]
    columns += [column("converged", "percent"), column("runs", "integer")]
    return figure(
        "reliability",
        "Does P(converges) mean what it says?",
        f"Runs unresolved{when} in bins of about as many by their P(converges). On the dashed line "
        "as many converge as predicted; upright lines are 95\u202f% Wilson intervals, counting "
        "lineages. Grey bars at the foot: how many runs have such a P.",
        [_reliability_panel(name, own) for name, own in bins.items() if _many(records[name])]
        or [_reliability_panel(name, own) for name, own in bins.items()],
        table("data", "Predicted and observed share of converged runs.", columns, rows),
    )


def _many(record: Row) -> bool:
    at_epoch = record.get("at_epoch")
    entries = [entry for entry in _landmarks(record) if entry.get("at_epoch") == at_epoch]
    return any(count(entry.get("n_lineages")) >= LEAST_LINEAGES for entry in entries)


def _observed(each: ReliabilityBin) -> Estimate:
    return {"value": each["observed"], "lower": each["lower"], "upper": each["upper"]}


def _reliability_panel(name: str, bins: Sequence[ReliabilityBin]) -> Panel:
    spoken = "; ".join(
        f"predicted {percent(each['predicted'])}, converged {percent(each['observed'])}, "
        f"{each['n']} runs"
        for each in bins
    )
    chart = reliability_chart("predicted P(converges)", "share that converged", bins)
    return panel(f"{name}, {sum(each['n'] for each in bins):,} runs", spoken, chart)
