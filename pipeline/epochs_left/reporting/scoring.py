"""Reading scores.json: which score is meant, and which model a view stands or falls with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from epochs_left.reporting.content import Estimate, LegendEntry, Mark, legend
from epochs_left.reporting.results import Results, Row, count, number, word
from epochs_left.reporting.wording import CONFIDENCE, between, between_percent, decimal, percent

SCORES = "scores.json"

ROW_WISE = "row-wise"
BY_LINEAGE = "by lineage"
LOCKED_TEST = "locked test"

#: The splits in the order of their honesty, with the colour and the mark that each has everywhere.
SPLITS: tuple[tuple[str, str, Mark], ...] = (
    (ROW_WISE, "vermillion", "open"),
    (BY_LINEAGE, "blue", "circle"),
    (LOCKED_TEST, "green", "diamond"),
)
SPLIT_LEGEND = legend(*SPLITS)

GAP = "r2_gap"

ORACLE, CAUSAL = "oracle", "causal"
VIEWS = ((ORACLE, "End point known"), (CAUSAL, "Past alone"))
#: The colour and the mark of each view where they stand in one picture.
VIEW_LOOKS: Mapping[str, tuple[str, Mark]] = {
    ORACLE: ("purple", "open"),
    CAUSAL: ("blue", "circle"),
}


NOTHING: Estimate = {"value": None, "lower": None, "upper": None}


@dataclass(frozen=True, kw_only=True)
class Score:
    """One entry of scores.json."""

    model: str
    title: str
    view: str
    baseline: bool
    split: str
    scope: str
    scale: str
    weighting: str
    metric: str
    estimate: Estimate
    level: float | None
    n_runs: int
    n_lineages: int


#: What the families look like where they stand in one picture.
FAMILY_LOOKS: Mapping[str, tuple[str, Mark]] = {
    "neuron": ("blue", "circle"),
    "mlp": ("vermillion", "diamond"),
    "resnet": ("green", "square"),
    "char_lm": ("purple", "open"),
}
#: A family of fewer lineages stands in tables alone: a line of it would be noise.
LEAST_LINEAGES = 10


def read_scores(results: Results, **fields: str) -> list[Score]:
    """Return the scores that have these fields, all if none; null names become "unknown"."""
    rows = results.rows(SCORES)
    return [
        _score(row) for row in rows if all(row.get(name) == each for name, each in fields.items())
    ]


def _score(row: Row) -> Score:
    names = ("model", "view", "split", "scope", "scale", "weighting", "metric")
    return Score(
        **{name: word(row.get(name)) for name in names},
        title=word(row.get("title"), missing=word(row.get("model"))),
        baseline=bool(row.get("baseline")),
        estimate=estimate(row, "estimate"),
        level=number(row.get("level")),
        n_runs=count(row.get("n_runs")),
        n_lineages=count(row.get("n_lineages")),
    )


def estimate(row: Row, value: str, lower: str = "lower", upper: str = "upper") -> Estimate:
    """Return a figure and its interval from the fields of a JSON object."""
    return {
        "value": number(row.get(value)),
        "lower": number(row.get(lower)),
        "upper": number(row.get(upper)),
    }


def negated(figure: Estimate) -> Estimate:
    """Return a difference the other way round."""
    value, lower, upper = (
        None if at is None else -at for at in (figure["value"], figure["lower"], figure["upper"])
    )
    return {"value": value, "lower": upper, "upper": lower}


def feature_label(row: Row) -> str:
    """Return what an entry of importance.json is called: a feature, or the group of several."""
    feature = word(row.get("feature"))
    group = word(row.get("group"), missing=feature)
    return group.replace("_", " ") if ", " in feature else feature


def known(scores: Iterable[Score], **fields: object) -> list[Score]:
    """Return the scores that have these fields and a value."""
    return [
        score
        for score in scores
        if score.estimate["value"] is not None
        and all(getattr(score, name) == wanted for name, wanted in fields.items())
    ]


def first(scores: Iterable[Score], **fields: object) -> Score | None:
    """Return the first score that has these fields and a value, if there is one."""
    return next(iter(known(scores, **fields)), None)


def primary(scores: Iterable[Score]) -> list[Score]:
    """Return the primary scores: R² of log(1 + R) over all runs, each run weighing the same."""
    return known(scores, metric="r2", scale="log", weighting="run", scope="all")


def gap(scores: Iterable[Score], of: Score) -> Estimate | None:
    """Return how much higher a model's R² is row-wise, on the rows that both splits predict.

    The scores of the two splits themselves rest on different rows: row-wise folds predict some.
    """
    same = {"model": of.model, "view": of.view, "scope": of.scope, "weighting": of.weighting}
    found = first(scores, metric=GAP, scale="log", **same)
    return found.estimate if found else None


def family_legend(families: Iterable[str]) -> list[LegendEntry]:
    """Return the legend of a picture of several families."""
    return legend(*((name, *FAMILY_LOOKS[name]) for name in families))


def champion_of(scores: Sequence[Score], view: str, *, baseline: bool = False) -> Score | None:
    """Return the primary score of the best model (or best baseline) of a view.

    The best is chosen by cross-validation over lineages: choosing on the locked test would make
    its figure too good. Without such scores the locked test has to do.
    """
    for split in (BY_LINEAGE, LOCKED_TEST):
        candidates = known(primary(scores), view=view, baseline=baseline, split=split)
        if candidates:
            return max(candidates, key=lambda score: score.estimate["value"] or 0.0)
    return None


def titles(scores: Iterable[Score]) -> dict[str, str]:
    """Return the title of each model."""
    return {score.model: score.title for score in scores}


def view_title(view: str) -> str:
    """Return what a view is called in the report."""
    return dict(VIEWS).get(view, view)


def told(figure: Estimate, digits: int = 2, *, named: bool = False) -> str:
    """Return ``0.93 (0.91 to 0.94)``, or the figure alone where no interval was made.

    If ``named``, the words in brackets say what they are.
    """
    bounds = between(figure["lower"], figure["upper"], digits)
    return decimal(figure["value"], digits) + _in_brackets(bounds, named)


def told_percent(figure: Estimate, digits: int = 0, *, named: bool = False) -> str:
    """Return ``93 % (91 to 94 %)``, as `told` does."""
    bounds = between_percent(figure["lower"], figure["upper"], digits)
    return percent(figure["value"], digits) + _in_brackets(bounds, named)


def _in_brackets(bounds: str, named: bool) -> str:
    return f" ({CONFIDENCE} {bounds})" if bounds and named else f" ({bounds})" if bounds else ""
