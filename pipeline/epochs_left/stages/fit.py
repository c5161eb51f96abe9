"""Stage fit: out-of-fold predictions and a bundle a view, for one regressor."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from epochs_left.config import FitSettings, parse_settings, root_seed_of
from epochs_left.parallel import Progress
from epochs_left.prediction.training import (
    build_bundle,
    examples_of_view,
    fold_scores,
    out_of_fold,
    residual_quantiles,
)
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import View
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FAMILY, FEATURES, MODELS, RUNS
from epochs_left.storage.bundles import save_bundle
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_table, write_table

#: Columns whose names a bundle remembers, to say when a run has another.
LABELS = ("optimizer", "activation", "architecture")


def main() -> None:
    """Read the examples outside the locked test set, fit, write bundles and predictions."""
    parser = stage_parser(__doc__)
    parser.add_argument("regressor", help="a regressor, e.g. xgboost")
    arguments = parser.parse_args()
    params = load_params()
    settings = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    spec = REGRESSORS[arguments.regressor]
    out_of_fold_file = MODELS / "out_of_fold" / f"{spec.name}.parquet"
    with sole_writer(f"fit-{spec.name}", MODELS / f"{spec.name}-*", out_of_fold_file):
        parts = _fit_views(spec, settings, params, arguments.jobs, progress_of(arguments))
        write_table(out_of_fold_file, parts)


def _fit_views(
    spec: RegressorSpec,
    settings: FitSettings,
    params: dict[str, Any],
    jobs: int,
    progress: Progress,
) -> list[pa.Table]:
    """Fit each view, save its bundle, return the out-of-fold predictions."""
    table = read_table(FEATURES / FAMILY / "examples.parquet")
    table = table.filter(pc.invert(table["locked"]))
    manifest = RunStore(RUNS / FAMILY).manifest
    # Folds run side by side in threads; BLAS starting its own would oversubscribe the cores.
    with threadpool_limits(limits=1, user_api="blas"):
        return [
            _fit_view(spec, view, table, manifest, settings, params, jobs, progress)
            for view in View
        ]


def _fit_view(
    spec: RegressorSpec,
    view: View,
    table: pa.Table,
    store: dict[str, Any],
    settings: FitSettings,
    params: dict[str, Any],
    jobs: int,
    progress: Progress,
) -> pa.Table:
    """Fit one view, save its bundle, return its out-of-fold predictions."""
    dictionary = read_json(FEATURES / FAMILY / "features.json")
    root_seed = root_seed_of(params, str(PARAMS))
    examples = examples_of_view(table, dictionary, spec, view)
    converged = examples.take(examples.converged)
    predictions = out_of_fold(spec, converged, settings, root_seed, jobs=jobs, progress=progress)
    manifest, files = build_bundle(
        spec,
        view,
        examples,
        residual_quantiles(predictions, converged),
        target=store["settings"]["epsilon"],
        vocabulary={name: _names(table, name) for name in LABELS},
        facts={
            "training": {
                "families": [FAMILY],
                "data_sha256": store["data_sha256"],
                "root_seed": root_seed,
                "n_runs": pc.count_distinct(table["run_id"]).as_py(),
                "n_lineages": pc.count_distinct(table["lineage_id"]).as_py(),
                "n_rows": table.num_rows,
                "n_params": sorted(pc.unique(table["n_params"]).to_pylist()),
            },
            "scores": fold_scores(predictions, converged),
        },
        root_seed=root_seed,
    )
    save_bundle(MODELS / manifest.bundle_id, manifest, files)
    return _labelled(predictions, table.filter(table["converged"]), view)


def _labelled(predictions: pa.Table, table: pa.Table, view: View) -> pa.Table:
    """Replace row numbers by run and epoch, and add the truth."""
    keys = table.select(["run_id", "lineage_id", "epoch", "remaining"]).take(predictions["row"])
    views = pa.array([view.value] * keys.num_rows)
    labelled = keys.append_column("view", views)
    for name in ("split", "availability", "predicted"):
        labelled = labelled.append_column(name, predictions[name])
    return labelled.combine_chunks()


def _names(table: pa.Table, column: str) -> tuple[str, ...]:
    return tuple(sorted(pc.unique(table[column]).to_pylist()))
