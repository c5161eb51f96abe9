"""What a backtest found, as the plain data of its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from epochs_left.arrays import BoolArray
from epochs_left.backtesting.forecasters import TRIED
from epochs_left.backtesting.recorded import Recorded
from epochs_left.backtesting.replay import Forecast, Replay, unresolved
from epochs_left.backtesting.scores import SCORES, Bootstrap, Cases, paired, score
from epochs_left.backtesting.truth import Truth
from epochs_left.statistics.plain import entry_of

Entry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Runs that are scored together.

    Attributes
    ----------
    task
        Name of the task; None for all of them.
    runs
        Mask of the log's runs, shape ``(R,)``.
    """

    task: str | None
    runs: BoolArray


def scopes(recorded: Recorded) -> list[Scope]:
    """Return all runs, and where there is more than one task the runs of each."""
    pooled = Scope(task=None, runs=np.ones(recorded.n_runs, dtype=np.bool_))
    if len(recorded.task_names) < 2:
        return [pooled]
    by_task = [
        Scope(task=name, runs=recorded.task == code)
        for code, name in enumerate(recorded.task_names)
    ]
    return [pooled, *by_task]


def run_counts(recorded: Recorded, truth: Truth) -> dict[str, int]:
    """Return how many runs there are, and what became of them."""
    return {
        "n_runs": recorded.n_runs,
        "n_lineages": int(np.unique(recorded.lineage).size),
        "n_tasks": len(recorded.task_names),
        "n_reached": int(truth.reached.sum()),
        "n_not_reached": int((truth.known & ~truth.reached).sum()),
        "n_diverged": int(np.isfinite(truth.diverged_at).sum()),
        "n_unfinished": int((~truth.known).sum()),
    }


def score_entries(
    recorded: Recorded, truth: Truth, replays: Sequence[Replay], bootstrap: Bootstrap
) -> list[Entry]:
    """Return the scores of every forecaster by budget and task; of those tried with intervals."""
    return [
        {
            "budget": replayed.budget,
            "task": scope.task,
            "forecaster": name,
            **_counts(recorded, truth, replayed, forecast, scope),
            **_scores(
                cases_of(recorded, truth, replayed, forecast, scope),
                bootstrap if name in TRIED else None,
            ),
        }
        for replayed in replays
        for scope in scopes(recorded)
        for name, forecast in _tried_first(replayed)
    ]


def comparison_entries(
    recorded: Recorded, truth: Truth, replays: Sequence[Replay], bootstrap: Bootstrap
) -> list[Entry]:
    """Return what is tried against every baseline, by budget and task."""
    return [
        {"budget": replayed.budget, "task": scope.task, **entry}
        for replayed in replays
        for scope in scopes(recorded)
        for entry in _against_baselines(recorded, truth, replayed, scope, bootstrap)
    ]


def cases_of(
    recorded: Recorded, truth: Truth, replayed: Replay, forecast: Forecast, scope: Scope
) -> Cases:
    """Return the runs of a scope whose fate was open at the budget, by name.

    Sums in the order of the log would round otherwise where its rows are sorted otherwise.
    """
    by_name = recorded.by_name
    use = by_name[(unresolved(truth, replayed) & scope.runs)[by_name]]
    p, time = forecast.p_converges, forecast.time
    # A curve gives no probability: the later it says, the less likely by the horizon.
    chance = p if np.isfinite(p).any() else -time / replayed.latest
    return Cases(
        time=truth.time[use],
        predicted=time[use],
        cut=replayed.cut[use],
        lower=forecast.lower[use],
        upper=forecast.upper[use],
        chance=chance[use],
        lineage=recorded.lineage[use],
    )


def _tried_first(replayed: Replay) -> list[tuple[str, Forecast]]:
    return sorted(replayed.forecasts.items(), key=lambda pair: (pair[0] not in TRIED, pair[0]))


def _counts(
    recorded: Recorded, truth: Truth, replayed: Replay, forecast: Forecast, scope: Scope
) -> dict[str, int]:
    """Return how many runs there are of every kind; the lineages are those scored.

    ``n_beyond`` of those scored were forecast for later than the horizon, and count as at it.
    """
    known = truth.known & scope.runs
    asked = unresolved(truth, replayed) & scope.runs
    predicted = ~np.isnan(forecast.time)
    scored = asked & truth.reached & predicted
    return {
        "n_runs": int(known.sum()),
        "n_resolved": int((known & ~asked).sum()),
        "n_not_predictable": int((asked & ~predicted).sum()),
        "n_censored": int((asked & predicted & ~truth.reached).sum()),
        "n_scored": int(scored.sum()),
        "n_beyond": int((scored & (replayed.cut + forecast.remaining > replayed.latest)).sum()),
        "n_lineages": int(np.unique(recorded.lineage[scored]).size),
    }


def _scores(cases: Cases, bootstrap: Bootstrap | None) -> dict[str, Entry | None]:
    found = score(cases, bootstrap)
    return {name: entry_of(found[name]) if name in found else None for name in SCORES}


def _against_baselines(
    recorded: Recorded, truth: Truth, replayed: Replay, scope: Scope, bootstrap: Bootstrap
) -> Iterator[Entry]:
    cases = {
        name: cases_of(recorded, truth, replayed, forecast, scope)
        for name, forecast in _tried_first(replayed)
    }
    tried = [name for name in cases if name in TRIED]
    for name, baseline in product(tried, (name for name in cases if name not in TRIED)):
        found = paired(cases[name], cases[baseline], bootstrap)
        if found is not None:
            yield {
                "forecaster": name,
                "baseline": baseline,
                "n_runs": found.n_runs,
                "n_lineages": found.n_lineages,
                "wins": found.wins,
                "losses": found.losses,
                "ties": found.ties,
                "difference": entry_of(found.difference),
                "is_better": found.better,
            }
