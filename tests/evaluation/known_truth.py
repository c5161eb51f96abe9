"""A predictor that knows the distribution its runs were drawn from: for `runpy.run_path`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from epochs_left.prediction.predictor import Forecast

CAP = 200
SIGMA = 0.5


@dataclass(frozen=True)
class Knowing:
    """Says that log(1 + R) is normal around a feature, its width wrong by a factor.

    The probability of R < CAP - epoch comes with it, moved by ``shift`` on the scale of the normal.
    """

    factor: float = 1.0
    shift: float = 0.0
    level: float = 0.9
    manifest: ClassVar[Any] = SimpleNamespace(features=("centre",))

    def at_level(self, level: float) -> Knowing:
        """Return the same predictor at another level."""
        return replace(self, level=level)

    def forecast(
        self, features: np.ndarray, elapsed: np.ndarray, complete: Any, unlike: Any
    ) -> Forecast:
        """Predict quantiles of R given that R < CAP - epoch."""
        assert complete.all()
        assert not unlike.any()
        centre, limit = features[:, 0].astype(float), np.log1p(CAP - elapsed)
        converges = norm.cdf((limit - centre) / SIGMA + self.shift)

        def quantile(share: float) -> np.ndarray:
            z = norm.ppf(share * norm.cdf((limit - centre) / SIGMA))
            return np.expm1(np.maximum(centre + self.factor * SIGMA * z, 0.0))

        tail = (1 - self.level) / 2
        return Forecast(
            remaining=quantile(0.5),
            lower=quantile(tail),
            upper=quantile(1 - tail),
            p_converges=converges,
        )


def examples(seed: int, n_lineages: int = 200, epochs: tuple[int, ...] = (1, 10)) -> pd.DataFrame:
    """Draw two runs a lineage with a row at each epoch; the first half of lineages is locked."""
    rng = np.random.default_rng(seed)
    n = 2 * n_lineages * len(epochs)
    run, epoch = np.repeat(np.arange(2 * n_lineages), len(epochs)), np.tile(epochs, 2 * n_lineages)
    centre = rng.normal(4.0, 1.0, size=n).astype(np.float32).astype(float)
    remaining = np.expm1(np.maximum(centre + SIGMA * rng.normal(size=n), 0.7))
    converged = remaining < CAP - epoch
    named = {"cohort": "swept", "task": "one", "architecture": "a", "activation": "relu"}
    return pd.DataFrame(
        {
            **named,
            "optimizer": np.where(run % 3, "sgd", "adam"),
            "lr_schedule": "constant",
            "run_id": [f"r{number:04}" for number in run],
            "lineage_id": [f"l{number // 2:04}" for number in run],
            "epoch": epoch,
            "max_epochs": CAP,
            "remaining": np.where(converged, remaining, np.nan),
            "converged": converged,
            "locked": run < n_lineages,
            "sampled": True,
            "landmark": True,
            "centre": centre,
        }
    )


def out_of_fold(frame: pd.DataFrame) -> pd.DataFrame:
    """Return grouped predictions that make the regressor the best: there is no other."""
    rows = frame[frame["converged"] & ~frame["locked"]]
    return rows.assign(split="by lineage", fold=0, **{"xgboost-causal": np.expm1(rows["centre"])})
