"""A tracker between two processes: written as JSON, read with care."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from epochs_left.live.history import COLUMNS, MAX_KEPT, History
from epochs_left.live.motion import Motion
from epochs_left.live.pace import Pace

VERSION = 2
_KEYS = frozenset({"version", "asked", "time", "values", "pace", "motion", "epoch", "settled"})
_TEXTS = ("status", "reason")
_ANSWER = ("epochs_remaining", "lower", "upper", "p_converges", *_TEXTS)
Settled = tuple[float, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class TrackerState:
    """What a tracker has seen."""

    history: History
    pace: Pace
    motion: Motion
    epoch: float | None
    settled: Settled | None


def state_of(
    *,
    asked: Mapping[str, Any],
    history: History,
    pace: Pace,
    motion: Motion,
    epoch: float | None,
    settled: Settled | None,
) -> dict[str, Any]:
    """Return a state for JSON, in which what is not finite is text: JSON has no NaN."""
    return {
        "version": VERSION,
        "asked": dict(asked),
        "time": list(history.time),
        "values": {name: list(map(_written, column)) for name, column in history.values.items()},
        "pace": pace.intervals,
        "motion": motion.state(),
        "epoch": epoch,
        "settled": None if settled is None else {"epoch": settled[0], "answer": settled[1]},
    }


def read_state(
    state: Mapping[str, Any], asked: Mapping[str, Any], history: History
) -> TrackerState:
    """Return what a state says; ``history`` is filled.

    Raises
    ------
    ValueError
        If it is no state of a tracker that was asked for the same.
    """
    if not isinstance(state, Mapping) or set(state) != _KEYS:
        raise ValueError("no state of a tracker; pass what state_dict() returned")
    if state["version"] != VERSION:
        raise ValueError(
            f"expected a state of version {VERSION}, got {state['version']!r}; start a new tracker"
        )
    _refuse_other(state["asked"], asked)
    try:
        return _read(state, history)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"damaged state of a tracker ({error}); start a new tracker") from error


def _refuse_other(found: Any, asked: Mapping[str, Any]) -> None:
    found = found if isinstance(found, Mapping) else {}
    other = [name for name in asked if found.get(name) != asked[name]]
    if other:
        shown = "; ".join(f"{name} {found.get(name)!r}, now {asked[name]!r}" for name in other)
        raise ValueError(
            f"a state of another tracker: {shown}; make the tracker as it was, or start a new one"
        )


def _read(state: Mapping[str, Any], history: History) -> TrackerState:
    time = [float(epoch) for epoch in _listed(state["time"])]
    columns = {name: array("d", map(float, _listed(state["values"][name]))) for name in COLUMNS}
    if any(len(column) != len(time) for column in columns.values()) or len(time) > MAX_KEPT:
        raise ValueError("columns of unequal length")
    if not all(math.isfinite(t) and t >= 0 for t in time) or sorted(set(time)) != time:
        raise ValueError("epochs that do not rise")
    epoch = None if state["epoch"] is None else float(state["epoch"])
    pace = [float(seconds) for seconds in _listed(state["pace"])]
    latest = time[-1] if time else 0.0
    is_odd = bool(time) if epoch is None else not latest <= epoch < math.inf
    if is_odd:
        raise ValueError("an epoch before the last evaluation, or none")
    if not all(0 <= seconds < math.inf for seconds in pace):
        raise ValueError("times that run backwards")
    history.time, history.values = array("d", time), columns
    motion = Motion()
    motion.restore(state["motion"])
    if motion.n_params:
        history.set("n_params", float(motion.n_params))
    settled = state["settled"]
    return TrackerState(
        history=history,
        pace=Pace(pace),
        motion=motion,
        epoch=epoch,
        settled=None if settled is None else (float(settled["epoch"]), _answer(settled["answer"])),
    )


def _answer(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer: numbers or None, and texts."""
    answer = {name: found[name] for name in _ANSWER}
    for name, value in answer.items():
        kinds = (str,) if name in _TEXTS else (float, int, NoneType)
        if not isinstance(value, kinds):
            raise ValueError(f"{name} of an answer is {value!r}")
    return answer


def _listed(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError(f"expected a list, got {values!r}")
    return values


def _written(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
