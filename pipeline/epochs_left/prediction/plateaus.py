"""The predictor of plateaus: learnt from synthetic curves alone, measured on real runs.

Where a curve's plateau begins is a matter of its shape and of the learning rates to come, the same
for any network: the curve prior teaches it, and every real run is of a kind that the predictor has
not seen. So what it is off by on simulated runs of networks, and on other curves of the prior,
makes the intervals of any run: they hold for the one and for the other. What a row is compared with
to tell whether it is like the data, ranges and reference, is both, as the intervals are.

What is known of the learning rates may be those so far, and the schedule ahead besides: every row
is there twice, with its plan and without, and the trees learn what to do when there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.arrays import BoolArray, IntArray
from epochs_left.config import PoolSettings
from epochs_left.dynamics.targets import LATEST_PLATEAU
from epochs_left.errors import DataError
from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.bundling import BundleFacts, bundle_of
from epochs_left.prediction.intervals import Residuals, calibrated, interval_ends
from epochs_left.prediction.pool import (
    LANDMARK,
    PRIOR,
    Fitted,
    PoolExamples,
    fit_pooled,
    models_of,
    pooled_examples,
    predicted_rows,
    training_facts,
)
from epochs_left.prediction.training import estimator_seed
from epochs_left.regressors import REGRESSORS
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.schema import TargetKind, View
from epochs_left.seeding import Purpose
from epochs_left.statistics.folds import grouped_folds
from epochs_left.statistics.scales import SCALES, interval_around, interval_scale
from epochs_left.storage.manifests import BundleManifest
from epochs_left.trajectories import LOSS_INPUTS


def _median_trees(random_state: int) -> RegressorMixin:
    """Return boosted trees of the median, which curves whose end nobody could foresee do not sway.

    As often too early as too late is also what people expect of a forecast.
    """
    return XGBRegressor(**BOOSTING, objective="reg:absoluteerror", random_state=random_state)


#: A plateau begins before the horizon: what is learnt is the share of the epochs ahead.
SPEC = replace(REGRESSORS["xgboost"], scale="share_ahead", candidates=(), build=_median_trees)
SCALE = interval_scale(SCALES[SPEC.scale])
#: Feature groups beside those of the loss alone: of the learning rates so far, and of those ahead.
#: Those with the learning rate itself are left out: the prior's says nothing of the pace.
RATE_GROUPS = ("plateau_on_rates", "rates_so_far")
PLAN_GROUPS = ("plateau_on_clock", "schedule_ahead", "schedule_kind")
#: Features that only a schedule that is stated tells.
PLAN_FEATURES = frozenset(name for key in PLAN_GROUPS for name in FEATURE_GROUPS[key].units)
#: What a row was answered from where its rates are known and no schedule is; with one it is "all".
RATES = "rates"
#: Training material, as tables of predictions name it.
PRIOR_ALONE = "the curve prior alone"
#: Level of the intervals that are made without a family.
HELD_OUT_LEVEL = 0.9


def plateau_examples(table: pa.Table, dictionary: Sequence[Mapping[str, Any]]) -> PoolExamples:
    """Return the examples of plateaus, of real runs and of the curve prior.

    Parameters
    ----------
    table
        Rows of examples.parquet of the families, one after another.
    dictionary
        Features.json, the same for all families.
    """
    rows = table.filter(pc.equal(table["target_kind"], TargetKind.PLATEAU.value))
    wanted = {
        name
        for key, group in FEATURE_GROUPS.items()
        if LOSS_INPUTS.issuperset(group.requires) or key in (*RATE_GROUPS, *PLAN_GROUPS)
        for name in group.units
    }
    known = [entry for entry in dictionary if entry["name"] in wanted]
    twice = pa.concat_tables([rows, _unplanned(rows)])
    pool = pooled_examples(twice, known, len(twice), SPEC)
    return replace(pool, keys=pool.keys.assign(planned=np.arange(len(twice)) < len(rows)))


def _unplanned(rows: pa.Table) -> pa.Table:
    """Return the rows as if no schedule were stated."""
    unknown = pa.array(np.full(len(rows), np.nan, dtype=np.float32))
    for name in sorted(PLAN_FEATURES & set(rows.column_names)):
        rows = rows.set_column(rows.column_names.index(name), name, unknown)
    return rows


def fit_plateaus(
    pool: PoolExamples,
    settings: PoolSettings,
    data_sha256: Mapping[str, str],
    root_seed: int,
) -> tuple[pa.Table, BundleManifest, dict[str, bytes]]:
    """Fit on the curve prior and measure on real runs, and on other curves of the prior.

    Parameters
    ----------
    data_sha256
        Hash of the data of each family.

    Returns
    -------
    Predictions of the drawn rows, and of those at `pool.LANDMARK`, by models that have not seen
    their curve, as `thresholds.out_of_fold` has them and from `RATES` besides, with an interval of
    `HELD_OUT_LEVEL` around those of real runs that no run of their family has made; manifest and
    files of the bundle.

    Raises
    ------
    DataError
        Without curves of the prior, or without real runs.
    """
    synthetic = np.flatnonzero(pool.family == PRIOR)
    if synthetic.size in {0, len(pool.keys)}:
        missing = PRIOR if not synthetic.size else "a family of real runs"
        raise DataError(f"expected plateaus of {missing}, got none; add it to `pool`")
    fitted = fit_pooled(pool, synthetic, SPEC, root_seed)
    unseen = _unseen(pool, fitted, settings, root_seed)
    intervals, parts = {}, []
    for availability, rows in unseen.groupby("availability", sort=False):
        residuals = _residuals(pool, rows, str(availability))
        intervals[str(availability)] = calibrated(residuals, root_seed, adaptive=True)
        parts.append(_held_out(pool, rows, str(availability), root_seed))
    manifest, files = bundle_of(
        SPEC,
        View.CAUSAL,
        pool.examples,
        models_of(fitted, intervals),
        BundleFacts(
            bundle_id="pooled/plateau",
            target=None,
            vocabulary={},
            training=training_facts(pool, data_sha256, root_seed),
            scores={},
        ),
        root_seed,
    )
    return (
        pa.Table.from_pandas(_by_knowledge(pd.concat(parts)), preserve_index=False),
        manifest,
        files,
    )


def _unseen(
    pool: PoolExamples, fitted: Mapping[str, Fitted], settings: PoolSettings, root_seed: int
) -> pd.DataFrame:
    """Return predictions of real runs by the models, and of the prior by those of other folds."""
    drawn = pool.examples.sampled | (pool.examples.elapsed == LANDMARK)
    synthetic = pool.family == PRIOR
    predict = partial(predicted_rows, pool, material=PRIOR_ALONE)
    tables = [
        predict(rows[drawn[rows]], fitted, fold=number)
        for number, (_, rows) in enumerate(_folds(pool, ~synthetic, settings, root_seed))
    ]
    for number, (train, rows) in enumerate(_folds(pool, synthetic, settings, root_seed)):
        others = fit_pooled(pool, train, SPEC, root_seed)
        tables.append(predict(rows[drawn[rows]], others, fold=number))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def _folds(
    pool: PoolExamples, among: BoolArray, settings: PoolSettings, root_seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield training and test rows by lineage, of some of the rows."""
    rows = np.flatnonzero(among)
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    for train, test in grouped_folds(pool.examples.lineage[rows], settings.folds, seed):
        yield rows[train], rows[test]


