"""Stage branch: continue a sample of a family's runs from one of their states, again and again."""

from __future__ import annotations

import pyarrow.compute as pc

from epochs_left.config import BranchSettings, FeaturizeSettings, parse_settings, root_seed_of
from epochs_left.simulation.branching import branch_runs, sample_states
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import BRANCHES, RUNS
from epochs_left.statistics.locking import locked_lineages
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import write_table
from epochs_left.workloads import WORKLOADS


def main() -> None:
    """Read how a family's runs ended, branch a sample outside the locked test set, write it."""
    parser = stage_parser(__doc__)
    parser.add_argument("family", help="a workload family, e.g. neuron")
    parser.add_argument("--device", default="cpu", help="where networks train: cpu, cuda, cuda:1")
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.family]
    params, where = load_params(), f"{PARAMS}: {workload.name}"
    root_seed = root_seed_of(params, str(PARAMS))
    settings = parse_settings(BranchSettings, params.get("branch"), f"{PARAMS}: branch")
    split = parse_settings(FeaturizeSettings, params.get("featurize"), f"{PARAMS}: featurize")
    runs = RunStore(RUNS / workload.name).runs()
    locked = locked_lineages(runs["lineage_id"].to_pylist(), split.locked_share)
    output = BRANCHES / f"{workload.name}.parquet"
    with sole_writer(f"branch-{workload.name}", output):
        branches = branch_runs(
            workload.name,
            parse_settings(workload.settings_type, params.get(workload.name), where),
            root_seed,
            sample_states(runs.filter(pc.invert(locked)), settings.states, root_seed),
            settings.branches,
            device=arguments.device,
            jobs=arguments.jobs,
            progress=progress_of(arguments),
        )
        write_table(output, [branches])
