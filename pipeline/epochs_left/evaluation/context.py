"""What results are computed from: runs, examples, out-of-fold predictions and bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.config import EvaluateSettings
from epochs_left.dynamics.criterion import Criterion
from epochs_left.prediction.predictor import Forecast, Predictor, predictor_of
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import TargetKind, View
from epochs_left.seeding import Purpose, content_id, generator, key_of
from epochs_left.statistics.folds import run_weights
from epochs_left.storage.bundle_choice import GOALS
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import read_json, read_table

ModelKey = tuple[str, View]

#: Level of the intervals that the locked test set is asked about.
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True)
class FamilyContext:
    """Reads what the earlier stages wrote of one family, each file once.

    Attributes
    ----------
    family
        Workload family that the models are fitted on.
    settings
        Settings of `evaluate`.
    root_seed
        Seed of everything random.
    regressors
        Names of the fitted regressors.
    runs_folder, branches_folder, features_folder, models_folder
        Where the stages before this one wrote.
    """

    family: str
    settings: EvaluateSettings
    root_seed: int
    regressors: Sequence[str]
    runs_folder: Path
    branches_folder: Path
    features_folder: Path
    models_folder: Path

    @cached_property
    def store(self) -> RunStore:
        """The family's run store."""
        return RunStore(self.runs_folder / self.family)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """runs.parquet."""
        frame: pd.DataFrame = self.store.runs().to_pandas()
        return frame

    @cached_property
    def dictionary(self) -> list[dict[str, Any]]:
        """features.json: name, group, view and unit of each feature."""
        entries: list[dict[str, Any]] = read_json(self._features / "features.json")
        return entries

    @cached_property
    def examples(self) -> pd.DataFrame:
        """The rows of examples.parquet towards the runs' own criterion."""
        frame = self.every_example
        return frame[frame["target_kind"] == TargetKind.EPSILON.value].reset_index(drop=True)

    @cached_property
    def every_example(self) -> pd.DataFrame:
        """The rows of examples.parquet, towards targets of every kind."""
        frame: pd.DataFrame = read_table(self._features / "examples.parquet").to_pandas()
        return frame

    @cached_property
    def locked(self) -> pd.DataFrame:
        """The examples of the locked test set, a fresh index."""
        return self.examples[self.examples["locked"]].reset_index(drop=True)

    @cached_property
    def training(self) -> pd.DataFrame:
        """The examples of converged runs outside the locked test set, a fresh index."""
        rows = self.examples[~self.examples["locked"] & self.examples["converged"]]
        return rows.reset_index(drop=True)

    @cached_property
    def study(self) -> pd.DataFrame:
        """The part of `training` that studies fit on: whole lineages, in the order of their ids.

        Ids are hashes, so that the first ones are a random sample.
        """
        rows = self.training
        runs = rows.drop_duplicates("run_id").sort_values("lineage_id")
        first = runs["lineage_id"].iloc[: self.settings.study_runs].unique()
        return rows[rows["lineage_id"].isin(first)].reset_index(drop=True)

    @cached_property
    def branches(self) -> pd.DataFrame | None:
        """The continuations of a sample of states, a row a branch; None if there are none."""
        path = self.branches_folder / f"{self.family}.parquet"
        return read_table(path).to_pandas() if path.exists() else None

    @property
    def criterion(self) -> Criterion:
        """Thresholds that the family's runs were recorded with."""
        settings = self.store.manifest["settings"]
        return Criterion(
            **{key: settings[key] for key in ("epsilon", "delta", "divergence_loss", "max_epochs")}
        )

    @property
    def _features(self) -> Path:
        return self.features_folder / self.family

    @cached_property
    def models(self) -> list[ModelKey]:
        """Every fitted (regressor, view); baselines in the causal one alone.

        A regressor of given features has no bundle for a family that these say nothing about.
        """
        return [
            (name, view)
            for view in View
            for name in self.regressors
            if view in self.spec(name).views
            and (self.spec(name).columns is None or self._bundle(name, view).is_dir())
        ]

    def models_of(self, view: View) -> list[str]:
        """Return the names of the regressors that are fitted in a view."""
        return [name for name, of_model in self.models if of_model is view]

    def spec(self, name: str) -> RegressorSpec:
        """Return a regressor's entry in the registry."""
        return REGRESSORS[name]

    @cached_property
    def predictors(self) -> Mapping[ModelKey, Predictor]:
        """The loaded bundles, by model."""
        return {
            (name, view): predictor_of(
                load_bundle(self._bundle(name, view)),
                level=LEVEL,
                jobs=1,
                views=(View.CAUSAL, View.ORACLE),
            )
            for name, view in self.models
        }

    @cached_property
    def forecasts(self) -> Mapping[ModelKey, Forecast]:
        """Predictions of every model on the rows of `locked`."""
        return {key: self.forecast(key, self.locked) for key in self.models}

    def forecast(self, key: ModelKey, rows: pd.DataFrame) -> Forecast:
        """Predict rows of examples with every input known."""
        X, everything = self.features(key, rows), np.ones(len(rows), dtype=np.bool_)
        elapsed = rows["epoch"].to_numpy(float)
        return self.predictors[key].forecast(X, elapsed, everything, ~everything)

    def features(self, key: ModelKey, rows: pd.DataFrame) -> FloatArray:
        """Return what a model sees of rows of examples, shape ``(n, p)``, float32."""
        names = list(self.predictors[key].manifest.features)
        X: FloatArray = rows[names].to_numpy(np.float32)
        return X

    @cached_property
    def out_of_fold(self) -> pd.DataFrame:
        """Out-of-fold predictions of every model with every input known.

        A row an example and split, sorted by run and epoch: run_id, lineage_id, epoch, remaining,
        split, fold (its number within the split), and a column of predictions for each model key.
        """
        keys = ["split", "run_id", "epoch"]
        frames = [
            self._predictions(name, view)
            .set_index(keys)["predicted"]
            .rename(f"{name}-{view.value}")
            for name, view in self.models
        ]
        truth = self._predictions(*self.models[0]).set_index(keys)
        known = truth[["lineage_id", "remaining", "fold"]]
        return pd.concat([known, *frames], axis=1).sort_index().reset_index()

    def _fitted(self, name: str) -> Path:
        return self.models_folder / self.spec(name).folder

    def _bundle(self, name: str, view: View) -> Path:
        return self._fitted(name) / f"{self.family}-{view.value}"

    def _predictions(self, name: str, view: View) -> pd.DataFrame:
        path = self._fitted(name) / "out_of_fold.parquet"
        table: pd.DataFrame = read_table(path).to_pandas()
        of_family = (table["family"] == self.family) & (table["view"] == view.value)
        return table[of_family & (table["availability"] == "all")]

    @cached_property
    def best_causal(self) -> str:
        """The causal regressor with the smallest grouped out-of-fold error on the log scale."""
        return self.best(View.CAUSAL)

    def best(self, view: View) -> str:
        """Return the regressor of a view with the smallest grouped error on the log scale."""
        return self.ranked(view)[0]

    def ranked(self, view: View) -> list[str]:
        """Return the regressors of a view without the baselines, the best first.

        By the squared error of log(1 + R) on folds by lineage, every run weighing the same.
        """
        table = self.out_of_fold[self.out_of_fold["split"] == "by lineage"]
        truth = np.log1p(table["remaining"].to_numpy(float))
        weight = run_weights(table["run_id"].to_numpy())
        errors = {
            name: float(weight @ (np.log1p(table[f"{name}-{view.value}"]) - truth) ** 2)
            for name in self.models_of(view)
            if not self.spec(name).baseline
        }
        return sorted(errors, key=lambda name: errors[name])

    def rng(self, result: str) -> np.random.Generator:
        """Return the generator of one result's bootstrap: the same whatever else is computed."""
        return _result_rng(self.root_seed, result)


