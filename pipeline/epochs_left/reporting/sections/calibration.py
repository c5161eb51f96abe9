"""Whether predicted distributions mean what they say: coverage, width, PIT, proper scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epochs_left.reporting.charts.lines import Line, LinePoint, line_chart
from epochs_left.reporting.content import (
    Block,
    Cell,
    Figure,
    Panel,
    Table,
    column,
    figure,
    legend,
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import (
    FAMILY_LOOKS,
    LEAST_LINEAGES,
    estimate,
    family_legend,
)
from epochs_left.reporting.sections import FAMILIES, section
from epochs_left.reporting.ticks import Tick, share_ticks
from epochs_left.reporting.wording import brief, joined, percent

CALIBRATION = "calibration.json"
#: Part of calibration.json: every row of a family.
WHOLE = "all"
N_TENTHS = 10
HIGHEST = 0.25  # share of a tenth at which the axis ends, unless one is higher


@section(
    title="Calibration",
    question="Do the intervals hold the truth as often as they say, and how wide are they?",
    order=70,
    reads=[f"{family}/{name}" for family in FAMILIES for name in (CALIBRATION,)],
)
def calibration(results: Results) -> Sequence[Block]:
    """Show coverage and width against the level, and the probability integral transform."""
    records = {name: results.below(name).record(CALIBRATION) for name in FAMILIES}
    levels = {name: _levels(record) for name, record in records.items()}
    tenths = {name: _tenths(record) for name, record in records.items()}
    drawn = [name for name in FAMILIES if _is_drawn(levels[name])]
    if not any(levels.values()) and not any(tenths.values()):
        return []
    blocks: list[Block] = [text(_words(records, drawn))]
    if drawn:
        blocks.append(_coverage_figure(levels, drawn))
    whole = [name for name in drawn if tenths[name]]
    return [*blocks, _pit_figure(tenths, whole)] if whole else blocks


def _levels(record: Row) -> list[Row]:
    """Return the entries of whole families that have a coverage, by model and level."""
    entries = [mapping(entry) for entry in sequence(record.get("intervals"))]
    found = [entry for entry in entries if entry.get("scope") == WHOLE]
    return [each for each in found if estimate(mapping(each.get("coverage")), "estimate")["value"]]


def _tenths(record: Row) -> list[Row]:
    entries = [mapping(entry) for entry in sequence(record.get("distributions"))]
    return [each for each in entries if len(_shares(each)) == N_TENTHS]


def _shares(entry: Row) -> list[float]:
    return [share for each in sequence(entry.get("pit")) if (share := number(each)) is not None]


def _is_drawn(entries: Sequence[Row]) -> bool:
    return bool(entries) and count(entries[0].get("n_lineages")) >= LEAST_LINEAGES


def _words(records: Mapping[str, Row], drawn: Sequence[str]) -> str:
    left = [name for name, record in records.items() if record and name not in drawn]
    aside = (
        f" Too few lineages for a line: {joined(left)}; see the data behind the figures."
        if left
        else ""
    )
    return (
        "The three best causal models of each family on its locked test set, every run weighing "
        "the same; the pictures show the best. Measured on unseen initialisations of the same "
        "family: for other families nothing is promised. The published models have seen more runs "
        "than those of the folds that the intervals come from, which widens the intervals rather "
        f"than narrows them.{aside}"
    )


def _best(entries: Sequence[Row]) -> list[Row]:
    """Return the entries of the first model, which is the best by lineage."""
    return [entry for entry in entries if entry.get("model") == entries[0].get("model")]


def _coverage_figure(levels: Mapping[str, Sequence[Row]], drawn: Sequence[str]) -> Figure:
    best = {name: _best(levels[name]) for name in drawn}
    return figure(
        "coverage",
        "Coverage and width against the promised level",
        "Held: on the dashed line intervals hold the truth as often as promised; below it they "
        "are too narrow. Bands are 95\u202f% intervals over lineages. Width: what a typical row "
        "pays for it, the upper end of its interval over the lower, in epochs plus one.",
        [_coverage_panel(best), _width_panel(best)],
        _coverage_table(levels),
        key=[*family_legend(drawn), *legend(("as promised", "ink", "dash"))],
    )


def _coverage_panel(best: Mapping[str, Sequence[Row]]) -> Panel:
    lines = [_line(name, entries, "coverage") for name, entries in best.items()]
    chart = line_chart(
        [_promise(), *lines],
        x_label="promised share",
        y_label="share of intervals that hold the truth",
        x_ticks=_level_ticks(),
        y_ticks=_level_ticks(),
    )
    return panel("Held", _spoken(lines), chart)


def _promise() -> Line:
    points: list[LinePoint] = [_point(at, at, f"promised {percent(at)}") for at in (0.4, 1.0)]
    return {"label": "", "colour": "ink", "dashed": True, "mark": "", "points": points}


def _level_ticks() -> list[Tick]:
    return [tick for tick in share_ticks(0.1) if tick["at"] > 0.39]


def _width_panel(best: Mapping[str, Sequence[Row]]) -> Panel:
    lines = [_line(name, entries, "median_ratio") for name, entries in best.items()]
    tops = [point["y"] for line in lines for point in line["points"]]
    top = max([2.0, *tops])
    step = 0.5 if top < 4 else 1.0 if top < 8 else 5.0
    places = [1 + step * i for i in range(int((top - 1) / step + 1.999))]
    chart = line_chart(
        lines,
        x_label="promised share",
        y_label="upper over lower end",
        x_ticks=_level_ticks(),
        y_ticks=[{"at": at, "label": f"×{brief(at)}"} for at in places],
    )
    return panel("Width", _spoken(lines), chart)


def _line(name: str, entries: Sequence[Row], field: str) -> Line:
    colour, mark = FAMILY_LOOKS[name]
    found = sorted(entries, key=lambda entry: number(entry.get("level")) or 0.0)
    points = [point for entry in found if (point := _level_point(name, entry, field)) is not None]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _level_point(name: str, entry: Row, field: str) -> LinePoint | None:
    level, value = number(entry.get("level")), entry.get(field)
    if level is None:
        return None
    start = f"{name}, promised {percent(level)}"
    if field == "coverage":
        held = estimate(mapping(value), "estimate")
        found = _point(level, held["value"] or 0.0, f"{start}: held {percent(held['value'], 1)}")
        return {**found, "lower": held["lower"], "upper": held["upper"]}
    ratio = number(value)
    return None if ratio is None else _point(level, ratio, f"{start}: ×{brief(ratio)}")


def _point(x: float, y: float, tip: str) -> LinePoint:
    return {"x": x, "y": y, "lower": None, "upper": None, "tip": tip}


def _spoken(lines: Sequence[Line]) -> str:
    return "; ".join(point["tip"] for line in lines for point in line["points"])


def _coverage_table(levels: Mapping[str, Sequence[Row]]) -> Table:
    columns = [
        column("family", start=""), column("model", start=""), column("promised", "percent"),
        column("held", "percent"), column("upper over lower", "decimal"),
        column("mean width (log)", "decimal"), column("interval score (log)", "decimal"),
        column("runs", "integer"), column("lineages", "integer"),
    ]  # fmt: skip
    rows = [_coverage_row(name, entry) for name, entries in levels.items() for entry in entries]
    caption = "Coverage, width and interval score (smaller is better) of log(1 + R)."
    return table("data", caption, columns, rows)


def _coverage_row(name: str, entry: Row) -> list[Cell]:
    return [
        name,
        word(entry.get("title")),
        number(entry.get("level")),
        estimate(mapping(entry.get("coverage")), "estimate"),
        number(entry.get("median_ratio")),
        *(estimate(mapping(entry.get(key)), "estimate") for key in ("width", "interval_score")),
        count(entry.get("n_runs")),
        count(entry.get("n_lineages")),
    ]


def _pit_figure(tenths: Mapping[str, Sequence[Row]], drawn: Sequence[str]) -> Figure:
    lines = [_pit_line(name, tenths[name][0]) for name in drawn]
    tops = [point["y"] for line in lines for point in line["points"]]
    flat: list[LinePoint] = [_point(at, 0.1, "calibrated: 10 %") for at in (0.0, 1.0)]
    even: Line = {"label": "", "colour": "ink", "dashed": True, "mark": "", "points": flat}
    chart = line_chart(
        [even, *lines],
        x_label="where the truth lies in the predicted distribution",
        y_label="share of the truths, by tenths",
        x_ticks=share_ticks(),
        y_ticks=share_ticks(0.05, high=max([HIGHEST, *tops])),
    )
    return figure(
        "pit",
        "Where the truth lies in the predicted distribution",
        "The probability integral transform: of a calibrated predictor each tenth of the predicted "
        "distribution holds a tenth of the truths. High in the middle: intervals too wide; high at "
        "the left: runs end sooner than said; at the right: later. The data have the CRPS, the "
        "mean distance of the distribution from the truth on the log scale, 0 for a certain truth.",
        [panel("Share of the truths in each tenth", _spoken(lines), chart)],
        _pit_table(tenths),
        key=[*family_legend(drawn), *legend(("calibrated", "ink", "dash"))],
    )


def _pit_line(name: str, entry: Row) -> Line:
    colour, mark = FAMILY_LOOKS[name]
    points = [
        _point((i + 0.5) / N_TENTHS, share, f"{name}, tenth {i + 1}: {percent(share, 1)}")
        for i, share in enumerate(_shares(entry))
    ]
    return {"label": "", "colour": colour, "dashed": False, "mark": mark, "points": points}


def _pit_table(tenths: Mapping[str, Sequence[Row]]) -> Table:
    columns = [column("family", start=""), column("model", start=""), column("CRPS", "decimal")]
    columns += [column(f"tenth {i + 1}", "percent") for i in range(N_TENTHS)]
    columns += [column("runs", "integer")]
    caption = "CRPS of log(1 + R), and share of the truths in each tenth."
    return table("data", caption, columns, _pit_rows(tenths))


def _pit_rows(tenths: Mapping[str, Sequence[Row]]) -> Iterator[list[Cell]]:
    for name, entries in tenths.items():
        for entry in entries:
            crps = estimate(mapping(entry.get("crps")), "estimate")
            shares = _shares(entry)
            yield [name, word(entry.get("title")), crps, *shares, count(entry.get("n_runs"))]
