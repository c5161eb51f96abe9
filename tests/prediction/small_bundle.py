"""Small bundles, made the way that real ones are: curves, causal features, boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import XGBClassifier, XGBRegressor

from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.dynamics.targets import plateau_epoch
from epochs_left.features import compute_features, groups_of_view
from epochs_left.prediction.training import availabilities
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import SCHEMA_VERSION, View
from epochs_left.statistics.conformal import conformal_offsets
from epochs_left.statistics.scales import SCALES, Scale
from epochs_left.storage.bundles import dump_columns, estimator_stem, save_bundle
from epochs_left.storage.estimators import dump_estimator
from epochs_left.storage.manifests import BundleManifest, ResidualQuantiles
from epochs_left.trajectories import Trajectories

TARGET = 1e-3
N_RUNS = 300
N_EPOCHS = 80
N_PARAMS = 3
GROUPS = ("loss_level", "loss_slopes", "gradient_norm", "learning_rate")
WITH_PARAMS = (*GROUPS, "distance_from_start")
WITH_PLATEAU = ("curve_shape", "plateau_goal")
PLATEAU = 0.003
LOSS_ONLY = ("loss_level", "loss_slopes", *WITH_PLATEAU)


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

    @property
    def geometry(self) -> dict[str, NDArray[np.float64]]:
        n_runs = self.lr.shape[0]
        lengths, whole = np.full(n_runs, N_EPOCHS), np.zeros(N_PARAMS, dtype=int)
        rows = self.params.reshape(-1, N_PARAMS)
        found = trajectory_geometry(rows, lengths, block_of_param=whole, n_blocks=1)
        return {name: values.reshape(n_runs, N_EPOCHS) for name, values in found.items()}

    def trajectories(self, plateau: float | None) -> Trajectories:
        n_runs = self.lr.shape[0]
        return Trajectories(
            lengths=np.full(n_runs, N_EPOCHS),
            inputs={
                "epoch": np.tile(np.arange(float(N_EPOCHS)), (n_runs, 1)),
                "loss": self.loss,
                "grad_norm": self.grad_norm,
                **self.geometry,
                "path_length": self.path_length,
                "lr": self.lr,
                "target": np.full((n_runs, 1), np.nan if plateau else TARGET),
                "plateau": np.full((n_runs, 1), plateau or np.nan),
                "horizon": np.full((n_runs, 1), N_EPOCHS - 1),
            },
        )


def make_bundles(folder: Path) -> None:
    """Write the bundles that the tests use below ``folder``."""
    save(folder, "xgboost/neuron-causal", "xgboost", GROUPS)
    save(folder, "linear-causal", "linear", GROUPS)
    save(folder, "params-causal", "xgboost", WITH_PARAMS, n_params=[N_PARAMS])
    save(folder, "loss-causal", "xgboost", ("loss_level", "loss_slopes"))
    save(folder, "plateau-causal", "xgboost", WITH_PLATEAU, plateau=PLATEAU)
    save(folder, "xgboost-oracle", "xgboost", GROUPS, view=View.ORACLE)


@dataclass(frozen=True)
class Examples:
    """Rows of curves before they reach the target."""

    names: tuple[str, ...]
    X: NDArray[np.float32]
    loss_only: NDArray[np.bool_]
    converges: NDArray[np.bool_]
    remaining: NDArray[np.float64]
    elapsed: NDArray[np.float64]
    run: NDArray[np.int64]

    @classmethod
    def of(cls, curves: Curves, wanted: tuple[str, ...], plateau: float | None) -> Examples:
        groups = groups_of_view(View.CAUSAL, wanted)
        computed = compute_features(curves.trajectories(plateau), groups)
        free = {name for group in groups if group.name in LOSS_ONLY for name in group.units}
        below = curves.loss <= TARGET if plateau is None else on_plateau(curves.loss, plateau)
        hit = np.where(below.any(axis=1), below.argmax(axis=1), -1)[:, None]
        running = ~np.logical_or.accumulate(below, axis=1)
        run, t = np.nonzero(running)
        X = np.stack([values[running] for values in computed.values()], axis=1)
        return cls(
            names=tuple(computed),
            X=X,
            loss_only=np.array([name in free for name in computed]),
            converges=hit[run, 0] >= 0,
            remaining=(hit[run, 0] - t).astype(float),
            elapsed=t.astype(float),
            run=run,
        )


def on_plateau(loss: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return which epochs of whole curves, shape ``(R, E)``, lie on their plateau."""
    begins = [plateau_epoch(curve, share) for curve in loss]
    first = np.array([N_EPOCHS if epoch is None else epoch for epoch in begins])
    return np.arange(N_EPOCHS) >= first[:, None]


