"""Where the results come from: versions, seeds, hashes, commands."""

from __future__ import annotations

from typing import Any

from epochs_left.evaluation import result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.prediction.training import library_versions


@result("provenance.json")
def provenance(context: EvaluationContext) -> dict[str, Any]:
    """Return what somebody needs to make the same results again."""
    manifest = context.store.manifest
    return {
        "versions": {**library_versions(), **manifest["libraries"]},
        "platform": manifest["platform"],
        "root_seed": context.root_seed,
        "commands": ["make reproduce", "dvc repro"],
        "data_sha256": {context.family: manifest["data_sha256"]},
    }
