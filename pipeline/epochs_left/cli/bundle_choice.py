"""Which bundle `-m` means."""

from __future__ import annotations

from pathlib import Path

from epochs_left.errors import ModelError

#: Where bundles lie that are called by their id, and the one that predicts unless told otherwise.
MODELS_FOLDER = Path("models")
DEFAULT_MODEL = "xgboost-causal"


def bundle_folder(model: str | None) -> Path:
    """Return the folder of a bundle, named by its path or by its id below ``models``.

    Raises
    ------
    ModelError
        If the default bundle was asked for and is not there, with those that are.
    """
    if model is None:
        return _default()
    path = Path(model)
    below = MODELS_FOLDER / model
    return below if not path.exists() and len(path.parts) == 1 else path


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