def _residuals(pool: PoolExamples, rows: pd.DataFrame, availability: str) -> Residuals:
    """Return the residuals of drawn rows, real and synthetic ones as parts.

    A run without a plateau before `targets.LATEST_PLATEAU` of its horizon counts as one of which it
    begins in the middle of the rest: who waits for a plateau does not know that there is none.
    """
    index = rows["row"].to_numpy()
    end = (1 + LATEST_PLATEAU) / 2 * (pool.examples.elapsed + pool.ahead)[index]
    late = end - pool.examples.elapsed[index]
    remaining = np.where(rows["converged"], rows["remaining"], late)
    known = rows["sampled"].to_numpy() & (remaining > 0)
    index, rows, remaining = index[known], rows[known], remaining[known]
    actual, predicted = (
        SCALE.forward(epochs, pool.examples.elapsed[index], pool.ahead[index])
        for epochs in (remaining, rows["predicted"].to_numpy())
    )
    return Residuals(
        X=pool.examples.inputs(availability)[index],
        residual=actual - predicted,
        lineage=rows["lineage_id"].to_numpy(str),
        run=rows["run_id"].to_numpy(str),
        fold=rows["fold"].to_numpy(),
        part=(rows["family"] == PRIOR).to_numpy(),
    )


def _held_out(
    pool: PoolExamples, rows: pd.DataFrame, availability: str, root_seed: int
) -> pd.DataFrame:
    """Return the rows with the bounds of intervals that the other families make."""
    bounds = np.full((2, len(rows)), np.nan)
    index = rows["row"].to_numpy()
    for family in sorted(set(rows["family"]) - {PRIOR}):
        own = (rows["family"] == family).to_numpy()
        others = calibrated(_residuals(pool, rows[~own], availability), root_seed, adaptive=True)
        X = pool.examples.inputs(availability)[index[own]]
        offsets = interval_ends(others, X, HELD_OUT_LEVEL)
        predicted = rows["predicted"].to_numpy()[own]
        bounds[:, own] = interval_around(predicted, offsets, SCALE, pool.ahead[index[own]])
    return rows.assign(lower=bounds[0], upper=bounds[1])


def _by_knowledge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by what they were answered from, those from the loss alone once."""
    from_loss = rows["availability"] == "loss_only"
    rows = rows.assign(availability=rows["availability"].mask(~from_loss & ~rows["planned"], RATES))
    return rows[rows["planned"] | ~from_loss].drop(columns="planned")
