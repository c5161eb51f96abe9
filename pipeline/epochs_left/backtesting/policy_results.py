"""Policies on the model's own forecasts, as the plain data of the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.backtesting.consequences import Entry, consequences
from epochs_left.backtesting.forecasters import FORECASTERS, MODEL, Known
from epochs_left.backtesting.policies import Policy, parsed_policies
from epochs_left.backtesting.recorded import Recorded, runs_at
from epochs_left.backtesting.replay import Replay, replay, unresolved
from epochs_left.backtesting.scores import Bootstrap
from epochs_left.backtesting.stopping import Field, stop_runs
from epochs_left.backtesting.summary import scopes
from epochs_left.backtesting.truth import Truth
from epochs_left.errors import ModelError
from epochs_left.prediction.predictor import Predictor

_NEEDS_P = "never"


def check_policies(policies: Sequence[str], predictor: Predictor) -> None:
    """Raise ModelError for a policy that needs what the bundle does not give."""
    names = {policy.name for text in policies for policy in parsed_policies(text)}
    if _NEEDS_P in names and predictor.converges is None:
        raise ModelError(
            f"--policy {_NEEDS_P}: bundle {predictor.manifest.bundle_id} gives no "
            "probability of converging; pass another policy, or another bundle with -m"
        )


def policy_entries(
    recorded: Recorded,
    truth: Truth,
    horizon: FloatArray,
    replays: Sequence[Replay],
    known: Known,
    policies: Sequence[str],
    bootstrap: Bootstrap,
) -> list[Entry]:
    """Return what each policy saves and costs, by budget and task, with intervals over lineages.

    Parameters
    ----------
    horizon
        What budgets are percents of, shape ``(R,)``.
    policies
        As they are written on the command line.
    """
    return [
        entry
        for replayed in replays
        if MODEL in replayed.forecasts
        for text in policies
        for entry in _entries(recorded, truth, horizon, replayed, known, text, bootstrap)
    ]


def _entries(
    recorded: Recorded,
    truth: Truth,
    horizon: FloatArray,
    replayed: Replay,
    known: Known,
    text: str,
    bootstrap: Bootstrap,
) -> list[Entry]:
    policies = parsed_policies(text)
    earliest = {
        policy.confidence: _earliest(recorded, horizon, replayed, known, policy)
        for policy in policies
        if policy.spec.least > 0
    }
    index = recorded.by_name[truth.known[recorded.by_name]]
    runs = _field(recorded, truth, replayed, earliest, index)
    stops = stop_runs(policies, runs)
    what = {"budget": replayed.budget, "policy": text}
    return [
        {**what, "task": scope.task, **consequences(runs, stops, scope.runs[index], bootstrap)}
        for scope in scopes(recorded)
    ]


def _field(
    recorded: Recorded,
    truth: Truth,
    replayed: Replay,
    earliest: Mapping[float, FloatArray],
    index: IntArray,
) -> Field:
    """Return the runs at the positions ``index``, one after another."""
    forecast = replayed.forecasts[MODEL]
    in_progress = unresolved(truth, replayed) & ~np.isnan(replayed.cut)
    to_target = truth.reached & (recorded.plateau is None)
    return Field(
        task=recorded.task[index],
        lineage=recorded.lineage[index],
        end=np.where(to_target, truth.time, truth.end)[index],
        time=np.where(truth.reached, truth.time, np.inf)[index],
        open=in_progress[index],
        cut=replayed.cut[index],
        p_converges=forecast.p_converges[index],
        earliest={confidence: times[index] for confidence, times in earliest.items()},
        runs=runs_at(recorded.runs, index),
    )


def _earliest(
    recorded: Recorded, horizon: FloatArray, replayed: Replay, known: Known, policy: Policy
) -> FloatArray:
    """Return the lower ends of the central intervals whose lower tail is 1 - confidence, (R,)."""
    level = 2 * policy.confidence - 1
    at_level = replace(known, predictor=known.predictor.at_level(level), level=level)
    again = replay(
        recorded, horizon, replayed.budget, at_level, [(MODEL, FORECASTERS[MODEL])]
    ).forecasts[MODEL]
    return replayed.cut + again.lower
