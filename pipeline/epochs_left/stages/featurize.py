"""Stage featurize: from the recorded runs of one family to a table of examples with features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.config import FeaturizeSettings, parse_settings, root_seed_of
from epochs_left.features import FEATURE_GROUPS, FeatureGroup, groups_of_view
from epochs_left.parallel import parallel_map
from epochs_left.prediction.examples import ExamplePlan, examples_of
from epochs_left.schema import View
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FEATURES, RUNS
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import write_json, write_table
from epochs_left.workloads import WORKLOADS


@dataclass(frozen=True, kw_only=True)
class _ShardTask:
    number: int
    name: str
    folder: Path
    plan: ExamplePlan
    wanted: str | tuple[str, ...]


def main() -> None:
    """Read a family's runs, compute the features of the drawn epochs, write the examples."""
    parser = stage_parser(__doc__)
    parser.add_argument("family", help="a workload family, e.g. neuron")
    arguments = parser.parse_args()
    params = load_params()
    settings = parse_settings(FeaturizeSettings, params.get("featurize"), f"{PARAMS}: featurize")
    plan = ExamplePlan(
        epochs_per_run=settings.epochs_per_run,
        landmarks=settings.landmarks,
        locked_share=settings.locked_share,
        root_seed=root_seed_of(params, str(PARAMS)),
    )
    store = RunStore(RUNS / arguments.family)
    tasks = [
        _ShardTask(number=i, name=name, folder=store.folder, plan=plan, wanted=settings.groups)
        for i, name in enumerate(store.shard_names())
    ]
    progress = progress_of(arguments)
    folder = FEATURES / arguments.family
    with sole_writer(f"featurize-{arguments.family}", folder / "*"):
        done = parallel_map(_examples_of_shard, tasks, arguments.jobs)
        parts = progress(done, len(tasks), "featurize")
        in_order = (table for _, table in sorted(parts, key=lambda part: part[0]))
        write_table(folder / "examples.parquet", in_order)
        write_json(folder / "features.json", _dictionary(settings.groups))


def _examples_of_shard(task: _ShardTask) -> tuple[int, pa.Table]:
    return task.number, pa.concat_tables(_tables(task)).combine_chunks()


def _tables(task: _ShardTask) -> Iterator[pa.Table]:
    store = RunStore(task.folder)
    workload = WORKLOADS[store.manifest["family"]]
    groups = groups_of_view(View.ORACLE, task.wanted)
    runs = store.runs()
    for rows in store.read(task.name):
        of_rows = runs.take(pc.index_in(pa.array(rows.run_ids), runs["run_id"]))
        yield from examples_of(rows, of_rows, workload.block_of_param, groups, task.plan)


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
            "loss_only": set(group.requires) <= {"epoch", "loss", "target"},
        }
        for group in groups
        for name, unit in sorted(group.units.items())
    ]