@dataclass(frozen=True, kw_only=True)
class EvaluationContext:
    """What results about all families together are computed from.

    Attributes
    ----------
    families
        The families that models are fitted on, by name.
    stores
        The run store of every simulated family, in the order of the registry's names.
    settings, root_seed
        As in `FamilyContext`.
    models_folder
        Where `pool` wrote.
    """

    families: Mapping[str, FamilyContext]
    stores: Mapping[str, RunStore]
    settings: EvaluateSettings
    root_seed: int
    models_folder: Path

    @cached_property
    def pooled(self) -> pd.DataFrame | None:
        """Predictions of unseen runs by the predictors for all families; None without them."""
        path = self.models_folder / "pooled" / "out_of_fold.parquet"
        return read_table(path).to_pandas() if path.exists() else None

    @cached_property
    def pooled_predictors(self) -> Mapping[str, Predictor]:
        """The predictors for all families by `bundle_choice.GOALS`, as far as there are any."""
        folders = {goal: self.models_folder / "pooled" / goal for goal in GOALS}
        return {
            goal: predictor_of(load_bundle(folder), level=LEVEL, jobs=1)
            for goal, folder in folders.items()
            if folder.is_dir()
        }

    def rng(self, result: str) -> np.random.Generator:
        """Return the generator of one result's bootstrap: the same whatever else is computed."""
        return _result_rng(self.root_seed, result)


def _result_rng(root_seed: int, result: str) -> np.random.Generator:
    return generator(root_seed, key_of(content_id({"result": result})), Purpose.BOOTSTRAP)


def scopes(family: str, rows: pd.DataFrame) -> dict[str, BoolArray]:
    """Return the parts of a family that scores are printed for, as masks of the rows."""
    parts = _neuron_scopes(rows) if family == "neuron" else _network_scopes(rows)
    return {"all": np.ones(len(rows), dtype=np.bool_), **parts}


def _neuron_scopes(rows: pd.DataFrame) -> dict[str, BoolArray]:
    unit = (rows["architecture"] == "abs-unit").to_numpy()
    full = (rows["batch_size"] == rows["n_examples"]).to_numpy()
    plain = (rows["momentum"] == 0).to_numpy()
    return {
        "abs, full batch": unit & full,
        "abs, full batch, no momentum": unit & full & plain,
        "abs, online": unit & ~full,
        "hidden units": ~unit,
        "with momentum": ~plain,
    }


def _network_scopes(rows: pd.DataFrame) -> dict[str, BoolArray]:
    """Return the cohorts, and the tasks of the swept one where there are several."""
    swept = (rows["cohort"] == "swept").to_numpy()
    parts = {"hyperparameters fixed": ~swept, "hyperparameters varied": swept}
    tasks = sorted(rows["task"].unique())
    if len(tasks) > 1:
        parts |= {f"varied, {task}": swept & (rows["task"] == task).to_numpy() for task in tasks}
    return parts


#: Columns of the examples that `scopes` looks at.
SCOPE_COLUMNS = ("architecture", "batch_size", "n_examples", "momentum", "cohort", "task")
