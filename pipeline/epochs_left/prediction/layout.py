"""Which column of a log plays which part, and what to do with bad values."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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
#: Optional columns with one number a run, and the smallest value that makes sense; of lr the first
#: row counts as the base rate, and it may fall to 0.
SETTINGS: dict[str, float] = {
    "lr": 0.0,
    "momentum": 0.0,
    "batch_size": 1.0,
    "n_examples": 1.0,
    "n_params": 1.0,
    "weight_decay": 0.0,
    "horizon": 1.0,
}
#: The column lr row by row, in `Rows.numbers`: a stated one is the base rate alone.
RECORDED_LR = "recorded_lr"
#: Optional columns with one name a run.
LABELS = ("optimizer", "activation", "architecture", "lr_schedule")
#: Other names of optional columns, as frameworks and loggers write them; the first one there is
#: taken, where the usual name is absent.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "train/learning_rate", "train/lr", "lr_step"),
    "grad_norm": ("gradient_norm", "grad_2.0_norm_total", "train/grad_norm"),
    "batch_size": ("train_batch_size", "per_device_train_batch_size"),
    "n_params": ("num_params", "num_parameters", "parameters"),
    "n_examples": ("num_examples", "train_examples"),
    "optimizer": ("optimizer_name", "optim"),
    "lr_schedule": ("lr_scheduler", "lr_scheduler_type"),
    "horizon": ("max_epochs", "num_train_epochs"),
}
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
    """Columns that the user named, None for the usual names, and what stands in none.

    Attributes
    ----------
    stated
        Settings of every run, by name: numbers of `SETTINGS` and names of `LABELS`.
    """

    run: str | None = None
    time: str | None = None
    metric: str | None = None
    stated: Mapping[str, float | str] = field(default_factory=dict)


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
        Optional inputs that are there: keys of `MEASURES` and `SETTINGS`, and `LABELS`.
    synonyms
        Columns of those inputs that the log calls otherwise, by the input's name.
    stated
        Those inputs that stand in no column, with their value for every run.
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
    synonyms: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, float | str] = field(default_factory=dict)

    def written(self, name: str) -> str:
        """Return the column of a known input."""
        return self.synonyms.get(name, name)

    def columns(self, *, with_params: bool) -> list[str]:
        """Return the columns to read."""
        first = [self.run] if self.run is not None else []
        return [
            *first,
            self.time,
            self.metric,
            *(self.written(name) for name in self.known if name not in self.stated),
            *(self.params if with_params else ()),
        ]


def resolve(columns: Sequence[str], choice: ColumnChoice) -> Layout:
    """Return the layout of a log with these ``columns``.

    Raises
    ------
    DataError
        If a column that is needed is missing, with the nearest name that is there, or if a setting
        is stated that stands in a column.
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
    synonyms = _synonyms(columns, taken)
    _require_unwritten(choice.stated, columns, synonyms)
    written = {*synonyms, *choice.stated, *columns}
    known = [name for name in (*MEASURES, *SETTINGS, *LABELS) if name in written]
    params = _params(columns)
    parts = taken | set(known) | set(synonyms.values()) | set(params)
    ignored = tuple(name for name in columns if name not in parts)
    _require(needed, columns, ignored)
    return Layout(
        run=run,
        time=time,
        metric=metric,
        known=tuple(name for name in known if name not in taken),
        synonyms=synonyms,
        stated=choice.stated,
        params=params,
        ignored=ignored,
    )


def _require_unwritten(
    stated: Collection[str], columns: Sequence[str], synonyms: Mapping[str, str]
) -> None:
    for name in stated:
        if name in synonyms or name in columns:
            raise DataError(
                f"--set {name}: the log says it in its column {synonyms.get(name, name)!r}; leave "
                "out --set, or the column"
            )


def _synonyms(columns: Sequence[str], taken: Collection[str | None]) -> dict[str, str]:
    """Return the columns of optional inputs that go by another name, by the input's name."""
    found = {}
    for name, others in SYNONYMS.items():
        here = [other for other in others if other in columns and other not in taken]
        if here and name not in columns:
            found[name] = here[0]
    return found


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
