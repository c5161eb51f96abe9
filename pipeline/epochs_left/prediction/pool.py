"""Examples of several families together, and what is fitted on them: "when" and "whether"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels
from epochs_left.errors import DataError
from epochs_left.prediction.bundling import Models
from epochs_left.prediction.intervals import Intervals
from epochs_left.prediction.training import (
    LABELS,
    Examples,
    availabilities,
    estimator_seed,
    examples_of_view,
)
from epochs_left.regressors import RegressorSpec
from epochs_left.regressors._converges import build_converges_classifier
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.schema import View
from epochs_left.seeding import Purpose
from epochs_left.statistics.scales import SCALES, Scale

#: Epoch at which "whether" is scored. A drawn row stands at a share of its own run's length, which
#: its epoch gives away: with it alone the AUC of thresholds on the neuron would be .94.
LANDMARK = 10
#: The family of synthetic curves.
PRIOR = "curve_prior"


@dataclass(frozen=True, kw_only=True)
class PoolExamples:
    """Examples of several families towards targets of several kinds.

    Attributes
    ----------
    examples
        Features and truth; its ``run`` tells apart the targets of one run.
    keys
        Columns of examples.parquet that name a row: family, run_id, lineage_id, target_kind, ...
    """

    examples: Examples
    keys: pd.DataFrame

    @property
    def family(self) -> Labels:
        """Family of each row, shape ``(n,)``."""
        return np.asarray(self.keys["family"])

    @property
    def ahead(self) -> FloatArray:
        """Epochs until the run's horizon, shape ``(n,)``."""
        return np.asarray(self.keys["max_epochs"] - self.keys["epoch"], dtype=np.float64)

    @property
    def weight(self) -> FloatArray:
        """Weights of the fit, shape ``(n,)``: a family counts as the root of its number of runs.

        Between counting every run the same, which would leave ten thousand neurons to speak for
        all, and every family the same, which would let forty runs.
        """
        return self._balanced(self.examples.weight)

    @property
    def whether_weight(self) -> FloatArray:
        """Weights of the fit of "whether", shape ``(n,)``, balanced as `weight` is."""
        return self._balanced(self.examples.whether_weight)

    def _balanced(self, weight: FloatArray) -> FloatArray:
        for family in np.unique(self.family):
            rows = self.family == family
            n_runs = np.unique(self.examples.run[rows]).size
            weight[rows] *= np.sqrt(n_runs) / weight[rows].sum()
        return weight


def pooled_examples(
    table: pa.Table,
    dictionary: Sequence[Mapping[str, Any]],
    runs_per_family: int,
    spec: RegressorSpec,
) -> PoolExamples:
    """Return the examples of several families that one predictor is fitted on.

    Parameters
    ----------
    table
        Rows of examples.parquet of the families, one after another; a feature that none of them
        knows is left out.
    dictionary
        Features.json, the same for all families.
    runs_per_family
        At most so many runs of a family, whole lineages, in the order of their ids, which are
        hashes.
    spec
        Says which features there are.
    """
    kept = _kept(table, runs_per_family)
    rows = table.filter(pa.array(kept))
    found = examples_of_view(rows, dictionary, spec, View.CAUSAL)
    names = ["family", "run_id", "lineage_id", "target_kind", "target", "plateau", "epoch"]
    more = ["remaining", "converged", "sampled", "max_epochs", *LABELS]
    keys = rows.select([*names, *more]).to_pandas()
    goal = keys["run_id"] + "/" + keys["target_kind"]
    run = np.unique(goal.to_numpy(str), return_inverse=True)[1]
    fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
    return PoolExamples(examples=Examples(**{**fields, "run": run}), keys=keys)


def _kept(table: pa.Table, runs_per_family: int) -> BoolArray:
    frame = table.select(["family", "lineage_id", "run_id"]).to_pandas()
    runs = frame.drop_duplicates("run_id").sort_values("lineage_id")
    rank = runs.groupby("family").cumcount()
    first = set(runs.loc[rank < runs_per_family, "lineage_id"])
    mask: BoolArray = frame["lineage_id"].isin(first).to_numpy()
    return mask


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What says "when", fitted on rows that reached their target, and "whether", on all."""

    time: Any
    converges: Any
    scale: Scale


def fit_pooled(
    pool: PoolExamples, rows: IntArray, spec: RegressorSpec, root_seed: int
) -> dict[str, Fitted]:
    """Fit on some rows, once for each availability.

    Raises
    ------
    DataError
        If all of them reached their target, or none: nothing can be learnt of "whether" then.
    """
    examples, weight, whether_weight = pool.examples, pool.weight, pool.whether_weight
    seed, scale = estimator_seed(root_seed, Purpose.ESTIMATOR), SCALES[spec.scale]
    reached = rows[examples.converged[rows]]
    target = scale.forward(
        examples.remaining[reached], examples.elapsed[reached], pool.ahead[reached]
    )
    label = examples.converged[rows].astype(np.int64)
    if reached.size in {0, rows.size}:
        raise DataError(
            f"expected runs that reach their target and runs that do not, got {rows.size:,} rows "
            f"of which {reached.size:,} do; simulate more runs"
        )
    fitted = {}
    for availability in availabilities(examples.loss_only):
        X, time = examples.inputs(availability), spec.tuned(seed)
        converges = build_converges_classifier(seed)
        fitted[availability] = Fitted(
            time=fit_weighted(
                time, X[reached], target, weight[reached], groups=examples.lineage[reached]
            ),
            converges=fit_weighted(converges, X[rows], label, whether_weight[rows]),
            scale=scale,
        )
    return fitted


def predicted_rows(
    pool: PoolExamples, rows: IntArray, fitted: Mapping[str, Fitted], *, fold: int, material: str
) -> pa.Table:
    """Return predictions of some rows by models that have not seen their lineages."""
    keys = pool.keys.iloc[rows].drop(columns=[*LABELS, "max_epochs"])
    parts = []
    for availability, found in fitted.items():
        X = pool.examples.inputs(availability)[rows]
        value = np.asarray(found.time.predict(X), dtype=np.float64)
        columns = {
            "row": rows,
            "fold": np.int32(fold),
            "material": material,
            "availability": availability,
            "predicted": found.scale.inverse(value, pool.examples.elapsed[rows], pool.ahead[rows]),
            "p_converges": found.converges.predict_proba(X)[:, 1].astype(np.float64),
        }
        parts.append(pa.Table.from_pandas(keys.assign(**columns), preserve_index=False))
    return pa.concat_tables(parts)


def models_of(
    fitted: Mapping[str, Fitted], intervals: Mapping[str, Intervals]
) -> dict[str, Models]:
    """Return what was fitted together with its intervals, by availability."""
    return {
        availability: Models(
            time=found.time, converges=found.converges, intervals=intervals[availability]
        )
        for availability, found in fitted.items()
    }


def training_facts(
    pool: PoolExamples, data_sha256: Mapping[str, str], root_seed: int
) -> dict[str, Any]:
    """Return what a manifest says of its training: hash of the data and runs of each family."""
    counts = {name: int(n) for name, n in pool.keys.groupby("family")["run_id"].nunique().items()}
    return {
        "families": sorted(data_sha256),
        "data_sha256": dict(sorted(data_sha256.items())),
        "root_seed": root_seed,
        "runs": counts,
        "n_runs": sum(counts.values()),
        "n_rows": len(pool.keys),
    }
