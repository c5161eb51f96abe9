"""Stage evaluate: scores and studies of the fitted models; opens the locked test set."""

from __future__ import annotations

from typing import Any

from epochs_left.config import EvaluateSettings, FitSettings, parse_settings, root_seed_of
from epochs_left.evaluation import RESULTS
from epochs_left.evaluation.context import EvaluationContext, FamilyContext
from epochs_left.evaluation.scores import headline
from epochs_left.parallel import Progress
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
    context = _context(load_params(), arguments.jobs)
    of_families = [RESULTS_FOLDER / family / "*" for family in context.families]
    with sole_writer("evaluate", RESULTS_FOLDER / "*", *of_families, METRICS):
        _write_results(context, progress_of(arguments))


def _context(params: dict[str, Any], jobs: int) -> EvaluationContext:
    settings = parse_settings(EvaluateSettings, params.get("evaluate"), f"{PARAMS}: evaluate")
    fit = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    root_seed = root_seed_of(params, str(PARAMS))
    families = {
        name: FamilyContext(
            family=name,
            settings=settings,
            root_seed=root_seed,
            regressors=fit.regressors,
            runs_folder=RUNS,
            branches_folder=BRANCHES,
            features_folder=FEATURES,
            models_folder=MODELS,
            jobs=jobs,
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


def _write_results(context: EvaluationContext, progress: Progress) -> None:
    specs = [spec for _, spec in RESULTS.items()]
    scores = {}
    for spec in progress(specs, len(specs), "evaluate"):
        for name, value in spec.computed(context):
            write_result(RESULTS_FOLDER / name, value)
            if spec.file == "scores.json":
                scores[name.partition("/")[0]] = value
    write_json(METRICS, {family: headline(entries) for family, entries in scores.items()})
