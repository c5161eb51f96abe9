"""Which bundle `-m` means."""

from __future__ import annotations

import os
from pathlib import Path

from epochs_left.errors import ModelError
from epochs_left.storage.released import RELEASED, RELEASED_ID

#: Where bundles lie that are called by their id.
MODELS_FOLDER = Path("models")
#: Environment variable with the bundle that is taken when none is named.
MODEL_VARIABLE = "EPOCHS_LEFT_MODEL"


def default_model() -> str:
    """Return the bundle that predicts unless told otherwise: the package's own, if not set."""
    return os.environ.get(MODEL_VARIABLE) or RELEASED_ID


def bundle_folder(model: str | None) -> Path:
    """Return the folder of a bundle, named by its path or by its name below ``models``.

    Raises
    ------
    ModelError
        For a name that is none, with the nearest that are there, or if the package has no bundle of
        its own.
    """
    name = model or default_model()
    if name == RELEASED_ID:
        return _released()
    path, below = Path(name), MODELS_FOLDER / name
    if path.exists() or path.is_absolute():
        return path
    return below if below.exists() else _unknown(name)


def complete_model(incomplete: str) -> list[str]:
    """Return the names of the bundles that begin with what has been typed."""
    from epochs_left.storage.bundles import known_bundles  # noqa: PLC0415 - slow

    names = [RELEASED_ID, *known_bundles(MODELS_FOLDER)]
    return [name for name in names if name.startswith(incomplete)]


def _unknown(model: str) -> Path:
    """Raise ModelError with the bundles whose names are nearest; return the path without any."""
    from epochs_left.storage.bundles import known_bundles, nearest_bundles  # noqa: PLC0415 - slow

    found = known_bundles(MODELS_FOLDER)
    if found:
        raise ModelError(
            f"no bundle {model}, nor ./{MODELS_FOLDER / model}; {nearest_bundles(model, found)}"
        )
    return Path(model)


def _released() -> Path:
    if not RELEASED.is_dir():
        raise ModelError(
            "this installation has no released predictor; install a release, or name a bundle "
            "with -m: in the repository `make reproduce` makes pooled/causal"
        )
    return RELEASED
