"""Which column of a log plays which part, and what to do with bad values."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from epochs_left.errors import DataError

RUN_COLUMN = "run_id"
TIME_COLUMNS = ("epoch", "step")
METRIC = "loss"

#: Optional columns with one number an epoch, and the smallest value that makes sense.
MEASURES: dict[str, float] = {
    "grad_norm": 0.0,
    "update_norm": 0.0,
    "path_length": 0.0,
    "probe_kl": 0.0,
}
#: Optional columns with one number a run; lr has to be above its bound, the others may equal it.
SETTINGS: dict[str, float] = {
    "lr": 0.0,
    "momentum": 0.0,
    "batch_size": 1.0,
    "n_examples": 1.0,
    "n_params": 1.0,
    "weight_decay": 0.0,
    "horizon": 1.0,
}
#: Optional columns with one name a run.
LABELS = ("optimizer", "activation", "architecture", "lr_schedule")
PARAMS = "params"
_PARAM_PREFIX = "param_"

_SHOWN_COLUMNS = 8
#: Share of equal letters from which on one name may be meant by another.
_SIMILAR = 0.5


class OnBad(StrEnum):
    """What to do with a value that is NaN or infinite."""

    ERROR = "error"  # stop and name the row
    FLAG = "flag"  # go on: the run has diverged, or the measure is missing from there on


@dataclass(frozen=True, kw_only=True)
class ColumnChoice:
    """Columns that the user named; None for the usual names."""

    run: str | None = None
    time: str | None = None
    metric: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of one log by the part that they play.

    Parameters
    ----------
    run
        Column of the run's name; None where the whole log is one run.
    time, metric
        Columns of the epoch and of the loss or what stands for it.
    known
        Optional columns that are there: keys of `MEASURES` and `SETTINGS`, and `LABELS`.
    params
        ``("params",)`` or ``("param_0", ...)`` in order; empty without parameters.
    ignored
        Columns that play no part.
    """

    run: str | None
    time: str
    metric: str
    known: tuple[str, ...]
    params: tuple[str, ...]
    ignored: tuple[str, ...]

    def columns(self, *, with_params: bool) -> list[str]:
        """Return the columns to read."""
        first = [self.run] if self.run is not None else []
        return [*first, self.time, self.metric, *self.known, *(self.params if with_params else ())]


def resolve(columns: Sequence[str], choice: ColumnChoice) -> Layout:
    """Return the layout of a log with these ``columns``.

    Raises
    ------
    DataError
        If a column that is needed is missing, with the nearest name that is there.
    """
    usual_time = next((name for name in TIME_COLUMNS if name in columns), TIME_COLUMNS[0])
    usual_run = RUN_COLUMN if RUN_COLUMN in columns else None
    needed = {
        "--run-column": choice.run or usual_run,
        "--time-column": choice.time or usual_time,
        "--metric": choice.metric or METRIC,
    }
    run, time, metric = needed.values()
    assert time is not None
    assert metric is not None
    taken = {run, time, metric}
    known = [name for name in (*MEASURES, *SETTINGS, *LABELS) if name in columns]
    params = _params(columns)
    parts = taken | set(known) | set(params)
    ignored = tuple(name for name in columns if name not in parts)
    _require(needed, columns, ignored)
    return Layout(
        run=run,
        time=time,
        metric=metric,
        known=tuple(name for name in known if name not in taken),
        params=params,
        ignored=ignored,
    )


def _params(columns: Sequence[str]) -> tuple[str, ...]:
    if PARAMS in columns:
        return (PARAMS,)
    present = set(columns)
    names: list[str] = []
    while (name := f"{_PARAM_PREFIX}{len(names)}") in present:
        names.append(name)
    return tuple(names)


def _require(needed: Mapping[str, str | None], columns: Sequence[str], free: Sequence[str]) -> None:
    missing = {flag: name for flag, name in needed.items() if name and name not in columns}
    if not missing:
        return
    candidates = list(free or columns)
    nearest = {flag: _nearest(name, candidates) or "NAME" for flag, name in missing.items()}
    flags = [f"{flag} {shlex.quote(name)}" for flag, name in nearest.items()]
    shown = repr(candidates[:_SHOWN_COLUMNS])
    more = len(candidates) - _SHOWN_COLUMNS
    raise DataError(
        f"missing columns {list(missing.values())}, found {shown}"
        f"{f' and {more} more' if more > 0 else ''}; "
        f"rename {'it' if len(missing) == 1 else 'them'} or pass {' '.join(flags)}"
    )


def _nearest(name: str, candidates: Sequence[str]) -> str | None:
    """Return the most similar candidate, the first of equals; None where none is similar."""

    def similarity(candidate: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()

    best = max(candidates, key=similarity, default="")
    return best if similarity(best) >= _SIMILAR else None
