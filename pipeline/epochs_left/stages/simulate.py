"""Stage simulate: train the planned runs of one workload family and record every epoch."""

from __future__ import annotations

from epochs_left.config import parse_settings, root_seed_of
from epochs_left.errors import UsageError
from epochs_left.parallel import require_dask
from epochs_left.simulation.runner import CHUNK_RUNS, Execution, simulate_family
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
    parser.add_argument("--device", default="cpu", help="where networks train: cpu, cuda, cuda:1")
    parser.add_argument(
        "--backend",
        choices=("loky", "dask"),
        default="loky",
        help="processes of this machine, or the workers of a dask cluster; no byte depends on it",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of the dask cluster, e.g. tcp://host:8786"
    )
    arguments = parser.parse_args()
    check_backend(arguments.backend, arguments.scheduler)
    params = load_params()
    workload = WORKLOADS[arguments.family]
    where = f"{PARAMS}: {workload.name}"
    simulate_family(
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


def check_backend(backend: str, scheduler: str | None) -> None:
    """Raise UsageError unless the options that say where to train agree and can be met."""
    if backend == "dask" and not scheduler:
        raise UsageError("--backend dask without a scheduler; add --scheduler tcp://host:8786")
    if backend != "dask" and scheduler is not None:
        raise UsageError(
            f"--scheduler {scheduler} with --backend {backend}, which has none; add --backend dask"
        )
    if backend == "dask":
        require_dask()
