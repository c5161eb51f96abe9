"""Data sets by name: what is refused before any file is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from epochs_left.errors import UsageError
from epochs_left.storage.datasets import DATASETS, load_dataset


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("digit", "digits"), ("CIFAR-10", "cifar10"), ("MNIST", "mnist"), ("diabetis", "diabetes")],
)
def test_an_unknown_name_gets_the_nearest_and_all_known(name: str, nearest: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_dataset(name)
    assert str(raised.value) == (
        f"unknown data set {name!r}, did you mean {nearest!r}? "
        "(known: breast_cancer, cifar10, diabetes, digits, mnist)"
    )


@pytest.mark.parametrize("name", ["", "\n", "imagenet-22k"])
def test_a_name_unlike_any_other_gets_all_known(name: str) -> None:
    with pytest.raises(UsageError, match=r"^unknown data set '.*' \(known: breast_cancer, .*\)$"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_a_bundled_set_takes_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"'{name}' comes with scikit-learn.*; drop the path$"):
        load_dataset(name, str(tmp_path))


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_set_in_files_needs_a_path(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}': expected the folder .*, got no path"):
        load_dataset(name)


@pytest.mark.parametrize("name", DATASETS)
def test_a_negative_limit_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^limit: expected 0 \(no limit\) or .*, got -1$"):
        load_dataset(name, limit=-1)
