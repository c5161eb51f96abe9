"""The predictor of plateaus: learnt from synthetic curves alone, measured on real runs.

Where a curve's plateau begins is a matter of its shape and of the learning rates to come, the same
for any network: the curve prior teaches it, and every real run is of a kind that the predictor has
not seen. So what it is off by on simulated runs of networks makes the intervals of any run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.config import PoolSettings
from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction.bundling import BundleFacts, bundle_of
from epochs_left.prediction.pooling import (
    LANDMARK,
    PRIOR,
    Fitted,
    PoolExamples,
    fit_pooled,
    intervals_of_real_runs,
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
from epochs_left.storage.manifests import BundleManifest
from epochs_left.trajectories import LOSS_INPUTS


def _median_trees(random_state: int) -> RegressorMixin:
    """Return boosted trees of the median, which curves whose end nobody could foresee do not sway.

    As often too early as too late is also what people expect of a forecast.
    """
    return XGBRegressor(**BOOSTING, objective="reg:absoluteerror", random_state=random_state)


#: A plateau begins before the horizon: what is learnt is the share of the epochs ahead.
SPEC = replace(REGRESSORS["xgboost"], scale="share_ahead", candidates=(), build=_median_trees)
#: Feature groups beside those of the loss alone. Those with the learning rate itself are left out:
#: the prior's says nothing of the pace.
SCHEDULE_GROUPS = ("plateau_on_clock", "schedule_ahead", "schedule_kind")
#: Training material, as tables of predictions name it.
PRIOR_ALONE = "the curve prior alone"


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
    """Fit on the curve prior and measure on real runs.

    Parameters
    ----------
    data_sha256
        Hash of the data of each family.

    Returns
    -------
    Predictions of the drawn rows of real runs and those at `LANDMARK`, as `pooling.out_of_fold`
    has them, a fold being what the widths of intervals are cross-fitted by; manifest and files of
    the bundle.
    """
    synthetic = pool.family == PRIOR
    fitted = fit_pooled(pool, np.flatnonzero(synthetic), SPEC, root_seed)
    predictions = _of_real_runs(pool, fitted, settings, root_seed)
    intervals = intervals_of_real_runs(pool, predictions, PRIOR_ALONE, root_seed)
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
    return predictions, manifest, files


def _of_real_runs(
    pool: PoolExamples, fitted: Mapping[str, Fitted], settings: PoolSettings, root_seed: int
) -> pa.Table:
    drawn = pool.examples.sampled | (pool.examples.elapsed == LANDMARK)
    wanted = np.flatnonzero(drawn & (pool.family != PRIOR))
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    folds = grouped_folds(pool.examples.lineage[wanted], settings.folds, seed)
    return pa.concat_tables(
        predicted_rows(pool, wanted[rows], fitted, fold=number, material=PRIOR_ALONE)
        for number, (_, rows) in enumerate(folds)
    )
