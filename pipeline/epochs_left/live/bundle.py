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
        If there is no such bundle, it is of the oracle view, or it was not trained on such goals.
    EpochsLeftError
        If it cannot be read, or its bytes are not what its manifest says.
    """
    # Slow: what a training script imports first should not wait for it.
    from epochs_left.errors import ModelError  # noqa: PLC0415
    from epochs_left.prediction.predictor import Predictor, predictor_of  # noqa: PLC0415
    from epochs_left.storage.bundle_choice import bundle_folder, goal_of  # noqa: PLC0415
    from epochs_left.storage.bundles import load_bundle  # noqa: PLC0415

    if not 0 < level < 1:
        raise ValueError(f"level: expected a share in (0, 1), got {level:g}; write 0.9 for 90 %")
    if isinstance(model_bundle, Predictor):
        predictor = model_bundle.at_level(level)
    else:
        model = None if model_bundle is None else str(model_bundle)
        folder = bundle_folder(model, goal_of(goal.plateau))
        predictor = predictor_of(load_bundle(folder), level=level, jobs=1)
    manifest = predictor.manifest
    if (goal.plateau is not None) != manifest.of_plateaus:
        trained, asked = "was trained on plateaus alone", "plateau=SHARE, horizon=EPOCHS"
        if goal.plateau is not None:
            trained, asked = "was not trained on plateaus", "target=LOSS"
        raise ModelError(
            f"bundle {manifest.bundle_id} {trained}; pass {asked}, or another bundle as "
            "model_bundle"
        )
    return predictor
