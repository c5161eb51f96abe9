"""From whole runs to the rows of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.features import compute_features
from epochs_left.prediction.assemble import Block, blocks
from epochs_left.prediction.histories import MIN_HISTORY, At, Histories, histories, rows_to_answer
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.runs import Runs
from epochs_left.prediction.unlike import (
    combined,
    far_from_training,
    outside_ranges,
    unseen_names,
)
from epochs_left.trajectories import GOAL_INPUTS


class Status(StrEnum):
    """How far a row of the answer can be trusted."""

    OK = "ok"
    INSUFFICIENT_HISTORY = "insufficient_history"  # no prediction: fewer than two epochs seen
    ALREADY_CONVERGED = "already_converged"  # the loss has reached the target: 0 epochs
    OUT_OF_DISTRIBUTION = "out_of_distribution"  # predicted, with a wider interval
    DIVERGED = "diverged"  # no prediction: the loss was NaN or infinite


_STATUSES = tuple(Status)
_TOO_SHORT = f"fewer than {MIN_HISTORY} epochs with a loss"
_NOT_FINITE = "the loss is not finite, here or before"
_REACHED = "the loss has reached the target"
_LOSS_ALONE = "predicted from the loss alone"
_TEXT = pa.dictionary(pa.int32(), pa.string())

#: Columns of the answer, in order.
ANSWER_SCHEMA = pa.schema(
    [
        pa.field("run_id", _TEXT),
        pa.field("epoch", pa.int64()),
        pa.field("epochs_remaining", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("p_converges", pa.float64()),
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
    target: float,
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
    target
        Loss to be reached.
    at
        Which rows to answer (`histories.rows_to_answer`).
    run_names, label_names
        Names by their codes in the rows.
    """
    past = histories(runs, target)
    asked = rows_to_answer(runs, at)
    wanted = np.zeros(len(runs.rows), dtype=np.bool_)
    wanted[asked[asked >= 0]] = True
    draft = _without_model(past)
    spelled = _spelled(label_names, predictor)
    predicted = wanted & past.predictable
    for block in blocks(past, predicted, predictor.inputs, spelled, target):
        _predict(block, predicted, predictor, spelled, draft)
    return _table(runs, draft, asked, at, run_names, predictor.manifest.bundle_id)


def _without_model(past: Histories) -> _Draft:
    """Answer what needs no model; what comes later in the list overrules what comes before."""
    measured = past.runs.rows.measured
    short = measured & (past.seen < MIN_HISTORY)
    unknown = {"epochs": np.nan, "p_converges": np.nan}
    draft = _Draft.of(len(past.runs.rows))
    draft.settle(~measured, Status.INSUFFICIENT_HISTORY, "no loss at this epoch", **unknown)
    draft.settle(short, Status.INSUFFICIENT_HISTORY, _TOO_SHORT, **unknown)
    draft.settle(past.diverged, Status.DIVERGED, _NOT_FINITE, epochs=np.nan, p_converges=0.0)
    draft.settle(past.reached, Status.ALREADY_CONVERGED, _REACHED, epochs=0.0, p_converges=1.0)
    return draft


def _spelled(names: Sequence[str], predictor: Predictor) -> list[str]:
    """Return names in the spelling of the training data where only the case differs."""
    known = {
        name.lower(): name for names in predictor.manifest.vocabulary.values() for name in names
    }
    return [known.get(name.strip().lower(), name) for name in names]


def _predict(
    block: Block,
    predicted: BoolArray,
    predictor: Predictor,
    label_names: Sequence[str],
    draft: _Draft,
) -> None:
    """Predict the wanted cells of a block and write them into the draft."""
    cells = (block.rows >= 0) & predicted[block.rows]
    run = np.nonzero(cells)[0]
    computed, complete = _features(block, predictor)
    features = np.stack([computed[name][cells] for name in predictor.manifest.features], axis=1)
    names = unseen_names(block.labels, label_names, predictor.manifest, block.trajectories.n_runs)
    unlike = combined(
        {
            **{reason: runs[run] for reason, runs in names.items()},
            **{reason: flagged[cells] for reason, flagged in block.flags.items()},
            **outside_ranges(features, predictor.manifest),
            **far_from_training(features, predictor.novelty),
        },
        run.size,
    )
    elapsed = block.trajectories.inputs["epoch"][cells]
    forecast = predictor.forecast(features, elapsed, complete[cells], unlike.found)
    rows, unit = block.rows[cells], block.unit[run, 0]
    draft.remaining[rows] = forecast.remaining * unit
    draft.lower[rows] = forecast.lower * unit
    draft.upper[rows] = forecast.upper * unit
    if forecast.p_converges is not None:
        draft.p_converges[rows] = forecast.p_converges
    statuses = (_STATUSES.index(Status.OK), _STATUSES.index(Status.OUT_OF_DISTRIBUTION))
    draft.status[rows] = np.where(unlike.found, statuses[1], statuses[0])
    plain = np.where(complete[cells], draft.reasons.index(""), draft.reasons.index(_LOSS_ALONE))
    draft.reason[rows] = np.where(unlike.found, unlike.reason + len(draft.reasons) - 1, plain)
    draft.reasons.extend(unlike.reasons[1:])


def _features(block: Block, predictor: Predictor) -> tuple[dict[str, FloatArray], BoolArray]:
    """Return features by name, NaN where an input is missing, and where none is, ``(R, E)``.

    A group may turn a missing input into a number; it would then depend on other runs of the log
    whether a run without that input shares their block.
    """
    trajectories = block.trajectories
    with np.errstate(all="ignore"):
        features = compute_features(
            trajectories, predictor.groups, names=predictor.manifest.features
        )
    complete = np.ones(block.rows.shape, dtype=np.bool_)
    for group in predictor.groups:
        known = np.ones(block.rows.shape, dtype=np.bool_)
        for name in group.requires:
            here = block.available.get(name, np.array(name in trajectories.inputs))
            known &= here
            complete &= here | (name in GOAL_INPUTS)
        for name in set(group.units) & set(features):
            features[name][~known] = np.nan
    return features, complete


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
