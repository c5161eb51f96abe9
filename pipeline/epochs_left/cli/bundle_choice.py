"""Which bundle `-m` means."""

from __future__ import annotations

from pathlib import Path

from epochs_left.errors import ModelError, did_you_mean

#: Where bundles lie that are called by their id, and the one that predicts unless told otherwise.
MODELS_FOLDER = Path("models")
DEFAULT_MODEL = "xgboost/neuron-causal"


def bundle_folder(model: str | None) -> Path:
    """Return the folder of a bundle, named by its path or by its name below ``models``.

    Raises
    ------
    ModelError
        If the default bundle was asked for, or a name that is none, with those that are there.
    """
    if model is None:
        return _default()
    path, below = Path(model), MODELS_FOLDER / model
    if path.exists() or path.is_absolute():
        return path
    return below if below.exists() else _unknown(model)


def _unknown(model: str) -> Path:
    """Raise ModelError with the bundles that have names, or return the path if there are none."""
    from epochs_left.storage.bundles import known_bundles  # noqa: PLC0415 - slow

    found = known_bundles(MODELS_FOLDER)
    if found:
        raise ModelError(
            f"no bundle {model}, nor ./{MODELS_FOLDER / model}{did_you_mean(model, found)} "
            f"(bundles there: {', '.join(found)}); name one of them or fit it first"
        )
    return Path(model)


def _default() -> Path:
    from epochs_left.storage.bundles import MANIFEST, known_bundles  # noqa: PLC0415 - slow

    folder = MODELS_FOLDER / DEFAULT_MODEL
    if not (folder / MANIFEST).is_file():
        known = ", ".join(known_bundles(MODELS_FOLDER)) or "none"
        raise ModelError(
            f"no bundle {DEFAULT_MODEL} in ./{MODELS_FOLDER} (bundles there: {known}); "
            "run `make reproduce` in the repository, or name a bundle's folder with -m"
        )
    return folder
