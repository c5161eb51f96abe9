"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from epochs_left.errors import UsageError, did_you_mean
from epochs_left.storage.datasets.bundled import BUNDLED, load_bundled
from epochs_left.storage.datasets.cifar10 import load_cifar10
from epochs_left.storage.datasets.dataset import Dataset
from epochs_left.storage.datasets.idx import load_idx

_IN_FOLDERS: Mapping[str, Callable[[Path, int], Dataset]] = {
    "cifar10": load_cifar10,
    "mnist": load_idx,
}

#: Every name that `load_dataset` knows.
DATASETS = (*BUNDLED, *_IN_FOLDERS)


def load_dataset(name: str, path: str = "", limit: int = 0) -> Dataset:
    """Return a data set as published; nothing is downloaded, shuffled or standardised.

    Parameters
    ----------
    name
        ``"digits"``, ``"breast_cancer"`` or ``"diabetes"``, which scikit-learn bundles;
        ``"cifar10"`` (binary version) or ``"mnist"`` (any four IDX files of ten classes).
    path
        Folder with the published files; empty for a bundled set.
    limit
        Above 0: keep the first ``limit`` training examples, and at most as many test ones, and read
        no more than these from the files, whose faults further on then go unseen.

    Raises
    ------
    UsageError
        For an unknown name, a path that is missing or not wanted, a negative limit.
    InputOutputError
        If the folder or a file is missing or cannot be read.
    DataError
        If a file does not hold what its format says.
    """
    if name not in DATASETS:
        raise UsageError(
            f"unknown data set {name!r}{did_you_mean(name, DATASETS)} "
            f"(known: {', '.join(sorted(DATASETS))})"
        )
    if limit < 0:
        raise UsageError(f"limit: expected 0 (no limit) or a number of examples, got {limit}")
    if name in BUNDLED:
        if path:
            raise UsageError(
                f"data set {name!r} comes with scikit-learn: expected no path, got {path!r}; "
                "drop the path"
            )
        return load_bundled(name, limit)
    if not path:
        raise UsageError(
            f"data set {name!r}: expected the folder with its published files, got no path; "
            "download it and set the path"
        )
    return _IN_FOLDERS[name](Path(path), limit)
