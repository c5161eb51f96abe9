"""Stage evaluate: scores and studies of the fitted models; opens the locked test set."""

from __future__ import annotations

from epochs_left.config import EvaluateSettings, FitSettings, parse_settings, root_seed_of
from epochs_left.evaluation import RESULTS
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.scores import headline
from epochs_left.parallel import Progress
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._paths import FAMILY, FEATURES, METRICS, MODELS, RUNS
from epochs_left.stages._paths import RESULTS as RESULTS_FOLDER
from epochs_left.storage.params import PARAMS, load_params
from epochs_left.storage.tables import write_json, write_result
from epochs_left.workloads import WORKLOADS


def main() -> None:
    """Compute every registered result and write it under its name."""
    arguments = stage_parser(__doc__).parse_args()
    params = load_params()
    context = EvaluationContext(
        family=FAMILY,
        families=[name for name in WORKLOADS if (RUNS / name).is_dir()],
        settings=parse_settings(EvaluateSettings, params.get("evaluate"), f"{PARAMS}: evaluate"),
        root_seed=root_seed_of(params, str(PARAMS)),
        regressors=parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit").regressors,
        runs_folder=RUNS,
        features_folder=FEATURES,
        models_folder=MODELS,
        jobs=arguments.jobs,
    )
    with sole_writer("evaluate", RESULTS_FOLDER / "*", METRICS):
        _write_results(context, progress_of(arguments))


def _write_results(context: EvaluationContext, progress: Progress) -> None:
    specs = [spec for _, spec in RESULTS.items()]
    results = {}
    for spec in progress(specs, len(specs), "evaluate"):
        results[spec.file] = spec.compute(context)
        write_result(RESULTS_FOLDER / spec.file, results[spec.file])
    write_json(METRICS, headline(results["scores.json"]))
