"""Stage featurize: from the recorded runs of families to tables of examples with features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.config import FeaturizeSettings, parse_settings, root_seed_of
from epochs_left.dynamics.geometry import sketch_geometry
from epochs_left.dynamics.geometry_kernels import trajectory_geometry
from epochs_left.features import FEATURE_GROUPS, FeatureGroup, groups_of_view
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.parallel import parallel_map
from epochs_left.prediction.examples import (
    ExamplePlan,
    Probe,
    Recipe,
    StateTable,
    examples_of,
)
from epochs_left.prediction.forecasts import linearised_forecasts, training_of
from epochs_left.schema import View
from epochs_left.seeding import key_of
from epochs_left.simulation.planning import task_data
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FEATURES, RUNS
from epochs_left.storage.epoch_shards import EpochRows
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import write_json, write_table
from epochs_left.trajectories import LOSS_INPUTS
from epochs_left.workloads import WORKLOADS, TaskData

#: The family that theory forecasts, whatever share of its states is measured.
FORECAST_FAMILY = "neuron"


@dataclass(frozen=True, kw_only=True)
class _ShardTask:
    family: str
    name: str
    plan: ExamplePlan
    wanted: str | tuple[str, ...]
    probe: Probe | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.family, self.name


def main() -> None:
    """Read the runs of families, compute the features of the drawn epochs, write the examples.

    All families in one go: workers take seconds to load what probes states, and are kept.
    """
    parser = stage_parser(__doc__)
    parser.add_argument("families", nargs="+", help="workload families, e.g. neuron mlp")
    arguments = parser.parse_args()
    params = load_params()
    settings = parse_settings(FeaturizeSettings, params.get("featurize"), f"{PARAMS}: featurize")
    families = [WORKLOADS[family].name for family in dict.fromkeys(arguments.families)]
    folders = [FEATURES / family for family in families]
    tasks = [task for family in families for task in _shard_tasks(family, params, settings)]
    with sole_writer("featurize", *(folder / "*" for folder in folders)):
        done = parallel_map(_examples_of_shard, tasks, arguments.jobs)
        parts: dict[tuple[str, str], pa.Table] = {}
        for key, table in progress_of(arguments)(done, len(tasks), "featurize"):
            parts[key] = table
            of_family = [task.key for task in tasks if task.family == key[0]]
            if all(part in parts for part in of_family):
                folder = FEATURES / key[0]
                write_table(folder / "examples.parquet", (parts.pop(part) for part in of_family))
                write_json(folder / "features.json", _dictionary(settings.groups))


def _shard_tasks(
    family: str, params: Mapping[str, Any], settings: FeaturizeSettings
) -> list[_ShardTask]:
    plan = ExamplePlan(
        epochs_per_run=settings.epochs_per_run,
        landmarks=settings.landmarks,
        locked_share=settings.locked_share,
        extra_share=settings.extra_share.get(family, 0.0),
        root_seed=root_seed_of(params, str(PARAMS)),
    )
    store = RunStore(RUNS / family)
    probe = _probe_of(family, params, settings)
    return [
        _ShardTask(family=family, name=name, plan=plan, wanted=settings.groups, probe=probe)
        for name in store.shard_names()
    ]


def _examples_of_shard(task: _ShardTask) -> tuple[tuple[str, str], pa.Table]:
    return task.key, pa.concat_tables(_tables(task)).combine_chunks()


def _tables(task: _ShardTask) -> Iterator[pa.Table]:
    store = RunStore(RUNS / task.family)
    recipe = Recipe(
        plan=task.plan,
        groups=groups_of_view(View.ORACLE, task.wanted),
        block_of_param=WORKLOADS[task.family].block_of_param,
        geometry=_geometry,
        probe=task.probe,
    )
    runs = store.runs()
    for rows in store.read(task.name):
        of_rows = runs.take(pc.index_in(pa.array(rows.run_ids), runs["run_id"]))
        yield from examples_of(rows, of_rows, recipe)


def _geometry(rows: EpochRows, block_of_param: IntArray) -> Mapping[str, FloatArray]:
    """Return what the recorded vectors say of each epoch; a sketch says less than all of them."""
    ends = rows.lengths.cumsum() - 1
    if "params" in rows.vectors:
        return trajectory_geometry(
            rows.params,
            rows.lengths,
            final=rows.params[ends],
            block_of_param=block_of_param,
            n_blocks=N_BLOCKS,
        )
    if "sketch" in rows.vectors:
        sketch = rows.vectors["sketch"]
        return sketch_geometry(sketch, rows.lengths, sketch[ends])
    return {}


def _probe_of(family: str, params: Mapping[str, Any], settings: FeaturizeSettings) -> Probe | None:
    """Return what measures a family's states; None where nothing does."""
    share = settings.probed_share.get(family, 0.0)
    if not share and family != FORECAST_FAMILY:
        return None
    kind = WORKLOADS[family].settings_type
    of_family = parse_settings(kind, params.get(family), f"{PARAMS}: {family}")
    data = task_data(family, of_family, root_seed_of(params, str(PARAMS)))
    return partial(_measures, family, data, share)


def _measures(
    family: str, data: Mapping[str, TaskData], share: float, states: StateTable
) -> Mapping[str, FloatArray]:
    """Return what theory forecasts of all states, and what a share of the lineages' measure."""
    # PyTorch takes two seconds to import, which families without probes need not wait for.
    from epochs_left.simulation.state_probes import probe_states  # noqa: PLC0415

    found: dict[str, FloatArray] = {}
    if family == FORECAST_FAMILY:
        # Not the states themselves: a forecast knows neither the final parameters nor the start.
        found |= _forecasts(states.runs, states.params, states.previous)
    lineage = states.runs["lineage_id"].to_pylist()
    # ids are hashes: the studies take the first lineages in their order, and these are among them
    chosen = np.flatnonzero([key_of(name) < share * 2**64 for name in lineage])
    measured = probe_states(family, data, states.take(chosen)) if chosen.size else {}
    for name, values in measured.items():
        found[name] = np.full(len(lineage), np.nan)
        found[name][chosen] = values
    return found


def _forecasts(
    runs: pa.Table, params: FloatArray, previous: FloatArray
) -> Mapping[str, FloatArray]:
    """Return what theory forecasts of each state towards its run's criterion."""
    names = {name: name for name in ("lr", "momentum", "optimizer", "batch_size", "n_examples")}
    names |= {"target": "epsilon", "horizon": "max_epochs"}
    columns = {name: runs[column].to_numpy(zero_copy_only=False) for name, column in names.items()}
    architecture = runs["architecture"].to_numpy(zero_copy_only=False)
    return linearised_forecasts(
        params.astype(np.float64), previous.astype(np.float64), architecture, training_of(columns)
    )


def _dictionary(wanted: str | tuple[str, ...]) -> list[dict[str, str | bool]]:
    """Return what each feature column is: its group, view, unit."""
    groups: list[FeatureGroup] = [group for _, group in FEATURE_GROUPS.select(wanted)]
    return [
        {
            "name": name,
            "group": group.name,
            "view": group.view.value,
            "unit": unit,
            "baseline": group.baseline,
            "probed": group.probed,
            "loss_only": set(group.requires) <= LOSS_INPUTS,
        }
        for group in groups
        for name, unit in sorted(group.units.items())
    ]
