"""Which predictor a tracker asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from epochs_left.live.goal import Goal

if TYPE_CHECKING:
    from epochs_left.prediction.predictor import Predictor


def tracking_predictor(
    model_bundle: str | Path | Predictor | None, goal: Goal, level: float
) -> Predictor:
    """Return the predictor that a user named, or the usual one, with intervals of ``level``.

    Raises
    ------
    ValueError
        If the level is no share in (0, 1).
    ModelError
        If there is no such bundle, it is of the oracle view, or knows nothing of plateaus.
    EpochsLeftError
        If it cannot be read, or its bytes are not what its manifest says.
    """
    # Slow: what a training script imports first should not wait for it.
    from epochs_left.errors import ModelError  # noqa: PLC0415
    from epochs_left.prediction.predictor import Predictor, predictor_of  # noqa: PLC0415
    from epochs_left.storage.bundle_choice import bundle_folder  # noqa: PLC0415
    from epochs_left.storage.bundles import load_bundle  # noqa: PLC0415

    if not 0 < level < 1:
        raise ValueError(f"level: expected a share in (0, 1), got {level:g}; write 0.9 for 90 %")
    if isinstance(model_bundle, Predictor):
        predictor = model_bundle.at_level(level)
    else:
        folder = bundle_folder(None if model_bundle is None else str(model_bundle))
        predictor = predictor_of(load_bundle(folder), level=level, jobs=1)
    if goal.plateau is not None and "plateau" not in predictor.inputs:
        raise ModelError(
            f"bundle {predictor.manifest.bundle_id} was not trained on plateaus; pass target=LOSS, "
            "or another bundle as model_bundle"
        )
    return predictor
