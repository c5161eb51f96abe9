"""Stage simulate: train the planned runs of one workload family and record every epoch."""

from __future__ import annotations

from epochs_left.config import parse_settings, root_seed_of
from epochs_left.simulation.runner import CHUNK_RUNS, simulate_family
from epochs_left.stages._command import positive, progress_of, stage_parser
from epochs_left.stages._paths import RUNS, WORK
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.workloads import WORKLOADS


def main() -> None:
    """Read the settings of a family, simulate it, publish its store."""
    parser = stage_parser(__doc__)
    parser.add_argument("family", help="a workload family, e.g. neuron")
    parser.add_argument(
        "--chunk-runs", type=positive, default=CHUNK_RUNS, help="no byte depends on it"
    )
    arguments = parser.parse_args()
    params = load_params()
    workload = WORKLOADS[arguments.family]
    where = f"{PARAMS}: {workload.name}"
    simulate_family(
        workload.name,
        parse_settings(workload.settings_type, params.get(workload.name), where),
        root_seed_of(params, str(PARAMS)),
        folder=RUNS / workload.name,
        work_root=WORK,
        jobs=arguments.jobs,
        chunk_runs=arguments.chunk_runs,
        progress=progress_of(arguments),
    )
