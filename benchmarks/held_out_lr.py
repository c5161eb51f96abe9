"""R^2 of the neuron's models on learning rates that they have not seen, from the pipeline's data.

Run with `python benchmarks/held_out_lr.py` (or `--family mlp`) after `dvc repro`, in about a
minute. The published gradient boosting is fitted without a fifth of the learning rates, by kind of
optimizer, and without the lineages that it is scored on; each fifth in turn. The study of the same
name in reports/results/<family>/transfer.json uses a part of the runs and a smaller model.
`--check` exits 1 below .95 over all rows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from epochs_left.config import EvaluateSettings, parse_settings, root_seed_of
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import log_r2, out_of_fold, view_features
from epochs_left.evaluation.transfer import with_lr_bins
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import View
from epochs_left.storage.params import PARAMS, load_params

GOAL = 0.95
FOLDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    families = load_params(PARAMS)["fit"]["families"]
    parser.add_argument("--family", default="neuron", choices=families)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    context = context_of(arguments.family)
    worst = min(score(context, view) for view in View)
    if arguments.check and worst < GOAL:
        sys.exit(f"expected R^2 of at least {GOAL} with held-out learning rates, got {worst:.3f}")


def context_of(family: str) -> FamilyContext:
    """Return what the pipeline wrote of a family; run from the repository's root."""
    params = load_params(PARAMS)
    return FamilyContext(
        family=family,
        settings=parse_settings(EvaluateSettings, params["evaluate"], "evaluate"),
        root_seed=root_seed_of(params, str(PARAMS)),
        regressors=tuple(params["fit"]["regressors"]),
        runs_folder=Path("data/runs"),
        branches_folder=Path("data/branches"),
        features_folder=Path("features"),
        models_folder=Path("models"),
    )


def score(context: FamilyContext, view: View) -> float:
    """Print R^2 of log(1 + R) over all rows and by fifth, and return the first."""
    rows = with_lr_bins(context.training)
    names = view_features(context, view)
    predicted = np.full(len(rows), np.nan)
    for group in sorted(rows["lr_bin"].unique()):
        unseen = (rows["lr_bin"] == group).to_numpy()
        found = out_of_fold(context, names, rows, REGRESSORS["xgboost"], folds=FOLDS, unseen=unseen)
        predicted[unseen] = found[unseen]
        print(line(context, f"{view.value}, {group}", rows[unseen], predicted[unseen]))
    print(line(context, f"{view.value}, all fifths", rows, predicted))
    return float(log_r2(context, rows, predicted, "held-out lr")["estimate"])


def line(context: FamilyContext, label: str, rows: pd.DataFrame, predicted: np.ndarray) -> str:
    found = log_r2(context, rows, predicted, "held-out lr")
    return (
        f"{label:24s} R^2 {found['estimate']:.3f} ({found['lower']:.3f}-{found['upper']:.3f}), "
        f"{found['n_runs']:,} runs"
    )


if __name__ == "__main__":
    main()
