"""The delete-a-group jackknife against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from epochs_left.statistics.jackknife import grouped_jackknife


def error_of_mean(values: np.ndarray, cluster: np.ndarray, n_groups: int = 20) -> float:
    return grouped_jackknife(lambda use: float(values[use].mean()), cluster, n_groups)


@pytest.mark.parametrize("seed", range(5))
def test_error_of_a_mean_is_that_of_the_textbook(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=200)
    found = error_of_mean(values, np.arange(200), n_groups=200)
    assert found == pytest.approx(values.std(ddof=1) / np.sqrt(200))


def test_error_is_that_of_the_clusters_and_not_of_their_copies() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        values, cluster = np.repeat(rng.normal(size=80), 5), np.repeat(np.arange(80), 5)
        found.append(error_of_mean(values, cluster))
    assert np.mean(found) == pytest.approx(1 / np.sqrt(80), rel=0.05)


def test_a_single_cluster_has_no_error() -> None:
    assert np.isnan(error_of_mean(np.ones(4), np.zeros(4)))
    assert error_of_mean(np.ones(4), np.arange(4) // 2) == 0
