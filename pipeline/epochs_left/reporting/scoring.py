"""Reading scores.json: which score is meant, and which model a view stands or falls with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from epochs_left.reporting.content import Estimate, LegendEntry, Mark, legend
from epochs_left.reporting.results import Results, Row, count, number, word

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

VIEWS = (("oracle", "End point known"), ("causal", "Past alone"))


#: Families in the order of their size; the first is the one that the other sections show.
FAMILIES = ("neuron", "mlp", "resnet", "char_lm")


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


def of_family(results: Results, name: str) -> Results:
    """Return the results of one family under their plain names."""
    return results if name == FAMILIES[0] else results.below(name)


def read_scores(results: Results) -> list[Score]:
    """Return all scores; names that are null become "unknown"."""
    return [_score(row) for row in results.rows(SCORES)]


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


def headline_score(scores: Sequence[Score], champion: Score) -> Score:
    """Return the primary score of a champion on the locked test, or else the one it won by."""
    same = {"model": champion.model, "view": champion.view}
    return first(primary(scores), split=LOCKED_TEST, **same) or champion


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
