"""Why a prediction is what it is: what each feature of its row contributes.

Boosted trees: exact contributions on the model's scale (Lundberg, Erion and Lee 2018,
arXiv:1802.03888; xgboost's ``pred_contribs``). Other estimators: the change of the value if one
feature is replaced by its median in training; what such changes leave over is given as such.
Contributions, what is left over and the base add up to the value that is explained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers, known_spelling
from epochs_left.prediction.assemble import Block, blocks
from epochs_left.prediction.histories import At, histories, rows_to_answer
from epochs_left.prediction.layout import PARAMS
from epochs_left.prediction.measured import Measured, known_inputs, may_lack, measured
from epochs_left.prediction.predictor import Predictor, loss_only_features
from epochs_left.prediction.runs import Runs
from epochs_left.storage.bundles import REFERENCE, TIME, Bundle, estimator_stem, load_columns
from epochs_left.storage.estimators import UBJSON, load_estimator
from epochs_left.trajectories import FORECAST_INPUTS, GEOMETRY_INPUTS, INPUTS, PLAN_INPUTS

_UNKNOWN = (math.nan, math.nan)
#: Columns that an input is made from, where they are called otherwise.
_COLUMNS = {
    **dict.fromkeys([*GEOMETRY_INPUTS, *FORECAST_INPUTS], PARAMS),
    "planned_lr": "lr_schedule",
    "lr_in_force": "lr",
}
_MEANINGS = {PARAMS: "the parameters after each epoch, params or param_0, param_1, ..."}
#: Scales on which a sum is a product of epochs (R + 1).
_LOGARITHMIC = frozenset({"log", "log_ratio"})


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What one feature contributes.

    Parameters
    ----------
    feature, group
        Names of the feature and of its group.
    value
        Its value at the row, NaN where it is not known.
    low, high
        Training range, NaN where none is known.
    contribution
        On the model's scale.
    """

    feature: str
    group: str
    value: float
    low: float
    high: float
    contribution: float

    @property
    def outside(self) -> bool:
        """Whether the value lies outside the training range."""
        return self.value < self.low or self.value > self.high


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why the prediction at one row is what it is.

    Parameters
    ----------
    answer
        The row of the answer, by column name.
    scale
        Name of the model's scale (`statistics.scales`).
    value
        What the model predicts on it; None where there is no prediction, and with it nothing to
        explain.
    base
        What it would predict of a typical row.
    left_over
        Share of the value that belongs to several features at once; 0 for boosted trees.
    contributions
        Largest first.
    titles
        Titles of the groups, by name.
    missing
        Meaning of the inputs that the model would use and the row lacks, by name.
    loss_alone
        Whether the model for the loss curve alone answers, since something is missing.
    """

    answer: Mapping[str, Any]
    scale: str
    value: float | None
    base: float
    left_over: float
    contributions: tuple[Contribution, ...]
    titles: Mapping[str, str]
    missing: Mapping[str, str]
    loss_alone: bool

    def factor(self, contribution: float) -> float | None:
        """Return by what a contribution multiplies R + 1; None on a scale where it adds epochs."""
        return math.exp(contribution) if self.scale in _LOGARITHMIC else None

    def by_group(self) -> list[tuple[str, float, list[Contribution]]]:
        """Return groups with their sums and members, the largest sum first."""
        members: dict[str, list[Contribution]] = {}
        for item in self.contributions:
            members.setdefault(item.group, []).append(item)
        groups = [(name, sum(i.contribution for i in m), m) for name, m in members.items()]
        return sorted(groups, key=lambda group: -abs(group[1]))


def explain(
    runs: Runs,
    bundle: Bundle,
    predictor: Predictor,
    *,
    aim: Aim,
    at: At,
    run_names: Sequence[str],
    label_names: Sequence[str],
) -> Explanation:
    """Explain the prediction of one run at one row.

    Parameters
    ----------
    runs
        One run.
    bundle, predictor
        The model.
    aim
        What is asked for.
    at
        An epoch, or `histories.LAST` (`histories.rows_to_answer`).
    run_names, label_names
        Names by their codes in the rows.
    """
    table = answers(runs, predictor, aim=aim, at=at, run_names=run_names, label_names=label_names)
    (answer,) = table.to_pylist()
    block, row = _row(runs, predictor, aim, at, label_names)
    parts = _Parts() if row is None else _parts(bundle, predictor, row)
    return Explanation(
        answer=answer,
        scale=predictor.scale.name,
        value=parts.value,
        base=parts.base,
        left_over=0.0 if parts.value is None else parts.value - parts.base - sum(parts.shares),
        contributions=() if row is None else _contributions(predictor, row, parts.shares),
        titles={group.name: group.summary for group in predictor.groups},
        missing={} if block is None else _missing(block, predictor),
        loss_alone=row is not None and not row.complete[0],
    )


def _row(
    runs: Runs, predictor: Predictor, aim: Aim, at: At, label_names: Sequence[str]
) -> tuple[Block | None, Measured | None]:
    """Return the row that is asked for as the model sees it; None where it makes no prediction."""
    past, spelled = histories(runs, aim), known_spelling(label_names, predictor)
    wanted = np.zeros(len(runs.rows), dtype=np.bool_)
    wanted[rows_to_answer(runs, at)] = True
    wanted &= past.predictable & (rows_to_answer(runs, at)[0] >= 0)
    for block in blocks(past, wanted, predictor.inputs, spelled, aim):
        return block, measured(block, wanted, predictor, spelled)
    return None, None


@dataclass(frozen=True)
class _Parts:
    """A value, that of a typical row, and the share of each feature of the manifest."""

    value: float | None = None
    base: float = 0.0
    shares: tuple[float, ...] = ()


def _parts(bundle: Bundle, predictor: Predictor, row: Measured) -> _Parts:
    availability = "all" if row.complete[0] else "loss_only"
    predict = predictor.time[availability]
    value = float(predict(row.features)[0])
    exact = _of_trees(bundle, predictor, row, availability)
    if exact is not None:
        return _Parts(value, exact[-1], tuple(exact[:-1]))
    return _by_replacement(bundle, predictor, row, availability)


def _of_trees(
    bundle: Bundle, predictor: Predictor, row: Measured, availability: str
) -> list[float] | None:
    """Return the exact shares of the features and the base; None if the model is no such trees."""
    loss_only = loss_only_features(predictor.manifest, predictor.groups)
    own = f"{estimator_stem(TIME, availability)}{UBJSON}"
    name = own if own in bundle.files else f"{TIME}{UBJSON}"
    if name not in bundle.files:
        return None
    from xgboost import DMatrix  # noqa: PLC0415 - the estimators of this bundle are xgboost's

    used = loss_only if own == name and availability == "loss_only" else np.ones_like(loss_only)
    features = row.features if availability == "all" else np.where(loss_only, row.features, np.nan)
    booster = load_estimator(UBJSON, bundle.files[name]).get_booster()
    found = booster.predict(DMatrix(features[:, used]), pred_contribs=True)[0].astype(np.float64)
    shares = np.zeros(loss_only.size)
    shares[used] = found[:-1]
    return [*shares.tolist(), float(found[-1])]


def _by_replacement(
    bundle: Bundle, predictor: Predictor, row: Measured, availability: str
) -> _Parts:
    """Return the change of the value when a feature becomes its training median, one at a time."""
    names, predict = predictor.manifest.features, predictor.time[availability]
    typical = np.full(len(names), np.nan, dtype=np.float32)
    if REFERENCE in bundle.files:
        columns = load_columns(bundle.files[REFERENCE])
        for index, name in enumerate(names):
            known = columns[name][~np.isnan(columns[name])]
            typical[index] = np.median(known) if known.size else np.nan
    replaced = np.repeat(row.features, len(names), axis=0)
    np.fill_diagonal(replaced, typical)
    values = predict(np.concatenate([row.features, typical[None, :], replaced]))
    return _Parts(float(values[0]), float(values[1]), tuple((values[0] - values[2:]).tolist()))


def _contributions(
    predictor: Predictor, row: Measured, shares: Sequence[float]
) -> tuple[Contribution, ...]:
    manifest = predictor.manifest
    group_of = {name: group.name for group in predictor.groups for name in group.units}
    found = [
        Contribution(
            feature=name,
            group=group_of[name],
            value=float(value),
            low=manifest.ranges.get(name, _UNKNOWN)[0],
            high=manifest.ranges.get(name, _UNKNOWN)[1],
            contribution=share,
        )
        for name, value, share in zip(manifest.features, row.features[0], shares, strict=True)
    ]
    return tuple(sorted(found, key=lambda item: -abs(item.contribution)))


def _missing(block: Block, predictor: Predictor) -> dict[str, str]:
    """Return the meaning of what the log does not say and the model would use, by column."""
    cell = np.array([int(block.trajectories.lengths[0]) - 1])
    known = known_inputs(block, cell, predictor)
    lacking = {name for name, here in known.items() if not here.any()}
    lacking -= may_lack(block) - PLAN_INPUTS  # rows without a plan are complete, and worse
    columns = {_COLUMNS.get(name, name) for name in lacking}
    return {name: _MEANINGS.get(name, INPUTS.get(name, "")) for name in sorted(columns)}
