"""All models of a family against each other and against the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

from epochs_left.reporting import scoring
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
    legend,
    panel,
    points,
    table,
    text,
)
from epochs_left.reporting.results import Results, Row, mapping, number, word
from epochs_left.reporting.scoring import (
    BY_LINEAGE,
    CAUSAL,
    LOCKED_TEST,
    ORACLE,
    ROW_WISE,
    Score,
    told,
)
from epochs_left.reporting.sections import EACH, section
from epochs_left.reporting.wording import CONFIDENCE, decimal, joined, percent

COMPARISONS = "comparisons.json"
FLOOR = -0.25  # R² below it is drawn at the edge: worse than the mean is enough to know
LEVEL = 0.9  # of the intervals in the table
ALPHA = 0.05
MOST_MODELS, MOST_BASELINES = 6, 3  # that are drawn of a view
MOST_NAMED = 3  # models that equal the best, in the text
MOST_SPOKEN = 5  # models of a panel that its description reads out
SPLITS = (BY_LINEAGE, LOCKED_TEST, ROW_WISE)  # models are ranked by the first that there is
NOTABLE = 0.05  # R² that linear models may be behind and still work
LARGEST_LOG = 700.0  # of which the exponential is finite
LINEAR = "linear regressions"
#: Regressors by the class of model that seed 003 (section 6.3) sets them in.
CLASSES: Mapping[str, tuple[str, ...]] = {
    LINEAR: ("linear", "log_linear", "polynomial", "exponential"),
    "kernel methods": ("kernel_linear", "kernel_polynomial", "kernel_rbf"),
    "neural networks": ("mlp",),
    "trees": ("random_forest", "xgboost", "boosted_aft"),
}

LOOKS = legend(
    ("by lineage, the best and its equals", "blue", "circle"),
    ("by lineage, worse than the best, or a baseline", "blue", "open"),
    ("locked test", "green", "diamond"),
)


@dataclass(frozen=True)
class Contender:
    """A model of a view beside the best of it.

    Attributes
    ----------
    score
        Its primary score, by lineage if there is one.
    behind
        R² of the best less its own, on the same rows.
    p_value
        Of equal squared errors: Nadeau and Bengio's test, Holm-adjusted over the view.
    """

    score: Score
    behind: Estimate | None
    p_value: float | None

    @property
    def is_equal(self) -> bool:
        """Whether it is a model that the test does not tell from the best, or the best itself."""
        is_told = self.p_value is not None and self.p_value < ALPHA
        return not is_told and not self.score.baseline


@section(
    title="Leaderboard",
    question="Which model predicts best, and does it beat the simple ones?",
    order=30,
    reads=[scoring.SCORES, COMPARISONS],
    of=EACH,
)
def leaderboard(results: Results) -> Sequence[Block]:
    """Rank the models of both views, tell which equal the best, and table what each is worth."""
    everything = scoring.read_scores(results, scope="all")
    scores, pairs = scoring.primary(everything), results.rows(COMPARISONS)
    boards = {view: _ranked(scores, view, pairs) for view, _ in scoring.VIEWS}
    boards = {view: board for view, board in boards.items() if board}
    if not boards:
        return []
    claims = _classes(boards[CAUSAL if CAUSAL in boards else ORACLE])
    return [
        text(*(_answer(view, board, scores) for view, board in reversed(boards.items()))),
        *([points(*claims)] if claims else []),
        _figure(boards, scores),
        _board(boards, everything),
    ]


def _ranked(scores: Sequence[Score], view: str, pairs: Sequence[Row]) -> list[Contender]:
    """Return the models of a view, best first by lineage."""
    own: dict[str, Score] = {}
    for split in SPLITS:
        for score in scoring.known(scores, view=view, split=split):
            own.setdefault(score.model, score)
    ranked = sorted(own.values(), key=lambda score: -(score.estimate["value"] or 0.0))
    best = next((score.model for score in ranked if not score.baseline), None)
    against = {each: row for row in pairs for each in _others(row, view, best)}
    return [_contender(score, against.get(score.model), best) for score in ranked]


def _others(row: Row, view: str, best: str | None) -> list[str]:
    """Return the model that a comparison sets beside the best, if it does."""
    names = [word(row.get("first")), word(row.get("second"))]
    if row.get("view") != view or best not in names:
        return []
    return [name for name in names if name != best]


def _contender(score: Score, pair: Row | None, best: str | None) -> Contender:
    if pair is None:
        return Contender(score, None, None)
    gain = scoring.estimate(mapping(pair.get("r2")), "estimate")
    behind = gain if pair.get("first") == best else scoring.negated(gain)
    return Contender(score, behind, number(mapping(pair.get("squared_error")).get("p_holm")))


def _answer(view: str, board: Sequence[Contender], scores: Sequence[Score]) -> str:
    models = [each for each in board if not each.score.baseline]
    rivals = [each for each in board if each.score.baseline]
    if not models:
        return f"{scoring.view_title(view)}: baselines alone."
    best = models[0].score
    words = [
        f"{scoring.view_title(view)}: {best.title} predicts best, R² {told(best.estimate, 3)} "
        f"{best.split}{_on_locked(best, scores)}."
    ]
    equal = [each for each in models if each.p_value is not None and each.is_equal]
    if equal:
        words.append(f"Not told apart from it: {_some([each.score.title for each in equal])}.")
    return " ".join([*words, *map(_rival, rivals[:1])])


def _some(titles: list[str]) -> str:
    """Return the first of many names, and how many others there are."""
    left = len(titles) - MOST_NAMED
    return joined([*titles[:MOST_NAMED], f"{left} others"] if left > 1 else titles)


def _on_locked(best: Score, scores: Sequence[Score]) -> str:
    locked = _primary(scores, best, LOCKED_TEST)
    return f", {told(locked, 3)} on the locked test" if locked and best.split != LOCKED_TEST else ""


def _rival(rival: Contender) -> str:
    return f"The best baseline, {rival.score.title}, reaches {told(rival.score.estimate, 3)}."


def _primary(scores: Sequence[Score], of: Score, split: str) -> Estimate | None:
    score = scoring.first(scores, model=of.model, view=of.view, split=split)
    return score.estimate if score else None


def _classes(board: Sequence[Contender]) -> list[tuple[str, str]]:
    """Say how far each class of model gets by its best member."""
    best = {
        name: members[0].score
        for name, models in CLASSES.items()
        if (members := [each for each in board if each.score.model in models])
    }
    if LINEAR not in best or len(best) < 2:
        return []
    ranked = sorted(best.items(), key=lambda pair: -(pair[1].estimate["value"] or 0.0))
    listed = ", ".join(f"{name} {told(score.estimate, 3)}" for name, score in ranked)
    behind = (ranked[0][1].estimate["value"] or 0.0) - (best[LINEAR].estimate["value"] or 0.0)
    answer = "do not suffice" if behind > NOTABLE else "work"
    return [
        (
            "Claim: linear models that work speak for a simple geometry, neural networks that are "
            "needed for a complex one (seed 003, section 6.3).",
            f"Measured, the best of each class: {listed}. Linear models {answer} here: "
            f"{decimal(behind, 3)} behind the best class, which is {ranked[0][0]} (more than "
            f"{decimal(NOTABLE)} counts).",
        )
    ]


def _figure(boards: Mapping[str, Sequence[Contender]], scores: Sequence[Score]) -> Figure:
    columns = [column("view", start=""), column("model"), column("R² by lineage", "decimal")]
    columns += [column("behind the best", "decimal"), column("corrected p", "brief")]
    rows: list[list[Cell]] = [
        [
            scoring.view_title(view), each.score.title, each.score.estimate, each.behind,
            each.p_value,
        ]
        for view, board in boards.items()
        for each in _drawn(board)
    ]  # fmt: skip
    return figure(
        "ranking",
        "Share of the variation explained, by model",
        f"R² of log(1 + epochs remaining), each run weighing the same, with {CONFIDENCE}s over "
        "lineages. Filled: the best, and what paired folds by lineage do not tell from it (Nadeau "
        "and Bengio's corrected resampled t-test of squared errors, n counted in lineages, "
        f"Holm-adjusted over all pairs of the view, p ≥ {ALPHA}); with few folds that is weak "
        "evidence of equality. The ring ○ marks baselines, which know the learning rate, a formula "
        f"or a fit of the curve; there are none with the end known. Scores below {decimal(FLOOR)} "
        "stand at the edge; a locked test of too few lineages for an interval is in the table.",
        [_panel(view, board, scores) for view, board in boards.items()],
        table("data", "R² by lineage, and paired differences to the best.", columns, rows),
        key=LOOKS,
    )


def _drawn(board: Sequence[Contender]) -> list[Contender]:
    """Return the best models and the best baselines, best first; the rest stand in the table."""
    left = {False: MOST_MODELS, True: MOST_BASELINES}
    drawn = []
    for each in board:
        left[each.score.baseline] -= 1
        drawn += [each] if left[each.score.baseline] >= 0 else []
    return drawn


def _panel(view: str, board: Sequence[Contender], scores: Sequence[Score]) -> Panel:
    rows = [_row(each, scores) for each in _drawn(board)]
    spoken = "; ".join(dot["tip"] for row in rows[:MOST_SPOKEN] for dot in row["dots"][:1])
    chart = dot_chart("R² of log(1 + R)", rows, floor=FLOOR, ceiling=1.02, reference=0.0)
    return panel(scoring.view_title(view), f"Best first. {spoken}.", chart)


def _row(contender: Contender, scores: Sequence[Score]) -> DotRow:
    score = contender.score
    locked = _primary(scores, score, LOCKED_TEST) if score.split != LOCKED_TEST else None
    mark = "circle" if contender.is_equal else "open"
    dots: list[Dot] = [_dot(score.title, score.estimate, "blue", mark)]
    if locked is not None and locked["lower"] is not None:
        dots.append(_dot("locked test", locked, "green", "diamond"))
    title = f"○ {score.title}" if score.baseline else score.title
    return {"label": title, "quiet": score.baseline, "dots": dots}


def _dot(name: str, estimate: Estimate, colour: str, mark: str) -> Dot:
    tip = f"{name} {told(estimate)}"
    return {"estimate": estimate, "colour": colour, "mark": mark, "tip": tip}


def _board(boards: Mapping[str, Sequence[Contender]], scores: Sequence[Score]) -> Table:
    columns = [
        column("model"),
        column("view", start=""),
        column("kind", start=""),
        column("R² by lineage", "decimal"),
        column("R² row-wise", "decimal"),
        column("R² locked test", "decimal"),
        column("median relative error", "percent"),
        column(f"{percent(LEVEL)} intervals held", "percent"),
        column("upper over lower", "brief"),
    ]
    own = scoring.known(scores, scope="all", weighting="run")
    ranked = sorted((each for board in boards.values() for each in board), key=_rank)
    rows = [_cells(each.score, own) for each in ranked]
    caption = (
        "Every model and view. R² of log(1 + R) by split, all else on the locked test; all runs, "
        "each weighing the same. The width of an interval is its upper end over its lower, in "
        "epochs plus one, on average."
    )
    return table("table", caption, columns, rows)


def _rank(contender: Contender) -> float:
    return -(contender.score.estimate["value"] or 0.0)


def _cells(score: Score, scores: Sequence[Score]) -> list[Cell]:
    own = scoring.known(scores, model=score.model, view=score.view)
    locked = scoring.known(own, split=LOCKED_TEST)
    width = _value(scoring.first(locked, metric="width", level=LEVEL))
    by_split = {
        split: scoring.first(own, metric="r2", scale="log", split=split) for split in SPLITS
    }
    by_lineage = by_split[BY_LINEAGE]
    return [
        score.title,
        scoring.view_title(score.view),
        "baseline" if score.baseline else "model",
        by_lineage.estimate if by_lineage else None,
        *(_value(by_split[split]) for split in (ROW_WISE, LOCKED_TEST)),
        _value(scoring.first(locked, metric="median_relative_error")),
        _value(scoring.first(locked, metric="coverage", level=LEVEL)),
        None if width is None else exp(min(width, LARGEST_LOG)),
    ]


def _value(score: Score | None) -> float | None:
    return score.estimate["value"] if score else None
