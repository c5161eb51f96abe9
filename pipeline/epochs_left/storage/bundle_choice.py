"""Which bundle `-m` means: a bundle, or a folder with one for each kind of goal."""

from __future__ import annotations

import os
from pathlib import Path

from epochs_left.errors import ModelError
from epochs_left.storage.released import RELEASED, RELEASED_ID

#: Where bundles lie that are called by their id.
MODELS_FOLDER = Path("models")
#: Kinds of goals, which are also the names of the bundles for them below a folder.
THRESHOLD, PLATEAU = GOALS = ("threshold", "plateau")
#: Environment variable with the bundle that is taken when none is named.
MODEL_VARIABLE = "EPOCHS_LEFT_MODEL"
#: Of a path, and of what lies below a folder, as much is shown.
_SHOWN_LETTERS, _SHOWN_BUNDLES = 100, 3


def goal_of(plateau: float | None) -> str:
    """Return which of `GOALS` is asked for: a plateau if its share is named, else a threshold."""
    return THRESHOLD if plateau is None else PLATEAU


def default_model() -> str:
    """Return the bundle that predicts unless told otherwise: the package's own, if not set."""
    return os.environ.get(MODEL_VARIABLE) or RELEASED_ID


def bundle_folder(model: str | None, goal: str | None = None) -> Path:
    """Return the folder of a bundle, named by its path or by its name below ``models``.

    Parameters
    ----------
    goal
        One of `GOALS`: which bundle is taken of a folder that has one for each of them.

    Raises
    ------
    ModelError
        For a name that is none, with the nearest that are there, or if the package has no bundle of
        its own.
    """
    from epochs_left.storage.manifests import MANIFEST  # noqa: PLC0415 - slow

    name = default_model() if model is None else model
    found = [path for path in _places(name) if _exists(path)]
    for path in found:
        below = [] if goal is None else [path / goal]
        bundles = [folder for folder in (path, *below) if _exists(folder / MANIFEST)]
        if bundles:
            return bundles[0]
    raise _no_bundle_at(found[0]) if found else _unknown(name)


def _places(name: str) -> list[Path]:
    """Return where a bundle of a name may lie; a name with ``..`` never lies below ``models``."""
    path = Path(name)
    if not name.strip():
        return []
    if path.parts[:1] == (RELEASED_ID,) and len(path.parts) <= 2 and ".." not in path.parts:
        return [_released().joinpath(*path.parts[1:])]
    return [path] if path.is_absolute() or ".." in path.parts else [path, MODELS_FOLDER / path]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no name that a file can have, or not ours to look at
        return False


def complete_model(incomplete: str) -> list[str]:
    """Return the names of the bundles that begin with what has been typed."""
    from epochs_left.storage.bundles import known_bundles  # noqa: PLC0415 - slow

    names = [*released_bundles(), *known_bundles(MODELS_FOLDER)]
    return [name for name in names if name.startswith(incomplete)]


def released_bundles() -> dict[str, Path]:
    """Return the bundles of the package by the names under which they answer."""
    folders = {f"{RELEASED_ID}/{goal}": RELEASED / goal for goal in GOALS}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def _no_bundle_at(path: Path) -> ModelError:
    """Return the error for a file, or a folder that is no bundle, with those below it."""
    from epochs_left.storage.bundles import known_bundles  # noqa: PLC0415 - slow
    from epochs_left.storage.manifests import MANIFEST  # noqa: PLC0415 - slow

    if not path.is_dir():
        folder = f"-m {path.parent}" if path.name == MANIFEST else f"the one with its {MANIFEST}"
        return ModelError(
            f"expected the folder of a bundle, got the file {_shown(str(path))}; pass {folder}"
        )
    below = [str(path / name) for name in known_bundles(path)]
    text = f"no bundle in {_shown(str(path))}: it has no {MANIFEST}"
    if below:
        return ModelError(
            f"{text}; below it: {', '.join(below[:_SHOWN_BUNDLES])}; pass one of them"
        )
    return ModelError(f"{text}; {_nearest(path.name)}")


def _unknown(name: str) -> ModelError:
    if not name.strip():
        return ModelError(f"-m: expected a bundle, got an empty name; {_nearest(RELEASED_ID)}")
    shown = [_shown(str(place)) for place in _places(name)]
    return ModelError(f"no bundle at {' nor at '.join(shown)}; {_nearest(name)}")


def _nearest(name: str) -> str:
    """Return the bundles whose names are nearest."""
    from epochs_left.storage.bundles import known_bundles, nearest_bundles  # noqa: PLC0415 - slow

    found = [*released_bundles(), *known_bundles(MODELS_FOLDER)]
    if found:
        return nearest_bundles(name[:_SHOWN_LETTERS], found)
    return "pass -m with the folder of a bundle, the one with its manifest.json"


def _shown(path: str) -> str:
    return path if len(path) <= _SHOWN_LETTERS else f"{path[:_SHOWN_LETTERS]}..."


def _released() -> Path:
    if not RELEASED.is_dir():
        raise ModelError(
            "this installation has no released predictor; install a release, or name a bundle "
            "with -m: in the repository `make reproduce` makes those in models/pooled"
        )
    return RELEASED
