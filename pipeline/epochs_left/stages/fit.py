"""Stage fit: out-of-fold predictions and a bundle a view and family, for regressors of a kind."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from epochs_left.config import FitSettings, parse_settings, root_seed_of
from epochs_left.errors import UsageError, did_you_mean
from epochs_left.parallel import cluster_map, parallel_map
from epochs_left.prediction.bundling import BundleFacts, Folds, build_bundle
from epochs_left.prediction.intervals import intervals_of
from epochs_left.prediction.training import (
    AVAILABILITIES,
    LABELS,
    Examples,
    Parts,
    examples_of_view,
    feature_names,
    fold_scores,
    out_of_fold,
)
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import View
from epochs_left.stages._command import (
    add_backend_options,
    check_backend,
    progress_of,
    sole_writer,
    stage_parser,
)
from epochs_left.stages._examples import TrainingExamples, read_training_examples
from epochs_left.stages._paths import CLASSIFIERS, FEATURES, MODELS, RUNS
from epochs_left.storage.bundles import CONVERGES, estimator_stem, save_bundle
from epochs_left.storage.estimator_files import load_estimators
from epochs_left.storage.manifests import BundleManifest
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, write_table


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One view of one family, to be fitted by one regressor."""

    regressor: str
    family: str
    view: View
    settings: FitSettings
    root_seed: int
    data_sha256: str

    @property
    def place(self) -> str:
        """Where its bundle lies, below ``models``: the bundle's id."""
        return (self.spec.folder / f"{self.family}-{self.view.value}").as_posix()

    @property
    def spec(self) -> RegressorSpec:
        """The regressor's entry in the registry."""
        return REGRESSORS[self.regressor]

    @property
    def says_whether(self) -> bool:
        """Whether its bundle says if a run converges."""
        return self.view is View.CAUSAL and not self.spec.baseline

    @property
    def adaptive(self) -> bool:
        """Whether the intervals of its bundle depend on the row."""
        return self.view is View.CAUSAL and self.spec.adaptive


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What the tasks of one family are fitted on."""

    examples: TrainingExamples
    classifiers: Mapping[str, BaseEstimator]


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """Out-of-fold predictions and the bundle; None of what says nothing about a family."""

    task: _Task
    predictions: pa.Table | None = None
    bundle: tuple[BundleManifest, dict[str, bytes]] | None = None


def main() -> None:
    """Read the examples outside the locked test set, fit, write bundles and predictions."""
    parser = stage_parser(__doc__)
    parser.add_argument("kind", help="a kind of regressors, e.g. trees")
    add_backend_options(parser)
    arguments = parser.parse_args()
    check_backend(arguments.backend, arguments.scheduler)
    params = load_params()
    settings = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    names = _names_of_kind(settings, arguments.kind)
    tasks = _tasks(names, settings, root_seed_of(params, str(PARAMS)))
    folders = {name: MODELS / REGRESSORS[name].folder for name in names}
    with sole_writer(f"fit-{arguments.kind}", *(folder / "*" for folder in folders.values())):
        done = _all_fitted(tasks, arguments)
        predictions: dict[str, pa.Table] = {}
        for fitted in progress_of(arguments)(done, len(tasks), f"fit {arguments.kind}"):
            if fitted.bundle is not None:
                save_bundle(MODELS / fitted.task.place, *fitted.bundle)
                predictions[fitted.task.place] = fitted.predictions
        for name, folder in folders.items():
            places = (task.place for task in tasks if task.regressor == name)
            parts = (predictions[place] for place in places if place in predictions)
            write_table(folder / "out_of_fold.parquet", parts)


def _tasks(names: Sequence[str], settings: FitSettings, root_seed: int) -> list[_Task]:
    return [
        _Task(
            regressor=name,
            family=family,
            view=view,
            settings=settings,
            root_seed=root_seed,
            data_sha256=RunStore(RUNS / family).manifest["data_sha256"],
        )
        for family in settings.families
        for name in names
        for view in REGRESSORS[name].views
    ]


def _all_fitted(tasks: Sequence[_Task], arguments: argparse.Namespace) -> Iterator[_Fitted]:
    """Yield what is fitted, on this machine or on a cluster, whose workers share no disk."""
    if arguments.scheduler is None:
        yield from parallel_map(_fit_here, tasks, arguments.jobs)
        return
    for _, of_family in groupby(tasks, key=lambda task: task.family):
        several = list(of_family)
        neediest = max(several, key=lambda task: task.says_whether)
        material = _material(neediest, features=None)
        yield from cluster_map(_fit, several, material, arguments.scheduler)


def _fit_here(task: _Task) -> _Fitted:
    dictionary = read_json(FEATURES / task.family / "features.json")
    return _fit(task, _material(task, feature_names(dictionary, task.spec, task.view)))


def _material(task: _Task, features: Sequence[str] | None) -> _Material:
    """Read what a task is fitted on, with these features; all if None."""
    return _Material(
        examples=read_training_examples(task.family, task.settings, features),
        classifiers=_classifiers(task.family) if task.says_whether else {},
    )


def _names_of_kind(settings: FitSettings, kind: str) -> tuple[str, ...]:
    """Return what is fitted of a kind; UsageError for an unknown one, or a name of another."""
    if kind not in settings.regressors:
        known = ", ".join(settings.regressors)
        hint = did_you_mean(kind, settings.regressors)
        raise UsageError(f"expected a kind of regressors ({known}), got {kind!r}{hint}")
    names = settings.regressors[kind]
    odd = [name for name in names if REGRESSORS[name].kind != kind]
    if odd:
        raise UsageError(
            f"{PARAMS}: fit.regressors.{kind}: expected {kind} alone, got {odd[0]}; "
            f"move it to {REGRESSORS[odd[0]].kind}"
        )
    return names


def _fit(task: _Task, material: _Material) -> _Fitted:
    """Fit one view of one family."""
    found, spec = material.examples, task.spec
    if not _says_anything(spec, found.table):
        return _Fitted(task=task)
    examples = examples_of_view(found.table, found.dictionary, spec, task.view)
    # The last bits of a product of matrices depend on the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        predictions = out_of_fold(spec, examples, task.settings, task.root_seed)
        intervals = intervals_of(predictions, examples, task.root_seed, adaptive=task.adaptive)
        bundle = build_bundle(
            spec,
            task.view,
            examples,
            Folds(predictions=predictions, intervals=intervals),
            material.classifiers if task.says_whether else {},
            _facts(task, found.table, fold_scores(predictions, examples)),
            task.root_seed,
            parts=_parts(task, found, examples.names) if found.is_sample else None,
        )
    return _Fitted(task=task, predictions=_labelled(predictions, found.table, task), bundle=bundle)


def _says_anything(spec: RegressorSpec, table: pa.Table) -> bool:
    """Return whether the features of a regressor are known of any run.

    The theory of the neuron says nothing about a ResNet.
    """
    if spec.columns is None:
        return True
    return any(np.isfinite(table[name].to_numpy()).any() for name in spec.columns)


def _parts(task: _Task, found: TrainingExamples, names: tuple[str, ...]) -> Parts:
    """Return all examples, part by part, with the features of the sample."""
    of_sample = replace(task.spec, columns=names)

    def parts() -> Iterator[Examples]:
        for table in found.parts():
            yield examples_of_view(table, found.dictionary, of_sample, task.view)

    return parts


def _classifiers(family: str) -> dict[str, BaseEstimator]:
    """Return what says whether a run of the family converges, by availability of the inputs."""
    found = load_estimators(CLASSIFIERS / family)
    stems = {name: estimator_stem(CONVERGES, name) for name in AVAILABILITIES}
    return {name: found[stem] for name, stem in stems.items() if stem in found}


def _facts(task: _Task, table: pa.Table, scores: Mapping[str, Any]) -> BundleFacts:
    return BundleFacts(
        bundle_id=task.place,
        target=_target(table),
        vocabulary={label: _names(table, label) for label in LABELS},
        training={
            "families": [task.family],
            "data_sha256": task.data_sha256,
            "root_seed": task.root_seed,
            "n_runs": pc.count_distinct(table["run_id"]).as_py(),
            "n_lineages": pc.count_distinct(table["lineage_id"]).as_py(),
            "n_rows": table.num_rows,
            "n_params": sorted(pc.unique(table["n_params"]).to_pylist()),
        },
        scores=scores,
    )


def _target(table: pa.Table) -> float:
    """Return the commonest target of the runs, which a prediction takes unless told otherwise."""
    commonest = pc.mode(table["target"])[0]
    return float(commonest["mode"].as_py())


def _labelled(predictions: pa.Table, table: pa.Table, task: _Task) -> pa.Table:
    """Replace row numbers by run and epoch, and add the truth."""
    keys = table.select(["family", "run_id", "lineage_id", "epoch", "remaining"])
    labelled = keys.take(predictions["row"])
    views = pa.array([task.view.value] * labelled.num_rows)
    labelled = labelled.append_column("view", views)
    for name in ("split", "fold", "availability", "predicted"):
        labelled = labelled.append_column(name, predictions[name])
    return labelled.combine_chunks()


def _names(table: pa.Table, column: str) -> tuple[str, ...]:
    return tuple(sorted(pc.unique(table[column]).to_pylist()))
