"""Stage evaluate: scores and studies of the fitted models; opens the locked test set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from threadpoolctl import threadpool_limits

from epochs_left.config import EvaluateSettings, FitSettings, parse_settings, root_seed_of
from epochs_left.evaluation import RESULTS
from epochs_left.evaluation.context import EvaluationContext, FamilyContext
from epochs_left.evaluation.scores import headline
from epochs_left.parallel import Progress, parallel_map
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import BRANCHES, FEATURES, METRICS, MODELS, RUNS
from epochs_left.stages._paths import RESULTS as RESULTS_FOLDER
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.run_store import RunStore
from epochs_left.storage.tables import write_json, write_result
from epochs_left.workloads import WORKLOADS


def main() -> None:
    """Compute every registered result and write it under its name."""
    arguments = stage_parser(__doc__).parse_args()
    _context.cache_clear()
    families = list(_context().families)
    folders = [RESULTS_FOLDER / family / "*" for family in families]
    with sole_writer("evaluate", RESULTS_FOLDER / "*", *folders, METRICS):
        _write_results(families, arguments.jobs, progress_of(arguments))


def _write_results(families: Sequence[str], jobs: int, progress: Progress) -> None:
    specs = sorted((spec for _, spec in RESULTS.items()), key=lambda spec: not spec.long)
    tasks = [(spec.file, part) for spec in specs for part in spec.parts(families)]
    computed = progress(parallel_map(_computed, tasks, jobs), len(tasks), "evaluate")
    metrics = {}
    for part, value in computed:
        write_result(RESULTS_FOLDER / part, value)
        family, _, file = part.rpartition("/")
        if file == "scores.json":
            metrics[family] = headline(value)
    write_json(METRICS, {family: metrics[family] for family in families})


def _computed(task: tuple[str, str]) -> tuple[str, Any]:
    file, part = task
    # The last bits of a product of matrices depend on the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        return part, RESULTS[file].computed(_context(), part)


@cache
def _context() -> EvaluationContext:
    """Return what results are computed from; a process reads each table once."""
    params = load_params()
    settings = parse_settings(EvaluateSettings, params.get("evaluate"), f"{PARAMS}: evaluate")
    fit = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    root_seed = root_seed_of(params, str(PARAMS))
    families = {
        name: FamilyContext(
            family=name,
            settings=settings,
            root_seed=root_seed,
            regressors=fit.fitted,
            runs_folder=RUNS,
            branches_folder=BRANCHES,
            features_folder=FEATURES,
            models_folder=MODELS,
        )
        for name in fit.families
    }
    simulated = [name for name, _ in WORKLOADS.items() if (RUNS / name).is_dir()]
    first = [name for name in fit.families if name in simulated]
    others = [name for name in simulated if name not in first]
    return EvaluationContext(
        families=families,
        stores={name: RunStore(RUNS / name) for name in (*first, *others)},
        settings=settings,
        root_seed=root_seed,
        models_folder=MODELS,
    )
