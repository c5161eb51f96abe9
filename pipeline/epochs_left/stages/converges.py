"""Stage converges: P(converges), one classifier a family for all of its causal bundles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from epochs_left.config import FitSettings, parse_settings, root_seed_of
from epochs_left.parallel import parallel_map
from epochs_left.prediction.training import availabilities, examples_of_view, fit_converges
from epochs_left.regressors import REGRESSORS
from epochs_left.schema import View
from epochs_left.stages._command import progress_of, sole_writer, stage_parser
from epochs_left.stages._examples import read_training_examples
from epochs_left.stages._paths import CLASSIFIERS
from epochs_left.storage.bundles import CONVERGES, estimator_stem
from epochs_left.storage.estimator_files import save_estimators
from epochs_left.storage.estimators import dump_estimator
from epochs_left.storage.params import PARAMS, load_params

#: A regressor that sees every feature, as the classifier does.
_SEES_ALL = REGRESSORS["xgboost"]


@dataclass(frozen=True, kw_only=True)
class _Task:
    family: str
    settings: FitSettings
    root_seed: int


def main() -> None:
    """Read the examples outside the locked test set, fit, write."""
    arguments = stage_parser(__doc__).parse_args()
    params = load_params()
    settings = parse_settings(FitSettings, params.get("fit"), f"{PARAMS}: fit")
    root_seed = root_seed_of(params, str(PARAMS))
    tasks = [
        _Task(family=family, settings=settings, root_seed=root_seed) for family in settings.families
    ]
    with sole_writer("converges", CLASSIFIERS / "*"):
        done = parallel_map(_fit, tasks, arguments.jobs)
        for folder, files in progress_of(arguments)(done, len(tasks), "converges"):
            save_estimators(folder, files)


def _fit(task: _Task) -> tuple[Path, dict[str, bytes]]:
    """Fit what there is to fit for a family: nothing where all runs converged, or none."""
    found = read_training_examples(task.family, task.settings)
    examples = examples_of_view(found.table, found.dictionary, _SEES_ALL, View.CAUSAL)
    both_outcomes = np.unique(examples.converged).size == 2
    files = {}
    with threadpool_limits(limits=1, user_api="blas"):
        for availability in availabilities(examples.loss_only) if both_outcomes else ():
            model = fit_converges(examples, task.root_seed, availability)
            extension, data = dump_estimator(model)
            files[estimator_stem(CONVERGES, availability) + extension] = data
    return CLASSIFIERS / task.family, files
