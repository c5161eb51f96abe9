"""Coverage of the intervals in every family, and in every part of one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from math import exp

from epochs_left.reporting import scoring
from epochs_left.reporting.content import Block, Cell, Estimate, column, table, text
from epochs_left.reporting.results import Results, count, mapping, number, sequence, word
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import FAMILIES, section

CALIBRATION = "calibration.json"
LEVEL = 0.9


@section(
    title="Coverage, part by part",
    question="Do 90 % intervals hold everywhere, or only on average?",
    order=72,
    reads=[
        f"{family}/{name}"
        for family in FAMILIES
        for name in (
            scoring.SCORES,
            CALIBRATION,
        )
    ],
)
def coverage_by_part(results: Results) -> Sequence[Block]:
    """Table coverage and width of the best causal model by family and scope."""
    rows = [row for name in FAMILIES for row in _rows(name, results.below(name))]
    if not rows:
        return []
    columns = [
        column("family", start=""),
        column("part", start=""),
        column("model"),
        column("held", "percent"),
        column("holds 90 %"),
        column("upper over lower", "decimal"),
        column("runs", "integer"),
        column("lineages", "integer"),
    ]
    return [
        text(
            "Of the best causal model on the locked test set, every run weighing the same, with "
            "95 % intervals over lineages. “yes” where 90 % lies within that interval. Upper over "
            "lower is the typical factor between the two ends of a prediction's interval."
        ),
        table("coverage-parts", "Coverage of 90 % intervals by family and part.", columns, rows),
    ]


def _rows(name: str, results: Results) -> Iterator[list[Cell]]:
    scores = scoring.read_scores(results)
    best = scoring.champion_of(scores, "causal")
    if best is None:
        return
    of_best = [
        score
        for score in scoring.known(
            scores, view="causal", split=scoring.LOCKED_TEST, weighting="run"
        )
        if score.model == best.model and score.level == LEVEL
    ]
    widths = {score.scope: score for score in of_best if score.metric == "width"}
    for score in of_best:
        if score.metric == "coverage":
            yield _row(name, score, widths.get(score.scope))
    yield from _settings(name, results, best, {score.scope for score in of_best})


def _settings(
    name: str, results: Results, best: Score, known: Container[str]
) -> Iterator[list[Cell]]:
    """Give the parts by setting of the sweep, which the scores do not have."""
    entries = map(mapping, sequence(results.record(CALIBRATION).get("intervals")))
    for entry in entries:
        same = entry.get("model") == best.model and entry.get("level") == LEVEL
        part, coverage = word(entry.get("scope")), mapping(entry.get("coverage"))
        held = scoring.estimate(coverage, "estimate")
        if same and part not in known and held["value"] is not None:
            width = number(mapping(entry.get("width")).get("estimate"))
            ratio = None if width is None else exp(width)
            sizes = (count(entry.get(key)) for key in ("n_runs", "n_lineages"))
            yield [name, part, best.title, held, _holds(held), ratio, *sizes]


def _row(name: str, score: Score, width: Score | None) -> list[Cell]:
    log_width = None if width is None else width.estimate["value"]
    return [
        name,
        score.scope,
        score.title,
        score.estimate,
        _holds(score.estimate),
        None if log_width is None else exp(log_width),
        score.n_runs,
        score.n_lineages,
    ]


def _holds(held: Estimate) -> str:
    lower, upper = held["lower"], held["upper"]
    if lower is None or upper is None:
        return "too few lineages"
    return "yes" if lower <= LEVEL <= upper else "too wide" if lower > LEVEL else "too narrow"
