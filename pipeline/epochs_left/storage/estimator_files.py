"""Folders of fitted estimators between two stages of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochs_left.errors import InputOutputError
from epochs_left.storage.atomic import replaced_folder, write_synced
from epochs_left.storage.estimators import load_estimator


def save_estimators(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files from `estimators.dump_estimator`, by name, replacing an old folder in one step.

    Raises
    ------
    InputOutputError
        If it cannot be written; an old folder is then untouched.
    """
    with replaced_folder(folder) as temporary:
        for name, data in files.items():
            write_synced(temporary / name, data)


def load_estimators(folder: Path) -> dict[str, Any]:
    """Return the estimators of a folder that `save_estimators` wrote, by name without extension.

    Raises
    ------
    InputOutputError
        If there is no such folder, or a file cannot be read.
    ModelError
        If a file holds no estimator.
    """
    try:
        contents = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    except OSError as error:
        raise InputOutputError(
            f"cannot read {folder}: {error.strerror or error}; run `dvc repro` to make it"
        ) from error
    return {path.stem: load_estimator(path.suffix, data) for path, data in contents.items()}
