"""Small bundles, made the way that real ones are: curves, causal features, boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xgboost import XGBClassifier, XGBRegressor

from epochs_left.features import compute_features, groups_of_view
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.statistics.conformal import conformal_offsets
from epochs_left.statistics.scales import SCALES
from epochs_left.storage.bundles import (
    BundleManifest,
    ResidualQuantiles,
    dump_columns,
    save_bundle,
)
from epochs_left.storage.estimators import dump_estimator
from epochs_left.trajectories import Trajectories

TARGET = 1e-3
N_RUNS = 300
N_EPOCHS = 80
N_PARAMS = 3
GROUPS = ("loss_level", "loss_slopes", "gradient_norm", "learning_rate")
WITH_PARAMS = (*GROUPS, "distance_from_start")
LOSS_ONLY = ("loss_level", "loss_slopes")


@dataclass(frozen=True)
class Curves:
    """Gradient descent on ||theta||^2: loss_t = loss_0 (1 - 2 lr)^(2t), or stuck at 1/4."""

    loss: NDArray[np.float64]
    params: NDArray[np.float64]
    lr: NDArray[np.float64]

    @classmethod
    def draw(cls, seed: int, n_runs: int = N_RUNS) -> Curves:
        rng = np.random.default_rng(seed)
        lr = rng.uniform(0.01, 0.4, (n_runs, 1))
        start = rng.normal(size=(n_runs, 1, N_PARAMS))
        params = start * ((1 - 2 * lr) ** np.arange(N_EPOCHS))[:, :, None]
        floor = np.where(rng.random((n_runs, 1)) < 0.3, 0.25, 0.0)
        return cls(np.square(params).sum(axis=2) + floor, params, lr)

    @property
    def grad_norm(self) -> NDArray[np.float64]:
        return 2 * np.linalg.norm(self.params, axis=2)

    @property
    def path_length(self) -> NDArray[np.float64]:
        steps = np.linalg.norm(np.diff(self.params, axis=1), axis=2)
        return np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))

    def trajectories(self) -> Trajectories:
        n_runs = self.lr.shape[0]
        return Trajectories(
            lengths=np.full(n_runs, N_EPOCHS),
            inputs={
                "epoch": np.tile(np.arange(float(N_EPOCHS)), (n_runs, 1)),
                "loss": self.loss,
                "grad_norm": self.grad_norm,
                "params": self.params,
                "path_length": self.path_length,
                "lr": self.lr,
                "target": np.full((n_runs, 1), TARGET),
            },
        )


def make_bundles(folder: Path) -> None:
    """Write the bundles that the tests use below ``folder``."""
    save(folder, "xgboost-causal", "xgboost", GROUPS)
    save(folder, "linear-causal", "linear", GROUPS)
    save(folder, "params-causal", "xgboost", WITH_PARAMS, n_params=[N_PARAMS])
    save(folder, "loss-causal", "xgboost", LOSS_ONLY)
    save(folder, "xgboost-oracle", "xgboost", GROUPS, view=View.ORACLE)


def save(
    folder: Path,
    bundle_id: str,
    regressor: str,
    wanted: tuple[str, ...],
    *,
    view: View = View.CAUSAL,
    n_params: list[int] | None = None,
) -> None:
    """Fit and write one bundle."""
    curves = Curves.draw(seed=1)
    groups = groups_of_view(View.CAUSAL, wanted)
    computed = compute_features(curves.trajectories(), groups)
    names = tuple(computed)
    running = np.minimum.accumulate(curves.loss, axis=1) > TARGET
    t = np.broadcast_to(np.arange(N_EPOCHS), running.shape)
    hit = np.where((~running).any(axis=1), (~running).argmax(axis=1), -1)[:, None]
    converges = np.broadcast_to(hit >= 0, running.shape)
    X = np.stack([computed[name][running] for name in names], axis=1)
    free = {name for group in groups if group.name in LOSS_ONLY for name in group.units}
    masked = np.where([name in free for name in names], X, np.float32(np.nan))
    label, remaining, elapsed = converges[running], (hit - t)[running], t[running]
    run = np.broadcast_to(np.arange(len(hit))[:, None], running.shape)[running]
    scale = SCALES[REGRESSORS[regressor].scale]
    when = REGRESSORS[regressor].build(0)
    if isinstance(when, XGBRegressor):
        when.set_params(n_estimators=30, n_jobs=1)
    twice = np.concatenate([X, masked])
    y = scale.forward(remaining[label].astype(float), elapsed[label].astype(float))
    when.fit(np.concatenate([X[label], masked[label]]), np.concatenate([y, y]))
    whether = XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1)
    whether.fit(twice, np.concatenate([label, label]).astype(int))

    def offsets(inputs: NDArray[np.float32]) -> ResidualQuantiles:
        value = np.asarray(when.predict(inputs[label]), dtype=float)
        predicted = scale.inverse(value, elapsed[label].astype(float))
        residual = np.log1p(remaining[label]) - np.log1p(predicted)
        parts = conformal_offsets(residual, run[label])
        levels, lower, upper = (tuple(part.tolist()) for part in parts)
        return ResidualQuantiles(levels=levels, lower=lower, upper=upper)

    files = {
        f"time{(when_dump := dump_estimator(when))[0]}": when_dump[1],
        f"converges{(whether_dump := dump_estimator(whether))[0]}": whether_dump[1],
        "reference.parquet": dump_columns(
            dict(zip(names, X[:: max(1, len(X) // 1500)][:1500].T, strict=True))
        ),
    }
    low, high = X.min(axis=0).tolist(), X.max(axis=0).tolist()
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        bundle_id=bundle_id,
        view=view.value,
        regressor=regressor,
        title="Small",
        scale=scale.name,
        features=names,
        target=TARGET,
        ranges=dict(zip(names, zip(low, high, strict=True), strict=True)),
        vocabulary={"optimizer": ("sgd",), "activation": ("abs",)},
        residual_quantiles={"all": offsets(X), "loss_only": offsets(masked)},
        training={"n_runs": N_RUNS} | ({"n_params": n_params} if n_params else {}),
        scores={},
        versions={"epochs-left": "test"},
        files={},
    )
    save_bundle(folder / bundle_id, manifest, files)
