"""Stage simulate: train the planned runs of one workload family and record every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochs_left.config import parse_settings, root_seed_of
from epochs_left.schema import OUTCOMES
from epochs_left.simulation.devices import check_device, require_device
from epochs_left.simulation.runner import CHUNK_RUNS, Execution, simulate_family
from epochs_left.stages._command import (
    add_backend_options,
    check_backend,
    positive,
    progress_of,
    say,
    stage_parser,
)
from epochs_left.stages._paths import RUNS, WORK
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.workloads import WORKLOADS


def main() -> None:
    """Read the settings of a family, simulate it, publish its store."""
    parser = stage_parser(__doc__)
    parser.add_argument("family", help=f"a workload family: {', '.join(WORKLOADS)}")
    parser.add_argument(
        "--chunk-runs",
        type=positive,
        default=CHUNK_RUNS,
        help="runs that the neuron's engine trains between two writes to disk; more take more "
        f"memory, no byte depends on it ({CHUNK_RUNS})",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="where networks train: cpu, cuda, cuda:1 (cpu); the neuron knows no cuda",
    )
    add_backend_options(parser)
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.family]
    check_backend(arguments.backend, arguments.scheduler)
    check_device(arguments.device, workload.engine)
    if arguments.scheduler is None:  # else the workers look for it
        require_device(arguments.device)
    params = load_params()
    where = f"{PARAMS}: {workload.name}"
    manifest = simulate_family(
        workload.name,
        parse_settings(workload.settings_type, params.get(workload.name), where),
        root_seed_of(params, str(PARAMS)),
        folder=RUNS / workload.name,
        work_root=WORK,
        execution=Execution(
            jobs=arguments.jobs,
            chunk_runs=arguments.chunk_runs,
            device=arguments.device,
            scheduler=arguments.scheduler,
        ),
        progress=progress_of(arguments),
    )
    say(summary(workload.name, manifest))


def summary(family: str, manifest: Mapping[str, Any]) -> str:
    """Return what a manifest says of a store in one line: runs by outcome, rows, size, place."""
    counts = manifest["outcomes"]
    ends = ", ".join(f"{counts[name]:,} {name}" for name in OUTCOMES if name in counts)
    return (
        f"{family}: {manifest['n_runs']:,} runs ({ends}), {manifest['n_rows']:,} rows, "
        f"{manifest['bytes'] / 1e6:,.2f} MB in {RUNS / family}"
    )
