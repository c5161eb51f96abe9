"""Shared by the tests of prediction: a folder of small bundles, and logs of the same curves."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundles import load_bundle

small = runpy.run_path(str(Path(__file__).parent / "small_bundle.py"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles."""
    folder = tmp_path_factory.mktemp("bundles") / "models"
    small["make_bundles"](folder)
    return folder


@pytest.fixture(scope="session")
def predictor(models: Path) -> Callable[..., Predictor]:
    """Load the predictor of a bundle by its id."""

    def load(bundle_id: str = "xgboost-causal", level: float = 0.9) -> Predictor:
        return predictor_of(load_bundle(models / bundle_id), level=level, jobs=1)

    return load


@pytest.fixture(scope="session")
def draw_curves() -> Callable[..., Any]:
    """Draw curves like those that the bundles were trained on."""
    return small["Curves"].draw