def save(
    folder: Path,
    bundle_id: str,
    regressor: str,
    wanted: tuple[str, ...],
    *,
    view: View = View.CAUSAL,
    n_params: list[int] | None = None,
    plateau: float | None = None,
) -> None:
    """Fit on some curves, measure the intervals on others, and write the bundle."""
    train = Examples.of(Curves.draw(seed=1), wanted, plateau)
    calibrate = Examples.of(Curves.draw(seed=4), wanted, plateau)
    scale = SCALES[REGRESSORS[regressor].scale]
    quantiles, files = {}, {}
    for availability in availabilities(train.loss_only):
        columns = train.loss_only | (availability == "all")
        when, whether = fit(regressor, train, columns, scale)
        for role, estimator in (("time", when), ("converges", whether)):
            extension, data = dump_estimator(estimator)
            files[estimator_stem(role, availability) + extension] = data
        quantiles[availability] = offsets(when, calibrate, columns, scale)
    reference = train.X[:: len(train.X) // 1500][:1500]
    low, high = train.X.min(axis=0).tolist(), train.X.max(axis=0).tolist()
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        bundle_id=bundle_id,
        view=view.value,
        regressor=regressor,
        title="Small",
        scale=scale.name,
        features=train.names,
        target=TARGET if plateau is None else None,
        ranges=dict(zip(train.names, zip(low, high, strict=True), strict=True)),
        vocabulary={"optimizer": ("sgd",), "activation": ("abs",)},
        must_state=(),
        adaptive=False,
        residual_quantiles={"loss_only": quantiles["all"], **quantiles},
        training={"n_runs": N_RUNS} | ({"n_params": n_params} if n_params else {}),
        scores={},
        versions={"epochs-left": "test"},
        files={},
    )
    files["reference.parquet"] = dump_columns(dict(zip(train.names, reference.T, strict=True)))
    save_bundle(folder / bundle_id, manifest, files)


def fit(regressor: str, train: Examples, columns: NDArray[np.bool_], scale: Scale) -> Any:
    """Return what says when and what says whether, from some of the columns."""
    when = REGRESSORS[regressor].build(0)
    if isinstance(when, XGBRegressor):
        when.set_params(n_estimators=30, learning_rate=0.2, colsample_bytree=1.0, n_jobs=1)
    rows = train.converges
    X = train.X[:, columns]
    when.fit(X[rows], scale.forward(train.remaining[rows], train.elapsed[rows]))
    whether = XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1)
    whether.fit(X, rows.astype(int))
    return when, whether


def offsets(
    when: Any, calibrate: Examples, columns: NDArray[np.bool_], scale: Scale
) -> ResidualQuantiles:
    """Return the interval offsets of the residuals on other curves."""
    rows = calibrate.converges
    value = np.asarray(when.predict(calibrate.X[rows][:, columns]), dtype=float)
    predicted = scale.inverse(value, calibrate.elapsed[rows])
    residual = np.log1p(calibrate.remaining[rows]) - np.log1p(predicted)
    parts = conformal_offsets(residual, calibrate.run[rows])
    levels, lower, upper = (tuple(part.tolist()) for part in parts)
    return ResidualQuantiles(levels=levels, lower=lower, upper=upper)
