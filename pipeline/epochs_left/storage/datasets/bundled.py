"""Data sets that ship with scikit-learn, which is imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from epochs_left.storage.datasets.dataset import Dataset, Inputs, Targets, dataset_of, n_kept

_DIGITS_MAX = 16  # pixels count the set bits of 4 x 4 blocks


def load_digits() -> tuple[Inputs, Targets, int]:
    """Return handwritten digits, ``(1797, 1, 8, 8)`` in [0, 1], labels 0 to 9, and 10.

    Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI; its test half.
    """
    from sklearn import datasets  # noqa: PLC0415

    found = datasets.load_digits()
    images = (found.images / _DIGITS_MAX).astype(np.float32)
    return images[:, np.newaxis], found.target.astype(np.int64), 10


def load_breast_cancer() -> tuple[Inputs, Targets, int]:
    """Return measures of cell nuclei, ``(569, 30)``, labels 0 malignant, 1 benign, and 2.

    Street, Wolberg and Mangasarian 1993, "Breast Cancer Wisconsin (Diagnostic)", UCI.
    """
    from sklearn import datasets  # noqa: PLC0415

    found = datasets.load_breast_cancer()
    return found.data.astype(np.float32), found.target.astype(np.int64), 2


def load_diabetes() -> tuple[Inputs, Targets, int]:
    """Return ten patient measures as taken, ``(442, 10)``, progression after a year, and 0.

    Efron, Hastie, Johnstone and Tibshirani 2004, "Least Angle Regression".
    """
    from sklearn import datasets  # noqa: PLC0415

    found = datasets.load_diabetes(scaled=False)
    return found.data.astype(np.float32), found.target.astype(np.float32), 0


BUNDLED: Mapping[str, Callable[[], tuple[Inputs, Targets, int]]] = {
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
}


def load_bundled(name: str, limit: int) -> Dataset:
    """Return the first ``limit`` examples (0: all) of a set in `BUNDLED`; none has a test split."""
    inputs, targets, n_classes = BUNDLED[name]()
    n_examples = n_kept(len(inputs), limit)
    return dataset_of((inputs[:n_examples], targets[:n_examples]), None, n_classes=n_classes)
