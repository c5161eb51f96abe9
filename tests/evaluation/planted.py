"""Contexts of families whose truth is known, without files: for `runpy.run_path`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import FamilyContext
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import View
from epochs_left.storage.params import load_params

SETTINGS = load_params(Path(__file__).parents[2] / "pipeline" / "params.yaml")["evaluate"]


def context(
    regressors: Sequence[str],
    *,
    family: str = "neuron",
    settings: dict[str, Any] | None = None,
    **read: Any,
) -> FamilyContext:
    """Build a context; ``read`` takes the place of what it would read, nothing else is there."""
    nowhere = Path("no such folder")
    small = {"bootstrap_replicates": 100, "bootstrap_refits": 40}
    values = {**SETTINGS, **small, **(settings or {})}
    built = FamilyContext(
        family=family,
        settings=parse_settings(EvaluateSettings, values, "evaluate"),
        root_seed=7,
        regressors=tuple(regressors),
        runs_folder=nowhere,
        branches_folder=nowhere,
        features_folder=nowhere,
        models_folder=nowhere,
    )
    # All are fitted, though there is no bundle to see.
    fitted = [
        (name, view)
        for view in View
        for name in regressors
        if name in set(REGRESSORS) and view in REGRESSORS[name].views
    ]
    vars(built).update({"models": fitted, **read})  # where cached properties keep their values
    return built


def planted_context(**read: Any) -> FamilyContext:
    """Build a context of a family of networks and one regressor, ``planted``."""
    more = {"bootstrap_replicates": 200}
    return context(("planted",), family="mlp", settings=more, **read)


def rows(
    rng: np.random.Generator, n_lineages: int, runs: int = 2, rows_of_run: int = 4
) -> pd.DataFrame:
    """Draw rows of converged runs; runs of odd lineages have twice the rows.

    ``shared`` and ``own`` are standard normal effects, of the lineage and of the row.
    """
    lineage = np.arange(n_lineages)
    per_run = np.where(lineage % 2, 2, 1) * rows_of_run
    lineage = np.repeat(lineage, runs * per_run)
    run = np.repeat(np.arange(n_lineages * runs), np.repeat(per_run, runs))
    epoch = np.arange(run.size) - np.searchsorted(run, run)
    log_remaining = rng.normal(3.5, 1.0, run.size).clip(0.7)
    return pd.DataFrame(
        {
            "run_id": [f"r{number:04}" for number in run],
            "lineage_id": [f"l{number:04}" for number in lineage],
            "epoch": epoch,
            "remaining": np.round(np.expm1(log_remaining)),
            "observed": np.round(np.expm1(log_remaining)),
            "shared": rng.normal(size=n_lineages)[lineage],
            "own": rng.normal(size=run.size),
        }
    )


def out_of_fold(
    rng: np.random.Generator,
    frame: pd.DataFrame,
    noise: dict[str, float],
    n_folds: int = 5,
) -> pd.DataFrame:
    """Add folds by lineage and, in both views, predictions with noise of that size on the log."""
    lineage = np.unique(frame["lineage_id"], return_inverse=True)[1]
    fold = rng.permutation(np.arange(lineage.max() + 1) % n_folds)[lineage]
    predicted = {}
    for name, size in noise.items():
        for view in ("causal", "oracle"):
            effect = rng.normal(size=lineage.max() + 1)[lineage] + rng.normal(size=len(frame))
            log_predicted = np.log1p(frame["remaining"]) + size * effect / np.sqrt(2)
            predicted[f"{name}-{view}"] = np.expm1(log_predicted.clip(0))
    return frame.assign(split="by lineage", fold=fold, **predicted)


def examples(frame: pd.DataFrame, features: dict[str, Any], **columns: Any) -> pd.DataFrame:
    """Return rows as those of examples.parquet: all drawn, of converged runs, none locked."""
    known = {"locked": False, "converged": True, "sampled": True, **columns}
    return frame.assign(**known, **features).sort_values(["run_id", "epoch"], ignore_index=True)


def dictionary(groups: dict[str, str], oracle: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return features.json of features, by name, of these groups."""
    return [
        {
            "name": name,
            "group": group,
            "view": "oracle" if name in oracle else "causal",
            "baseline": False,
            "probed": False,
            "loss_only": True,
            "unit": "1",
        }
        for name, group in groups.items()
    ]
