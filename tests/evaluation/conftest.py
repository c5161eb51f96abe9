"""Shared by the tests of the results: the context of a small pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import EvaluationContext, FamilyContext


@pytest.fixture(scope="session")
def make_context(
    pipeline_folder: Path, small_params: dict[str, Any]
) -> Callable[..., FamilyContext]:
    """Build a fresh context; keyword arguments take the place of what it would read."""

    def build(**read: Any) -> FamilyContext:
        context = FamilyContext(
            family="neuron",
            settings=parse_settings(EvaluateSettings, small_params["evaluate"], "evaluate"),
            root_seed=small_params["root_seed"],
            regressors=("linear", "xgboost"),
            runs_folder=pipeline_folder / "data" / "runs",
            branches_folder=pipeline_folder / "data" / "branches",
            features_folder=pipeline_folder / "features",
            models_folder=pipeline_folder / "models",
        )
        vars(context).update(read)  # where cached properties keep their values
        return context

    return build


@pytest.fixture(scope="session")
def context(make_context: Callable[..., FamilyContext]) -> FamilyContext:
    """The context as the stages left it."""
    return make_context()


@pytest.fixture(scope="session")
def all_families(context: FamilyContext) -> EvaluationContext:
    """The context of results about all families, of which there is one."""
    return EvaluationContext(
        families={context.family: context},
        stores={context.family: context.store},
        settings=context.settings,
        root_seed=context.root_seed,
        models_folder=context.models_folder,
    )
