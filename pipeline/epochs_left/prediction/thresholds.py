"""The predictor of thresholds for every family: when the loss falls below one, and whether it does.

Which threshold stands in the features, as the gap to it. Curves of the curve prior are training
material like any other family; how much they help is measured by fitting without them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from epochs_left.arrays import IntArray
from epochs_left.config import PoolSettings
from epochs_left.parallel import Progress, no_progress, parallel_map
from epochs_left.prediction.bundling import BundleFacts, bundle_of
from epochs_left.prediction.intervals import Intervals, Residuals, calibrated
from epochs_left.prediction.pool import (
    LANDMARK,
    PRIOR,
    PoolExamples,
    fit_pooled,
    models_of,
    predicted_rows,
    training_facts,
)
from epochs_left.prediction.training import LABELS, estimator_seed
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import View
from epochs_left.seeding import Purpose
from epochs_left.statistics.folds import grouped_folds
from epochs_left.storage.manifests import BundleManifest

#: Horizons of families differ by powers of ten: what is learnt is the ratio to the epochs elapsed.
#: Its settings are those that are good in general: the pool's folds are few and its fits long.
SPEC = replace(REGRESSORS["xgboost"], scale="log_ratio", candidates=())
#: Training material of the two predictors that are compared.
WITH_PRIOR, REAL_ALONE = "with the curve prior", "real runs alone"


@dataclass(frozen=True, kw_only=True)
class _Fold:
    number: int
    material: str
    train: IntArray
    test: IntArray


def out_of_fold(
    pool: PoolExamples,
    settings: PoolSettings,
    root_seed: int,
    *,
    jobs: int,
    progress: Progress = no_progress,
) -> pa.Table:
    """Predict the drawn rows, and those at `LANDMARK`, by models that have not seen their lineage.

    Returns
    -------
    A row a prediction: the keys of the row, its number in the pool, the fold, material
    (`WITH_PRIOR`, or `REAL_ALONE` for the rows of real runs), availability, predicted epochs and
    probability of reaching the target.
    """
    seed = estimator_seed(root_seed, Purpose.FOLDS)
    splits = grouped_folds(pool.examples.lineage, settings.folds, seed)
    real = pool.family != PRIOR
    wanted = pool.examples.sampled | (pool.examples.elapsed == LANDMARK)
    materials = {WITH_PRIOR: np.ones_like(real)} | ({} if real.all() else {REAL_ALONE: real})
    pairs = [(train, test, *item) for train, test in splits for item in materials.items()]
    folds = [
        _Fold(
            number=number,
            material=material,
            train=train[use[train]],
            test=test[use[test] & wanted[test]],
        )
        for number, (train, test, material, use) in enumerate(pairs)
    ]
    predict = partial(_predict_fold, pool, root_seed)
    done = progress(parallel_map(predict, folds, jobs, threads=True), len(folds), "pool")
    return pa.concat_tables(table for _, table in sorted(done, key=lambda part: part[0]))


def _predict_fold(pool: PoolExamples, root_seed: int, fold: _Fold) -> tuple[int, pa.Table]:
    fitted = fit_pooled(pool, fold.train, SPEC, root_seed)
    return fold.number, predicted_rows(
        pool, fold.test, fitted, fold=fold.number, material=fold.material
    )


def build_threshold_bundle(
    pool: PoolExamples, predictions: pa.Table, data_sha256: Mapping[str, str], root_seed: int
) -> tuple[BundleManifest, dict[str, bytes]]:
    """Fit on every example and return the manifest and the files of the bundle.

    Parameters
    ----------
    predictions
        From `out_of_fold`: the intervals come from its residuals on real runs.
    data_sha256
        Hash of the data of each family.
    """
    fitted = fit_pooled(pool, np.arange(len(pool.keys)), SPEC, root_seed)
    intervals = _intervals(pool, predictions, root_seed)
    real = pool.keys[pool.family != PRIOR]
    return bundle_of(
        SPEC,
        View.CAUSAL,
        pool.examples,
        models_of(fitted, intervals),
        BundleFacts(
            bundle_id="pooled/threshold",
            target=None,
            vocabulary={name: tuple(sorted(real[name].unique())) for name in LABELS},
            training=training_facts(pool, data_sha256, root_seed),
            scores={},
        ),
        root_seed,
    )


def _intervals(pool: PoolExamples, predictions: pa.Table, root_seed: int) -> dict[str, Intervals]:
    """Return the intervals of each availability, from real runs alone."""
    frame = predictions.to_pandas()
    known = (frame["material"] == WITH_PRIOR) & (frame["family"] != PRIOR)
    known &= frame["converged"] & frame["sampled"]
    found = {}
    for availability, part in frame[known].groupby("availability"):
        row = part["row"].to_numpy()
        actual, predicted = part["remaining"].to_numpy(float), part["predicted"].to_numpy()
        residuals = Residuals(
            X=pool.examples.inputs(str(availability))[row],
            residual=np.log1p(actual) - np.log1p(predicted),
            lineage=part["lineage_id"].to_numpy(str),
            run=part["run_id"].to_numpy(str),
            fold=part["fold"].to_numpy(),
        )
        found[str(availability)] = calibrated(residuals, root_seed, adaptive=True)
    return found
