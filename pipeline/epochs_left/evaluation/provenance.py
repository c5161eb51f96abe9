"""Where the results come from: versions, seeds, hashes, commands."""

from __future__ import annotations

from typing import Any

from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.prediction.bundling import library_versions


@result("provenance.json", of=ALL)
def provenance(context: EvaluationContext) -> dict[str, Any]:
    """Return what somebody needs to make the same results again."""
    manifests = {name: store.manifest for name, store in context.stores.items()}
    manifest = next(iter(manifests.values()))
    return {
        "versions": {**library_versions(), **manifest["libraries"]},
        "platform": manifest["platform"],
        "root_seed": context.root_seed,
        "commands": ["make reproduce", "dvc repro"],
        "data_sha256": {name: each["data_sha256"] for name, each in manifests.items()},
    }
