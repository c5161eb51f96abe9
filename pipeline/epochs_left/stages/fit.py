"""Stage fit: out-of-fold predictions and a bundle a view and family, for a regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from epochs_left.config import FitSettings, parse_settings, root_seed_of
from epochs_left.errors import DataError, UsageError
from epochs_left.parallel import parallel_map
from epochs_left.prediction.bundling import BundleFacts, build_bundle
from epochs_left.prediction.training import (
    LABELS,
    examples_of_view,
    feature_names,
    fold_scores,
    out_of_fold,
    require_distinct_curves,
    residual_quantiles,
)
from epochs_left.regressors import BASELINES, REGRESSORS, RegressorSpec
from epochs_left.schema import TargetKind, View
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FEATURES, MODELS, RUNS
from epochs_left.storage.bundles import save_bundle
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_table, write_table

#: What is read of the examples besides the features that the regressor sees.
_COLUMNS = (
    *("family", "run_id", "lineage_id", "curve_id", *LABELS, "n_params"),
    *("target_kind", "target", "epoch", "remaining", "converged", "locked", "sampled"),
)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One view of one family, to be fitted by one regressor."""

    regressor: str
    family: str
    view: View
    settings: FitSettings
    root_seed: int

    @property
    def spec(self) -> RegressorSpec:
        """The regressor's entry in the registry."""
        return REGRESSORS[self.regressor]


def main() -> None:
    """Read the examples outside the locked test set, fit, write bundles and predictions."""
    parser = stage_parser(__doc__)
    help_text = f"a regressor, e.g. xgboost, or `{BASELINES}` for all of those"
    parser.add_argument("regressor", help=help_text)
    arguments = parser.parse_args()
    params = load_params()
    settings = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    _require_kinds(settings)
    together = arguments.regressor == BASELINES
    names = settings.baselines if together else (arguments.regressor,)
    tasks = [
        _Task(
            regressor=name,
            family=family,
            view=view,
            settings=settings,
            root_seed=root_seed_of(params, str(PARAMS)),
        )
        for name in names
        for family in settings.families
        for view in REGRESSORS[name].views
    ]
    folders = [MODELS / REGRESSORS[name].folder for name in names]
    # A baseline alone shares its lock with all of them, since they write its folder too.
    lock = BASELINES if REGRESSORS[names[0]].baseline else arguments.regressor
    with sole_writer(f"fit-{lock}", *(folder / "*" for folder in folders)):
        done = parallel_map(_fit, tasks, arguments.jobs)
        fitted = progress_of(arguments)(done, len(tasks), f"fit {arguments.regressor}")
        parts = dict(fitted)
        for name, folder in zip(names, folders, strict=True):
            of_name = [parts[task] for task in tasks if task.regressor == name]
            write_table(folder / "out_of_fold.parquet", of_name)


def _require_kinds(settings: FitSettings) -> None:
    """Raise UsageError for a name in the wrong list, or in a list twice."""
    for setting, names in (("regressors", settings.regressors), ("baselines", settings.baselines)):
        odd = [n for n in names if REGRESSORS[n].baseline != (setting == "baselines")]
        if odd:
            raise UsageError(
                f"{PARAMS}: fit.{setting}: expected {setting} alone, got {', '.join(odd)}; "
                "move it to the other list"
            )
    for setting in ("regressors", "baselines", "families"):
        found = getattr(settings, setting)
        if len(set(found)) < len(found):
            raise UsageError(
                f"{PARAMS}: fit.{setting}: expected no name twice, got {', '.join(found)}; drop one"
            )


def _fit(task: _Task) -> tuple[_Task, pa.Table]:
    """Fit one view of one family, save its bundle, return its out-of-fold predictions."""
    dictionary = read_json(FEATURES / task.family / "features.json")
    names = feature_names(dictionary, task.spec, task.view)
    table = read_table(FEATURES / task.family / "examples.parquet", [*_COLUMNS, *names])
    require_distinct_curves(task.family, table)
    primary = pc.equal(table["target_kind"], TargetKind.EPSILON.value)
    table = table.filter(pc.and_(primary, pc.invert(table["locked"])))
    _require_lineages(task.family, table, task.settings.folds)
    # The last bits of a product of matrices depend on the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        return task, _fit_view(task, table, dictionary)


def _require_lineages(family: str, table: pa.Table, folds: int) -> None:
    converged = table.filter(table["converged"])
    found = pc.count_distinct(converged["lineage_id"]).as_py()
    if found < folds:
        raise DataError(
            f"family {family}: expected at least {folds} lineages with a converged run to fit on, "
            f"got {found}; simulate more runs or take it out of fit.families in {PARAMS}"
        )


def _fit_view(task: _Task, table: pa.Table, dictionary: list[dict[str, Any]]) -> pa.Table:
    spec, root_seed = task.spec, task.root_seed
    examples = examples_of_view(table, dictionary, spec, task.view)
    converged = examples.take(examples.converged)
    predictions = out_of_fold(spec, converged, task.settings, root_seed)
    name = f"{task.family}-{task.view.value}"
    manifest, files = build_bundle(
        spec,
        task.view,
        examples,
        residual_quantiles(predictions, converged),
        BundleFacts(
            bundle_id=(spec.folder / name).as_posix(),
            target=_target(table),
            vocabulary={label: _names(table, label) for label in LABELS},
            training=_training_facts(task.family, table, root_seed),
            scores=fold_scores(predictions, converged),
        ),
        root_seed,
    )
    save_bundle(MODELS / spec.folder / name, manifest, files)
    return _labelled(predictions, table.filter(table["converged"]), task.view)


def _target(table: pa.Table) -> float:
    """Return the commonest target of the runs, which a prediction takes unless told otherwise."""
    commonest = pc.mode(table["target"])[0]
    return float(commonest["mode"].as_py())


def _training_facts(family: str, table: pa.Table, root_seed: int) -> dict[str, Any]:
    store = RunStore(RUNS / family).manifest
    return {
        "families": [family],
        "data_sha256": store["data_sha256"],
        "root_seed": root_seed,
        "n_runs": pc.count_distinct(table["run_id"]).as_py(),
        "n_lineages": pc.count_distinct(table["lineage_id"]).as_py(),
        "n_rows": table.num_rows,
        "n_params": sorted(pc.unique(table["n_params"]).to_pylist()),
    }


def _labelled(predictions: pa.Table, table: pa.Table, view: View) -> pa.Table:
    """Replace row numbers by run and epoch, and add the truth."""
    keys = table.select(["family", "run_id", "lineage_id", "epoch", "remaining"])
    labelled = keys.take(predictions["row"])
    views = pa.array([view.value] * labelled.num_rows)
    labelled = labelled.append_column("view", views)
    for name in ("split", "fold", "availability", "predicted"):
        labelled = labelled.append_column(name, predictions[name])
    return labelled.combine_chunks()


def _names(table: pa.Table, column: str) -> tuple[str, ...]:
    return tuple(sorted(pc.unique(table[column]).to_pylist()))
