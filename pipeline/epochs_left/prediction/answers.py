"""From whole runs to the rows of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.dynamics.schedules import is_schedule
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.assemble import blocks
from epochs_left.prediction.histories import (
    LAST,
    MIN_HISTORY,
    At,
    Histories,
    histories,
    horizons,
    rows_to_answer,
)
from epochs_left.prediction.measured import Measured, measured
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.runs import Runs


class Status(StrEnum):
    """How far a row of the answer can be trusted."""

    OK = "ok"
    INSUFFICIENT_HISTORY = "insufficient_history"  # no prediction: fewer than two epochs seen
    ALREADY_CONVERGED = "already_converged"  # the goal is reached: 0 epochs
    OUT_OF_DISTRIBUTION = "out_of_distribution"  # predicted, with a wider interval
    DIVERGED = "diverged"  # no prediction: the loss was NaN or infinite


_STATUSES = tuple(Status)
_TOO_SHORT = f"fewer than {MIN_HISTORY} epochs with a loss"
_NO_LOSS = "no loss at this epoch"
_NOT_FINITE = "the loss is not finite, here or before"
_REACHED = "the loss has reached the target"
_ON_PLATEAU = "the horizon is over and the plateau began before it"
_NO_PLATEAU = "the horizon is over without a plateau"
_AIMLESS = "no horizon, which is a part of what a plateau is"
_LOSS_ALONE = "predicted from the loss alone"
_NUMBERS = ("epochs_remaining", "lower", "upper", "p_converges")
_TEXT = pa.dictionary(pa.int32(), pa.string())

#: Columns of the answer, in order.
ANSWER_SCHEMA = pa.schema(
    [
        pa.field("run_id", _TEXT),
        pa.field("epoch", pa.int64()),
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
        pa.field("status", _TEXT),
        pa.field("reason", _TEXT),
        pa.field("model_id", _TEXT),
    ]
)


@dataclass(frozen=True)
class _Draft:
    """Columns of the answer for n rows, filled in step by step; NaN stands for null."""

    remaining: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_converges: FloatArray
    status: IntArray
    reason: IntArray
    reasons: list[str]

    @classmethod
    def of(cls, n_rows: int) -> _Draft:
        """Return a draft of ``n_rows`` rows without predictions."""
        remaining, lower, upper, p_converges = np.full((4, n_rows), np.nan)
        status = np.full(n_rows, _STATUSES.index(Status.INSUFFICIENT_HISTORY))
        reason = np.zeros(n_rows, dtype=np.int64)
        return cls(remaining, lower, upper, p_converges, status, reason, ["", _LOSS_ALONE])

    @property
    def numbers(self) -> tuple[FloatArray, ...]:
        """The columns that hold numbers, in order."""
        return self.remaining, self.lower, self.upper, self.p_converges

    def settle(
        self, rows: BoolArray, status: Status, reason: str, *, epochs: float, p_converges: float
    ) -> None:
        """Answer rows without a model."""
        self.status[rows] = _STATUSES.index(status)
        self.reason[rows] = len(self.reasons)
        self.reasons.append(reason)
        for column in (self.remaining, self.lower, self.upper):
            column[rows] = epochs
        self.p_converges[rows] = p_converges

    def take(self, position: IntArray) -> _Draft:
        """Return the rows at ``position``."""
        remaining, lower, upper, p_converges = (column[position] for column in self.numbers)
        status, reason = self.status[position], self.reason[position]
        return _Draft(remaining, lower, upper, p_converges, status, reason, list(self.reasons))


def answers(
    runs: Runs,
    predictor: Predictor,
    *,
    aim: Aim,
    at: At,
    run_names: Sequence[str],
    label_names: Sequence[str],
) -> pa.Table:
    """Return the answer for whole runs: columns of `ANSWER_SCHEMA`, rows by run and epoch.

    The answer for an epoch depends on that run's rows up to it alone: not on later rows, on the
    order of the rows, on other runs, or on how they are batched.

    Parameters
    ----------
    runs
        The runs.
    predictor
        The model.
    aim
        What is asked for.
    at
        Which rows to answer (`histories.rows_to_answer`).
    run_names, label_names
        Names by their codes in the rows.
    """
    asked = rows_to_answer(runs, at)
    draft = _drafted(runs, predictor, aim, asked[asked >= 0], label_names)
    return _table(runs, draft, asked, at, run_names, predictor.manifest.bundle_id)


def last_answer(
    runs: Runs, predictor: Predictor, *, aim: Aim, label_names: Sequence[str]
) -> dict[str, Any]:
    """Return the answer for the last row of one run: what `answers` says of it, as plain values.

    Without the table, which for one row takes longer to make than to fill.

    Parameters
    ----------
    runs
        The one run.
    predictor, aim, label_names
        As for `answers`.

    Returns
    -------
    Numbers, status and reason by the names of `ANSWER_SCHEMA`, None where the table has a null.
    """
    asked = rows_to_answer(runs, LAST)
    draft = _drafted(runs, predictor, aim, asked, label_names)
    row = int(asked[0])
    numbers = (float(values[row]) for values in draft.numbers)
    return {
        **{n: None if np.isnan(v) else v for n, v in zip(_NUMBERS, numbers, strict=True)},
        "status": _STATUSES[draft.status[row]].value,
        "reason": draft.reasons[draft.reason[row]],
    }


def _drafted(
    runs: Runs, predictor: Predictor, aim: Aim, asked: IntArray, label_names: Sequence[str]
) -> _Draft:
    """Return a draft of all rows in which those at ``asked`` are answered."""
    past = histories(runs, aim)
    wanted = np.zeros(len(runs.rows), dtype=np.bool_)
    wanted[asked] = True
    draft = _without_model(past, aim)
    spelled = known_spelling(label_names, predictor)
    predicted = wanted & past.predictable
    for block in blocks(past, predicted, predictor.inputs, spelled, aim):
        _predict(measured(block, predicted, predictor, spelled), predictor, draft)
    if aim.plateau is not None:
        _keep_within(horizons(runs, aim), runs, draft)
    return draft


def _keep_within(horizon: FloatArray, runs: Runs, draft: _Draft) -> None:
    """Let no answer pass the horizon: a plateau is one of the curve up to there, or there is none.

    Parameters
    ----------
    horizon
        Last epoch of each run, shape ``(R,)``.
    """
    left = np.maximum(np.repeat(horizon, runs.lengths) - runs.rows.epoch, 0.0)
    for epochs in (draft.remaining, draft.lower, draft.upper):
        np.minimum(epochs, left, out=epochs, where=~np.isnan(epochs))


def _without_model(past: Histories, aim: Aim) -> _Draft:
    """Answer what needs no model; what comes later in the list overrules what comes before."""
    rows = past.runs.rows
    short = rows.measured & (past.seen < MIN_HISTORY)
    unknown = {"epochs": np.nan, "p_converges": np.nan}
    never = {"epochs": np.nan, "p_converges": 0.0}
    reached = _REACHED if aim.plateau is None else _ON_PLATEAU
    draft = _Draft.of(len(rows))
    draft.settle(~rows.measured, Status.INSUFFICIENT_HISTORY, _NO_LOSS, **unknown)
    draft.settle(short, Status.INSUFFICIENT_HISTORY, _TOO_SHORT, **unknown)
    draft.settle(past.aimless, Status.INSUFFICIENT_HISTORY, _AIMLESS, **unknown)
    draft.settle(past.diverged, Status.DIVERGED, _NOT_FINITE, **never)
    draft.settle(past.ended, Status.OK, _NO_PLATEAU, **never)
    draft.settle(past.reached, Status.ALREADY_CONVERGED, reached, epochs=0.0, p_converges=1.0)
    return draft


def known_spelling(names: Sequence[str], predictor: Predictor) -> list[str]:
    """Return names in the spelling of the training data where only the case differs."""
    vocabulary = chain.from_iterable(predictor.manifest.vocabulary.values())
    known = {name.lower(): name for name in vocabulary}
    plain = [name.strip().lower() for name in names]
    return [
        lower if is_schedule(lower) else known.get(lower, name)
        for name, lower in zip(names, plain, strict=True)
    ]


def _predict(cells: Measured, predictor: Predictor, draft: _Draft) -> None:
    """Predict cells and write what was found into the draft."""
    rows, unlike, complete = cells.rows, cells.unlike, cells.complete
    forecast = predictor.forecast(
        cells.features, cells.elapsed, complete, unlike.found, cells.ahead
    )
    draft.remaining[rows] = forecast.remaining * cells.unit
    draft.lower[rows] = forecast.lower * cells.unit
    draft.upper[rows] = forecast.upper * cells.unit
    if forecast.p_converges is not None:
        draft.p_converges[rows] = forecast.p_converges
    statuses = (_STATUSES.index(Status.OK), _STATUSES.index(Status.OUT_OF_DISTRIBUTION))
    draft.status[rows] = np.where(unlike.found, statuses[1], statuses[0])
    plain = np.where(complete, draft.reasons.index(""), draft.reasons.index(_LOSS_ALONE))
    draft.reason[rows] = np.where(unlike.found, unlike.reason + len(draft.reasons) - 1, plain)
    draft.reasons.extend(unlike.reasons[1:])


def _table(
    runs: Runs, draft: _Draft, asked: IntArray, at: At, run_names: Sequence[str], model_id: str
) -> pa.Table:
    """Return the asked rows of the draft; a run that has none gets a row that says so."""
    none = asked < 0
    position = np.where(none, 0, asked)
    run = runs.run_of_row[position] if at is None else np.arange(asked.size)
    draft = draft.take(position)
    no_epoch = f"no epoch up to {at} with a loss"
    draft.settle(none, Status.INSUFFICIENT_HISTORY, no_epoch, epochs=np.nan, p_converges=np.nan)
    names = [run_names[code] for code in runs.rows.run[runs.starts]]
    columns = [
        _dictionary(run, names),
        pa.array(np.where(none, at if isinstance(at, int) else 0, runs.rows.epoch[position])),
        *(_nullable(values) for values in draft.numbers),
        _dictionary(draft.status, [status.value for status in _STATUSES]),
        _dictionary(draft.reason, draft.reasons),
        _dictionary(np.zeros_like(position), [model_id]),
    ]
    return pa.Table.from_arrays(columns, schema=ANSWER_SCHEMA)


def _dictionary(codes: IntArray, texts: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(texts, pa.string()))


def _nullable(values: FloatArray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
