"""Reading benchmarks/results/real_logs.json: what forecasters are worth on replayed public logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from epochs_left.reporting.content import Estimate
from epochs_left.reporting.estimates import value_of
from epochs_left.reporting.results import Row, count, mapping, number, sequence, word

#: What is tried: the predictor alone, and together with finished runs of the same task.
MODEL, WITH_SIBLINGS = TRIED = ("model", "model_and_siblings")
#: The simple rules that it is tried against, as people call them.
RULES = {
    "exponential": "exponential fit",
    "last_slope": "last slope",
    "optimus": "Optimus curve",
    "power_law": "power law",
    "task_median": "median of finished runs",
}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one forecaster is worth on a log at a budget, in percent of the planned epochs.

    Attributes
    ----------
    error
        Median of |predicted − actual| / actual time of the plateau.
    width
        Typical (1 + upper) / (1 + lower) of an interval.
    against
        Of what is tried: its error less that of each rule on the same runs; below 0 it is better.
    """

    log: str
    budget: float
    forecaster: str
    n_runs: int
    error: Estimate
    r2_log: Estimate
    coverage: Estimate
    width: Estimate
    against: Sequence[tuple[str, Estimate]]

    @property
    def is_rule(self) -> bool:
        """Whether it is what a user would do without a predictor."""
        return self.forecaster not in TRIED

    @property
    def ahead(self) -> list[tuple[str, Estimate]]:
        """Return the rules whose error is smaller beyond chance, the one ahead by most first."""
        lost = [pair for pair in self.against if (pair[1]["lower"] or 0.0) > 0]
        return sorted(lost, key=lambda pair: -value_of(pair[1]))

    @property
    def behind(self) -> list[str]:
        """Return the rules whose error is larger beyond chance."""
        return [name for name, less in self.against if (less["upper"] or 0.0) < 0]


def entries_of(record: Row, name: str) -> list[Row]:
    """Return the objects of a list of the file."""
    return [mapping(each) for each in sequence(record.get(name))]


def read_scored(record: Row) -> list[Scored]:
    """Return all scores that have an error."""
    return [each for row in entries_of(record, "scores") for each in _read(row)]


def best_rule(found: Sequence[Scored], log: str, budget: float) -> Scored | None:
    """Return the rule of the smallest error on a log at a budget, if one was tried."""
    at = [each for each in found if (each.log, each.budget) == (log, budget) and each.is_rule]
    return min(at, key=lambda each: value_of(each.error), default=None)


def rule_label(name: str) -> str:
    """Return what a rule is called."""
    return RULES.get(name, name.replace("_", " "))


def _read(row: Row) -> Iterator[Scored]:
    budget = number(row.get("budget"))
    for each in entries_of(row, "forecasters"):
        error = _estimate(each.get("error"))
        if budget is None or error["value"] is None:
            continue
        pairs = entries_of(each, "against")
        yield Scored(
            log=word(row.get("log")),
            budget=budget,
            forecaster=word(each.get("forecaster")),
            n_runs=count(each.get("n_scored")),
            error=error,
            r2_log=_estimate(each.get("r2_log")),
            coverage=_estimate(each.get("coverage")),
            width=_estimate(each.get("width_factor")),
            against=[(word(p.get("baseline")), _estimate(p.get("difference"))) for p in pairs],
        )


def _estimate(value: object) -> Estimate:
    """Return a figure that stands as a number or as [estimate, lower, upper]."""
    parts = [number(each) for each in sequence(value)] or [number(value)]
    point, lower, upper = (*parts, None, None)[:3]
    return {"value": point, "lower": lower, "upper": upper}
