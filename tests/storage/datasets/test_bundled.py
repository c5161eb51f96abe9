"""Data sets that scikit-learn bundles, against scikit-learn's own arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from epochs_left.storage.datasets import load_dataset
from epochs_left.storage.datasets.bundled import BUNDLED


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "n_classes"),
    [
        ("digits", (1797, 1, 8, 8), np.int64, 10),
        ("breast_cancer", (569, 30), np.int64, 2),
        ("diabetes", (442, 10), np.float32, 0),
    ],
)
def test_bundled_sets_have_their_published_sizes(
    name: str, shape: tuple[int, ...], dtype: type, n_classes: int
) -> None:
    found = load_dataset(name)
    assert found.inputs.shape == shape
    assert found.inputs.dtype == np.float32
    assert found.targets.shape == shape[:1]
    assert found.targets.dtype == dtype
    assert found.n_classes == n_classes
    assert found.valid_inputs is None


def test_digits_lie_in_the_unit_interval_and_lose_nothing() -> None:
    found = load_dataset("digits")
    assert (found.inputs.min(), found.inputs.max()) == (0, 1)
    raw = datasets.load_digits()
    np.testing.assert_array_equal(found.inputs.reshape(-1, 64) * 16, raw.data)
    np.testing.assert_array_equal(found.targets, raw.target)


def test_breast_cancer_is_raw() -> None:
    found = load_dataset("breast_cancer")
    raw = datasets.load_breast_cancer()
    np.testing.assert_array_equal(found.inputs, raw.data.astype(np.float32))
    assert [*raw.target_names] == ["malignant", "benign"]
    np.testing.assert_array_equal(found.targets, raw.target)


def test_diabetes_is_raw_and_standardises_to_the_scaled_version() -> None:
    found = load_dataset("diabetes")
    centred = found.inputs.astype(np.float64) - found.inputs.mean(axis=0, dtype=np.float64)
    scaled, targets = datasets.load_diabetes(return_X_y=True)
    np.testing.assert_allclose(centred / np.linalg.norm(centred, axis=0), scaled, atol=1e-6)
    np.testing.assert_array_equal(found.targets, targets)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_limit_keeps_the_first_examples(name: str) -> None:
    whole, part = load_dataset(name), load_dataset(name, limit=11)
    np.testing.assert_array_equal(part.inputs, whole.inputs[:11])
    np.testing.assert_array_equal(part.targets, whole.targets[:11])
    assert part.n_classes == whole.n_classes
    assert part.sha256 != whole.sha256


@pytest.mark.parametrize("name", BUNDLED)
def test_the_hash_is_the_same_every_time_and_under_a_limit_that_drops_nothing(name: str) -> None:
    whole = load_dataset(name)
    assert whole.sha256 == load_dataset(name).sha256 == load_dataset(name, limit=10**6).sha256


def test_no_two_bundled_sets_share_a_hash() -> None:
    assert len({load_dataset(name).sha256 for name in BUNDLED}) == len(BUNDLED)


def test_scikit_learn_is_imported_only_for_a_bundled_set() -> None:
    code = (
        "import sys, epochs_left.storage.datasets as d\n"
        "d.load_text(); assert 'sklearn' not in sys.modules\n"
        "d.load_dataset('digits'); assert 'sklearn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
