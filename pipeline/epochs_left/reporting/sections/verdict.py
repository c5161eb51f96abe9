"""The first screen: the research questions answered in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from epochs_left.reporting import scoring
from epochs_left.reporting.charts.dots import Dot, DotRow, dot_chart
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
    panel,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, number, word
from epochs_left.reporting.scoring import Score
from epochs_left.reporting.sections import section
from epochs_left.reporting.wording import (
    CONFIDENCE,
    between,
    between_percent,
    decimal,
    grade,
    joined,
    percent,
)

NOTABLE_GAP = 0.02  # of R², row-wise over grouped
ORACLE, CAUSAL = "oracle", "causal"
QUESTIONS = {
    ORACLE: "Can it be predicted when the end point is known?",
    CAUSAL: "And when the end is unknown, as in a run in progress?",
}
WHY = (
    "The epochs of one run are almost copies of each other. A row-wise split puts some of them "
    "into training and others into the test, and so can reward remembering; a split by "
    "lineage, which keeps runs of one initialisation together, tests prediction."
)
READS = (scoring.SCORES, "error_by_epoch.json", "convergence.json", "importance.json")


@section(title="Verdict", question="The answer in brief.", order=0, reads=READS)
def verdict(results: Results) -> Sequence[Block]:
    """Answer whether, how well, by what and where not; the row-wise figure beside the grouped."""
    scores = scoring.read_scores(results)
    champions = {view: scoring.champion_of(scores, view) for view in (ORACLE, CAUSAL)}
    found = {view: best for view, best in champions.items() if best is not None}
    if not found:
        return []
    answers = [_answer(results, scores, best) for best in found.values()]
    answers += _driver(results) + _failure(results, scores, found)
    return [
        headline(_sentence(scores, found)),
        facts(*answers),
        *_three_ways(scores, found),
    ]


def _sentence(scores: Sequence[Score], found: dict[str, Score]) -> str:
    grades = {
        view: grade(scoring.headline_score(scores, best).estimate["value"] or 0.0)
        for view, best in found.items()
    }
    known_end = "Neuron family: knowing where a run will end, we predict its remaining epochs"
    if CAUSAL not in grades:
        return f"{known_end} {grades[ORACLE]}."
    if ORACLE not in grades:
        return f"Neuron family: we predict from the past alone {grades[CAUSAL]}."
    same = "just as well" if grades[ORACLE] == grades[CAUSAL] else grades[CAUSAL]
    return f"{known_end} {grades[ORACLE]}; from its past alone, {same}."


def _answer(results: Results, scores: Sequence[Score], champion: Score) -> Fact:
    score = scoring.headline_score(scores, champion)
    bounds = between_percent(score.estimate["lower"], score.estimate["upper"])
    parts = [
        "of the variation in remaining epochs explained (R² of log(1 + R), each run counting once"
        + (f"; {CONFIDENCE} {bounds})." if bounds else ")."),
        f"{score.title}, {_where(score)}.",
        *_typical_error(scores, champion),
        *_best_baseline(scores, champion),
        *(_convergence(results) if score.view == CAUSAL else []),
    ]
    return fact(QUESTIONS[score.view], percent(score.estimate["value"]), " ".join(parts))


def _where(score: Score) -> str:
    sample = f" of {score.n_runs:,} runs" if score.n_runs else ""
    return f"{score.split}{sample}"


def _typical_error(scores: Sequence[Score], champion: Score) -> list[str]:
    same = {"model": champion.model, "view": champion.view, "scope": "all"}
    error = scoring.first(scores, metric="median_relative_error", **same, split=scoring.LOCKED_TEST)
    if error is None:
        return []
    return [f"A typical prediction is off by {percent(error.estimate['value'])}."]


def _best_baseline(scores: Sequence[Score], champion: Score) -> list[str]:
    rival = scoring.champion_of(scores, champion.view, baseline=True)
    if rival is None:
        return []
    value = scoring.headline_score(scores, rival).estimate["value"]
    return [f"The best baseline, {rival.title}, explains {percent(value)}."]


def _convergence(results: Results) -> list[str]:
    record = results.record("convergence.json")
    area = scoring.estimate(record, "auc", "auc_lower", "auc_upper")
    if area["value"] is None:
        return []
    at = number(record.get("at_epoch"))
    seen = "" if at is None else f" after {at:.0f} epochs"
    return [f"Whether it converges at all is told{seen} with an AUC of {_with_interval(area)}."]


def _driver(results: Results) -> list[Fact]:
    rows = [row for row in results.rows("importance.json") if number(row.get("importance"))]
    causal = [row for row in rows if row.get("view") == CAUSAL] or rows
    if not causal:
        return []
    ranked = sorted(causal, key=lambda row: -(number(row.get("importance")) or 0.0))
    best, others = ranked[0], [scoring.feature_label(row) for row in ranked[1:3]]
    bounds = between(number(best.get("lower")), number(best.get("upper")))
    detail = (
        f"Shuffling it between runs costs {decimal(number(best.get('importance')))} of R²"
        + (f" ({CONFIDENCE} {bounds})" if bounds else "")
        + (f"; next come {joined(others)}." if others else ".")
    )
    view = scoring.view_title(word(best.get("view"))).lower()
    return [fact(f"What drives it? ({view})", scoring.feature_label(best), detail)]


def _failure(results: Results, scores: Sequence[Score], found: dict[str, Score]) -> list[Fact]:
    champion = found.get(CAUSAL) or found[ORACLE]
    scopes = scoring.known(
        scores, metric="r2", scale="log", weighting="run", split=scoring.LOCKED_TEST,
        model=champion.model, view=champion.view,
    )  # fmt: skip
    scopes = [score for score in scopes if score.scope != "all"]
    if not scopes:
        return []
    ranked = sorted(scopes, key=lambda score: score.estimate["value"] or 0.0)
    worst, best = ranked[0], ranked[-1]
    parts = [f"R² {_with_interval(worst.estimate)} there"]
    if best is not worst:
        parts.append(f" against {decimal(best.estimate['value'])} on {best.scope}")
    parts.append(". " + _early_error(results, champion))
    return [fact("Where does it fail first?", worst.scope, "".join(parts).strip())]


def _with_interval(estimate: Estimate) -> str:
    bounds = between(estimate["lower"], estimate["upper"])
    return decimal(estimate["value"]) + (f" ({bounds})" if bounds else "")


def _early_error(results: Results, champion: Score) -> str:
    landmarks = sorted(_landmarks(results, champion), key=lambda at: at[0])
    if len(landmarks) < 2:
        return ""
    (early, before), (late, after) = landmarks[0], landmarks[-1]
    seen = f"after {early:,.0f} epochs" if early else "at initialisation"
    return (
        f"The typical error is {percent(before)} {seen} and {percent(after)} after "
        f"{late:,.0f} epochs."
    )


def _landmarks(results: Results, champion: Score) -> list[tuple[float, float]]:
    rows: list[Row] = results.rows("error_by_epoch.json")
    pairs = [
        (number(row.get("epochs_seen")), number(row.get("median_relative_error")))
        for row in rows
        if row.get("model") == champion.model and row.get("view") == champion.view
    ]
    return [(at, error) for at, error in pairs if at is not None and error is not None]


def _three_ways(scores: Sequence[Score], found: dict[str, Score]) -> list[Block]:
    by_split = {
        view: {split: _of_split(scores, best, split) for split, _, _ in scoring.SPLITS}
        for view, best in found.items()
    }
    return [*_flattery(scores, by_split, found), _split_figure(by_split, found)]


def _of_split(scores: Sequence[Score], champion: Score, split: str) -> Estimate:
    same = {"model": champion.model, "view": champion.view}
    score = scoring.first(scoring.primary(scores), split=split, **same)
    return score.estimate if score else {"value": None, "lower": None, "upper": None}


def _flattery(
    scores: Sequence[Score],
    by_split: dict[str, dict[str, Estimate]],
    found: dict[str, Score],
) -> list[Block]:
    sentences, gaps = [], []
    for view, estimates in by_split.items():
        row_wise = estimates[scoring.ROW_WISE]["value"]
        grouped = estimates[scoring.BY_LINEAGE]["value"]
        if row_wise is not None and grouped is not None:
            gap = scoring.gap(scores, found[view])
            gaps += [gap["value"] or 0.0] if gap else []
            same = f"; on the rows that both predict it gains {_gain(gap)}" if gap else ""
            sentences.append(
                f"{scoring.view_title(view)}: {found[view].title} scores {decimal(row_wise, 3)} "
                f"row-wise and {decimal(grouped, 3)} by lineage{same}."
            )
    return [text(" ".join([WHY, *_effect(gaps), *sentences]))] if sentences else []


def _gain(gap: Estimate) -> str:
    bounds = between(gap["lower"], gap["upper"], 3)
    return decimal(gap["value"], 3) + (f" ({bounds})" if bounds else "")


def _effect(gaps: Sequence[float]) -> list[str]:
    if not gaps:
        return []
    flatters = max(gaps) >= NOTABLE_GAP
    return ["Here it flatters." if flatters else "Here it makes little difference."]


def _split_figure(by_split: dict[str, dict[str, Estimate]], found: dict[str, Score]) -> Figure:
    rows: list[DotRow] = [
        {
            "label": scoring.view_title(view),
            "quiet": False,
            "dots": [
                _dot(estimates[split], colour, mark, split)
                for split, colour, mark in scoring.SPLITS
            ],
        }
        for view, estimates in by_split.items()
    ]
    lines: list[list[Cell]] = [
        [
            scoring.view_title(view),
            found[view].title,
            *(each[name] for name, _, _ in scoring.SPLITS),
        ]
        for view, each in by_split.items()
    ]
    described = "; ".join(
        f"{row['label']}: " + ", ".join(dot["tip"] for dot in row["dots"]) for row in rows
    )
    columns = [column("view"), column("model")]
    columns += [column(f"R² {name}", "decimal") for name, _, _ in scoring.SPLITS]
    return figure(
        "three_ways",
        "The same model, scored three ways",
        f"R² of log(1 + epochs remaining), each run weighing the same, with {CONFIDENCE}s over "
        "lineages. The model of each view was chosen by its score by lineage; the locked test "
        "(a fifth of all lineages) is what no model was fitted on. The three rest on different "
        "rows: row-wise folds predict some of those that folds by lineage do.",
        [
            panel(
                "R² by split",
                described,
                dot_chart("R² of log(1 + R)", rows, floor=min(0.0, _least(rows)), ceiling=1.02),
            )
        ],
        table("data", "R² of the best model of each view by split.", columns, lines),
        key=scoring.SPLIT_LEGEND,
    )


def _least(rows: Sequence[DotRow]) -> float:
    """Return where the axis begins: at the lowest value, but no lower than R² = -0.5."""
    values = [dot["estimate"]["value"] or 0.0 for row in rows for dot in row["dots"]]
    return max(-0.5, min(values, default=0.0) - 0.05)


def _dot(estimate: Estimate, colour: str, mark: str, split: str) -> Dot:
    tip = f"{split} {_with_interval(estimate)}"
    return {"estimate": estimate, "colour": colour, "mark": mark, "tip": tip}
