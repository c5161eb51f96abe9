"""What a bundle is asked for, and what deserves a warning then."""

from __future__ import annotations

import math

from epochs_left.errors import ModelError, UsageError
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.predictor import Predictor


def aim_for(
    predictor: Predictor, target: float | None, plateau: float | None, horizon: int | None
) -> Aim:
    """Return what is asked for: the target or plateau that is named, or the bundle's own target.

    Raises
    ------
    ModelError
        If a plateau is asked for and the bundle was not trained on any.
    UsageError
        If nothing is asked for and the bundle has no target of its own.
    """
    manifest = predictor.manifest
    if plateau is not None and "plateau" not in predictor.inputs:
        raise ModelError(
            f"bundle {manifest.bundle_id} was not trained on plateaus; pass --target LOSS, or "
            "another bundle with -m"
        )
    if plateau is None and target is None:
        if manifest.target is None:
            raise UsageError(
                f"bundle {manifest.bundle_id} has no target of its own; pass --target LOSS, or "
                "--plateau SHARE --horizon EPOCHS"
            )
        target = manifest.target
    return Aim(target=target, plateau=plateau, horizon=horizon)


def about_model(predictor: Predictor, aim: Aim, level: float) -> list[str]:
    """Return a sentence for each thing about a bundle that makes its answers worse."""
    manifest, found = predictor.manifest, []
    if manifest.target is not None and aim.target not in {None, manifest.target}:
        found.append(
            f"target {aim.target:g}, while {manifest.bundle_id} was trained for "
            f"{manifest.target:g}: expect larger errors"
        )
    if all(any(map(math.isinf, offsets)) for offsets in predictor.offsets.values()):
        found.append(
            f"{manifest.bundle_id} supports no finite interval at level {level:g}: lower is 0 and "
            "upper is empty; pass a lower --level"
        )
    return found
