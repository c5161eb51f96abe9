"""Shared by the tests of the results: the context of a small pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import EvaluationContext


@pytest.fixture(scope="session")
def make_context(
    pipeline_folder: Path, small_params: dict[str, Any]
) -> Callable[..., EvaluationContext]:
    """Build a fresh context; keyword arguments take the place of what it would read."""

    def build(**read: Any) -> EvaluationContext:
        context = EvaluationContext(
            family="neuron",
            families=["neuron"],
            settings=parse_settings(EvaluateSettings, small_params["evaluate"], "evaluate"),
            root_seed=small_params["root_seed"],
            regressors=("linear", "xgboost"),
            runs_folder=pipeline_folder / "data" / "runs",
            features_folder=pipeline_folder / "features",
            models_folder=pipeline_folder / "models",
            jobs=1,
        )
        vars(context).update(read)  # where cached properties keep their values
        return context

    return build


@pytest.fixture(scope="session")
def context(make_context: Callable[..., EvaluationContext]) -> EvaluationContext:
    """The context as the stages left it."""
    return make_context()
