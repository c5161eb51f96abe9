"""The predictor of plateaus: learnt from synthetic curves alone, measured on real runs.

Where a curve's plateau begins is a matter of its shape and of the learning rates to come, the same
for any network: the curve prior teaches it, and every real run is of a kind that the predictor has
not seen. So what it is off by on simulated runs of networks, and on other curves of the prior,
makes the intervals of any run: they hold for the one and for the other. What a row is compared with
to tell whether it is like the data, ranges and reference, is both, as the intervals are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.config import PoolSettings
from epochs_left.dynamics.targets import LATEST_PLATEAU
from epochs_left.errors import DataError
from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.bundling import BundleFacts, bundle_of
from epochs_left.prediction.intervals import Residuals, calibrated, interval_ends
from epochs_left.prediction.pooling import (
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
from epochs_left.statistics.scales import SCALES, interval_scale
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
#: Feature groups beside those of the loss alone. Those with the learning rate itself are left out:
#: the prior's says nothing of the pace.
SCHEDULE_GROUPS = ("plateau_on_clock", "schedule_ahead", "schedule_kind")
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
        if LOSS_INPUTS.issuperset(group.requires) or key in SCHEDULE_GROUPS
        for name in group.units
    }
    known = [entry for entry in dictionary if entry["name"] in wanted]
    return pooled_examples(rows, known, len(rows), SPEC)


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
    Predictions of the drawn rows, and of those at `pooling.LANDMARK`, by models that have not seen
    their curve, as `pooling.out_of_fold` has them, with an interval of `HELD_OUT_LEVEL` around
    those of real runs that no run of their family has made; manifest and files of the bundle.

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
    return pa.Table.from_pandas(pd.concat(parts), preserve_index=False), manifest, files


def _unseen(
    pool: PoolExamples, fitted: Mapping[str, Fitted], settings: PoolSettings, root_seed: int
) -> pd.DataFrame:
    """Return predictions of real runs by the models, and of the prior by those of other folds."""
    drawn = pool.examples.sampled | (pool.examples.elapsed == LANDMARK)
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    tables = []
    for rows in (np.flatnonzero(pool.family != PRIOR), np.flatnonzero(pool.family == PRIOR)):
        folds = grouped_folds(pool.examples.lineage[rows], settings.folds, seed)
        for number, (train, test) in enumerate(folds):
            models = fitted
            if pool.family[rows[0]] == PRIOR:
                models = fit_pooled(pool, rows[train], SPEC, root_seed)
            asked = rows[test][drawn[rows[test]]]
            tables.append(predicted_rows(pool, asked, models, fold=number, material=PRIOR_ALONE))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


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
        now, ahead = pool.examples.elapsed[index[own]], pool.ahead[index[own]]
        predicted = rows["predicted"].to_numpy()[own]
        value = SCALE.forward(predicted, now, ahead)
        low, high = (SCALE.inverse(value + offset, now, ahead) for offset in offsets)
        # As `Predictor.interval`: around the prediction at least.
        bounds[:, own] = np.minimum(low, predicted), np.maximum(high, predicted)
    return rows.assign(lower=bounds[0], upper=bounds[1])
