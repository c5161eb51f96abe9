"""From recorded runs to training examples: which epochs, with which features.

An example is a run at an epoch t before its end. The epochs of a run are equally far apart from a
random start, so that every epoch is equally likely and a run is covered evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.features import FeatureGroup, compute_features
from epochs_left.schema import Outcome
from epochs_left.seeding import Purpose, generator, key_of
from epochs_left.statistics.folds import locked_lineages
from epochs_left.storage.epoch_shards import EpochRows
from epochs_left.trajectories import Trajectories, blocks_of_similar_length, pad

#: Padded parameter values of a block; bounds the memory and keeps the arrays in the caches.
MAX_BLOCK_CELLS = 1 << 20

#: Columns of the runs that examples carry along.
RUN_COLUMNS = (
    "run_id",
    "lineage_id",
    "family",
    "architecture",
    "activation",
    "init_scheme",
    "optimizer",
    "lr",
    "momentum",
    "batch_size",
    "n_examples",
    "n_params",
    "outcome",
)

#: Measures and settings of a run that feature groups may ask for.
_MEASURES = ("loss", "grad_norm", "update_norm", "path_length", "probe_kl")
_SETTINGS = (
    "lr",
    "momentum",
    "batch_size",
    "n_examples",
    "n_params",
    "optimizer",
    "activation",
)

BlockOfParam = Callable[[str], Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class ExamplePlan:
    """Which epochs of a run become examples.

    Attributes
    ----------
    epochs_per_run
        Epochs drawn from each run; all of a run that has fewer.
    landmarks
        Epochs of which every run that gets there has an example besides: the first epochs are
        rare in an even draw, and predictions are wanted there.
    locked_share
        Share of lineages in the locked test set.
    root_seed
        Seed of the draw.
    """

    epochs_per_run: int
    landmarks: tuple[int, ...]
    locked_share: float
    root_seed: int


def example_epochs(run_id: str, n_epochs: int, plan: ExamplePlan) -> IntArray:
    """Return the drawn epochs of a run with epochs 0 to ``n_epochs - 1``, ascending.

    The draw depends on the run alone, never on the others.
    """
    if n_epochs <= plan.epochs_per_run:
        return np.arange(n_epochs)
    rng = generator(plan.root_seed, key_of(run_id), Purpose.EPOCH_SAMPLE)
    # Positions are more than one epoch apart, so that no two fall on the same.
    position = (np.arange(plan.epochs_per_run) + rng.random()) * n_epochs / plan.epochs_per_run
    return position.astype(np.int64)


def examples_of(
    rows: EpochRows,
    runs: pa.Table,
    block_of_param: BlockOfParam,
    groups: Sequence[FeatureGroup],
    plan: ExamplePlan,
) -> Iterator[pa.Table]:
    """Yield tables of examples for whole runs.

    Parameters
    ----------
    rows
        Epoch rows of the runs.
    runs
        Their rows of runs.parquet, in the same order.
    block_of_param
        Parameter blocks of an architecture.
    groups
        Feature groups to compute.
    plan
        Which epochs.

    Raises
    ------
    ValueError
        If ``runs`` are not those of ``rows``.
    """
    if runs["run_id"].to_pylist() != rows.run_ids:
        raise ValueError("the runs are not those of the epoch rows")
    starts = np.cumsum(rows.lengths) - rows.lengths
    architectures = np.array(runs["architecture"].to_pylist())
    for architecture in np.unique(architectures):
        of_kind = np.flatnonzero(architectures == architecture)
        cells = MAX_BLOCK_CELLS // rows.params.shape[1]
        for index in blocks_of_similar_length(rows.lengths[of_kind], cells):
            members = of_kind[index]
            yield _block(rows, runs, starts, members, block_of_param(architecture), groups, plan)


def _block(
    rows: EpochRows,
    runs: pa.Table,
    starts: IntArray,
    members: IntArray,
    block_of_param: Sequence[int],
    groups: Iterable[FeatureGroup],
    plan: ExamplePlan,
) -> pa.Table:
    of_runs = runs.take(members)
    trajectories = _trajectories(
        rows, of_runs, starts[members], rows.lengths[members], np.asarray(block_of_param)
    )
    features = compute_features(trajectories, groups)
    row, epoch, sampled, landmark = _cells(of_runs, plan)
    outcome_epoch = of_runs["outcome_epoch"].to_numpy()[row]
    converged = np.array(of_runs["outcome"].to_pylist())[row] == Outcome.CONVERGED.value
    locked = locked_lineages(of_runs["lineage_id"].to_pylist(), plan.locked_share)
    columns: dict[str, Any] = {
        **{name: of_runs[name].take(row).combine_chunks() for name in RUN_COLUMNS},
        "epoch": epoch.astype(np.int32),
        "remaining": pa.array(outcome_epoch - epoch, pa.int32(), mask=~converged),
        "converged": converged,
        "locked": locked[row],
        "sampled": sampled,
        "landmark": landmark,
        **{name: values[row, epoch] for name, values in sorted(features.items())},
    }
    return pa.table(columns)


def _trajectories(
    rows: EpochRows,
    runs: pa.Table,
    starts: IntArray,
    lengths: IntArray,
    block_of_param: IntArray,
) -> Trajectories:
    """Gather whole runs into padded arrays."""
    cells = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    last = starts + lengths - 1
    per_epoch: dict[str, FloatArray] = {
        name: pad(rows.measures[name][cells], lengths) for name in _MEASURES
    }
    return Trajectories(
        lengths=lengths,
        inputs={
            "epoch": pad(rows.epoch[cells], lengths),
            **per_epoch,
            "params": pad(rows.params[cells], lengths),
            "final_params": rows.params[last].astype(np.float64),
            "block_of_param": block_of_param,
            "target": _column(runs, "epsilon"),
            **{name: _column(runs, name) for name in _SETTINGS},
        },
    )


def _column(runs: pa.Table, name: str) -> Any:
    return runs[name].to_numpy(zero_copy_only=False)[:, None]


def _cells(runs: pa.Table, plan: ExamplePlan) -> tuple[IntArray, IntArray, BoolArray, BoolArray]:
    """Return row, epoch, whether it was drawn and whether it is a landmark, of each example."""
    found: list[Mapping[str, Any]] = []
    ids = runs["run_id"].to_pylist()
    for row, n_epochs in enumerate(runs["outcome_epoch"].to_pylist()):
        drawn = example_epochs(ids[row], n_epochs, plan)
        landmarks = [epoch for epoch in plan.landmarks if epoch < n_epochs]
        chosen = np.union1d(drawn, landmarks).astype(np.int64)
        found.append(
            {
                "row": np.full(chosen.size, row),
                "epoch": chosen,
                "sampled": np.isin(chosen, drawn),
                "landmark": np.isin(chosen, landmarks),
            }
        )
    rows = np.concatenate([part["row"] for part in found])
    epochs = np.concatenate([part["epoch"] for part in found])
    sampled = np.concatenate([part["sampled"] for part in found])
    landmark = np.concatenate([part["landmark"] for part in found])
    return rows, epochs, sampled, landmark
