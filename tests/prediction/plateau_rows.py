"""Rows of plateaus whose truth is known, and what is fitted on them; for the tests beside this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.config import PoolSettings
from epochs_left.prediction.plateaus import fit_plateaus, plateau_examples
from epochs_left.prediction.pool import LANDMARK, PRIOR, PoolExamples
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.statistics.scales import SCALES
from epochs_left.storage.bundles import load_bundle, save_bundle
from epochs_left.storage.manifests import BundleManifest

SETTINGS = PoolSettings(families=("neuron", "mlp", PRIOR), runs_per_family=10, folds=2)
#: More of each family than a predictor of thresholds would take.
RUNS = {"neuron": 48, "mlp": 48, PRIOR: 150}
#: Epochs of a run's rows, the last two of which are landmarks.
EPOCHS = np.array([3, 7, 15, 4, LANDMARK])
SAMPLED = np.array([True, True, True, False, False])
#: Name of each feature, and whether it needs the loss alone.
FEATURES = {
    "log_plateau_share": True,
    "log_late_fall_over_plateau": True,
    "log_gap_to_target": True,
    "log_late_rate_change": False,
    "log_clock_ahead": False,
    "log_lr": False,
    "log_grad_norm": False,
}
DICTIONARY = [
    {"name": name, "view": "causal", "baseline": False, "probed": False, "loss_only": loss_only}
    for name, loss_only in FEATURES.items()
]
HASHES = dict.fromkeys(RUNS, "0" * 64)
SHARE = SCALES["share_ahead"]
MODELS = ("time.ubj", "time_loss_only.ubj", "converges.ubj", "converges_loss_only.ubj")


def rows_of(
    rng: np.random.Generator, family: str, *, bias: float = 0.0, kind: str = "plateau"
) -> pd.DataFrame:
    """Return rows whose log odds are late fall plus clock plus a bias; two runs a lineage.

    The clock is what the schedule ahead says, of which the learning rates so far say a part.
    """
    run = np.repeat(np.arange(RUNS[family]), EPOCHS.size)
    epoch = np.tile(EPOCHS, RUNS[family])
    horizon = rng.integers(60, 400, RUNS[family])[run]
    fall, clock = rng.normal(size=run.size), rng.normal(size=RUNS[family])[run]
    hidden = np.random.default_rng(horizon).normal(size=RUNS[family])[run]
    odds = fall + clock + bias + 0.1 * rng.normal(size=run.size)
    reached = (rng.random(RUNS[family]) < 0.8)[run]
    remaining = np.round(SHARE.inverse(odds, epoch, horizon - epoch))
    of_plateau = kind == "plateau"
    return pd.DataFrame(
        {
            "family": family,
            "run_id": [f"{family}-{number:03}" for number in run],
            "lineage_id": [f"{family}-l{number // 2:03}" for number in run],
            "target_kind": kind,
            "target": np.nan if of_plateau else 0.1,
            "plateau": 0.02 if of_plateau else np.nan,
            "max_epochs": horizon.astype(np.int32),
            "epoch": epoch.astype(np.int32),
            "remaining": np.where(reached, remaining, np.nan),
            "observed": remaining,
            "converged": reached,
            "sampled": np.tile(SAMPLED, RUNS[family]),
            "optimizer": "sgd",
            "activation": "relu",
            "architecture": family,
            "log_plateau_share": np.float32(np.log(0.02) if of_plateau else np.nan),
            "log_late_fall_over_plateau": (fall + 3 * ~reached).astype(np.float32),
            "log_gap_to_target": np.float32(np.nan if of_plateau else 1.0),
            "log_late_rate_change": (clock + hidden).astype(np.float32),
            "log_clock_ahead": clock.astype(np.float32),
            "log_lr": odds.astype(np.float32),
            "log_grad_norm": odds.astype(np.float32),
        }
    )


def drawn(seed: int = 0, *, bias: float = 0.0) -> pd.DataFrame:
    """Return rows of every family, those of real runs with a bias, and rows of other goals."""
    rng = np.random.default_rng(seed)
    parts = [rows_of(rng, name, bias=0.0 if name == PRIOR else bias) for name in RUNS]
    others = [rows_of(rng, name, kind=kind) for kind in ("epsilon", "threshold") for name in RUNS]
    return pd.concat([*parts, *others], ignore_index=True)


@dataclass(frozen=True)
class Fit:
    """What one table of examples gave."""

    pool: PoolExamples
    predictions: pd.DataFrame
    manifest: BundleManifest
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Fit:
        pool = plateau_examples(pa.Table.from_pandas(frame, preserve_index=False), DICTIONARY)
        predictions, manifest, files = fit_plateaus(pool, SETTINGS, HASHES, 0)
        return cls(pool, predictions.to_pandas(), manifest, files)

    @property
    def models(self) -> dict[str, bytes]:
        """What says when, and what says whether."""
        return {name: self.files[name] for name in MODELS}

    def predictor(self, folder: Path) -> Predictor:
        save_bundle(folder, self.manifest, self.files)
        return predictor_of(load_bundle(folder), level=0.9, jobs=1)
