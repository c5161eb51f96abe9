"""A family's context of frames that a test makes up; loaded with `runpy`, as it is no test."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from epochs_left.config import EvaluateSettings, parse_settings
from epochs_left.evaluation.context import FamilyContext
from epochs_left.storage.params import load_params

PARAMS = Path(__file__).parents[2] / "pipeline" / "params.yaml"


def planted_context(**read: Any) -> FamilyContext:
    """Return a context that holds what it would read; whatever else it reads is not there."""
    settings = {**load_params(PARAMS)["evaluate"], "bootstrap_replicates": 200}
    nowhere = {f.name: Path("nowhere") for f in fields(FamilyContext) if f.name.endswith("_folder")}
    context = FamilyContext(
        family="mlp",
        settings=parse_settings(EvaluateSettings, settings, "evaluate"),
        root_seed=7,
        regressors=("planted",),
        jobs=1,
        **nowhere,
    )
    vars(context).update(read)  # where cached properties keep their values
    return context
