"""R^2 by lineage and seconds a fit of every regressor, as built, as tuned, and each candidate.

Run with `python benchmarks/regressors.py` after `dvc repro`; all of it takes some twenty minutes,
`--families resnet char_lm --regressors mlp --folds 2` half a minute, and `--candidates` adds every
candidate by itself. R^2 is that of log(1 + R) on the rows that `fit` scores, every run weighing the
same; seconds are those of the processor, on one thread. What learns from censored rows is given
those of the runs that reached their cap; beside it stands the same without them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from sklearn.base import RegressorMixin, clone
from threadpoolctl import threadpool_limits

from epochs_left.config import root_seed_of
from epochs_left.prediction.training import (
    Examples,
    estimator_seed,
    examples_of_view,
    predict_remaining,
)
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.schema import TargetKind, View
from epochs_left.seeding import Purpose
from epochs_left.statistics.folds import grouped_folds, run_weights
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import error_sums, r2
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.tables import read_json, read_table

FOLDS = 5


def main() -> None:
    learning = [name for name, spec in REGRESSORS.items() if not spec.baseline]
    families = load_params(PARAMS)["fit"]["families"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", default=families, choices=families)
    parser.add_argument("--views", nargs="+", default=list(View), type=View)
    parser.add_argument("--regressors", nargs="+", default=learning, choices=learning)
    parser.add_argument("--folds", type=int, default=FOLDS, help="of 5, how many are predicted")
    parser.add_argument("--candidates", action="store_true", help="each candidate by itself too")
    arguments = parser.parse_args()
    print("family   view    rows   regressor          settings     R^2    s a fit")
    for family in arguments.families:
        for view in arguments.views:
            for name in arguments.regressors:
                spec = REGRESSORS[name]
                examples, capped = examples_of(family, spec, view)
                for label, build in variants(spec, every=arguments.candidates):
                    also = capped if spec.censored and label != "uncensored" else None
                    found = score(spec, build(), examples, also, arguments.folds)
                    rows = int(examples.converged.sum())
                    print(
                        f"{family:8s} {view.value:7s} {rows:6d} {name:18s} {label:10s}"
                        f" {found[0]:7.4f} {found[1]:7.2f}",
                        flush=True,
                    )


def examples_of(family: str, spec: RegressorSpec, view: View) -> tuple[Examples, np.ndarray]:
    """Return examples towards the family's own target, and whether the run ended at its cap."""
    dictionary = read_json(Path("features", family, "features.json"))
    table = read_table(Path("features", family, "examples.parquet"))
    primary = pc.equal(table["target_kind"], TargetKind.EPSILON.value)
    table = table.filter(pc.and_(primary, pc.invert(table["locked"])))
    capped = pc.equal(table["outcome"], "capped").to_numpy()
    return examples_of_view(table, dictionary, spec, view), capped


def variants(spec: RegressorSpec, *, every: bool) -> Iterator[tuple[str, object]]:
    """Yield a label and a function that builds an unfitted estimator."""
    yield "as built", lambda: spec.build(0)
    if spec.censored:
        yield "uncensored", lambda: spec.build(0)
    if spec.candidates:
        yield "tuned", lambda: spec.tuned(0)
    for number, settings in enumerate(spec.candidates if every else ()):
        alone = replace(spec, candidates=(settings,))
        yield f"no. {number}", lambda alone=alone: alone.tuned(0)


def score(
    spec: RegressorSpec,
    estimator: RegressorMixin,
    examples: Examples,
    capped: np.ndarray | None,
    folds: int,
) -> tuple[float, float]:
    """Return R^2 of log(1 + R) by lineage and the seconds a fit."""
    params = load_params(PARAMS)
    seed = estimator_seed(root_seed_of(params, str(PARAMS)), Purpose.FOLDS)
    reached = np.flatnonzero(examples.converged)
    weight, scale = examples.weight, SCALES[spec.scale]
    target = scale.forward(examples.remaining, examples.elapsed)
    use = examples.converged if capped is None else examples.converged | capped
    if capped is not None:
        target = np.where(examples.converged, target, np.maximum(examples.observed, 1.0))
    upper = np.where(examples.converged, target, np.inf)
    predicted = np.full(target.size, np.nan)
    seconds = 0.0
    for _, test in grouped_folds(examples.lineage[reached], FOLDS, seed)[:folds]:
        rows = reached[test]
        train = use & ~np.isin(examples.lineage, examples.lineage[rows])
        started = time.process_time()
        with threadpool_limits(limits=1):
            model = fit_weighted(
                clone(estimator),
                examples.X[train],
                target[train],
                weight[train],
                groups=examples.lineage[train],
                upper=None if capped is None else upper[train],
            )
        seconds += time.process_time() - started
        predicted[rows] = predict_remaining(model, scale, examples.X[rows], examples.elapsed[rows])
    scored = examples.sampled & np.isfinite(predicted)
    run = examples.run[scored]
    actual = np.log1p(examples.remaining[scored])
    sums = error_sums(actual, np.log1p(predicted[scored]), run, run_weights(run))
    return float(r2(sums.sum(axis=0))), seconds / folds


if __name__ == "__main__":
    main()
