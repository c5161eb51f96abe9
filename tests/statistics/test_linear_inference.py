"""Cluster-robust inference against statsmodels, and its rate of rejection under the null."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from epochs_left.statistics import linear_inference
from epochs_left.statistics.linear_inference import (
    ClusterWald,
    Coefficients,
    LikelihoodRatio,
    cluster_covariance,
    coefficients,
    least_squares,
)

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clustered(seed: int, n_clusters: int = 40) -> Data:
    """Columns (constant, within, between, between), response and cluster, in random row order."""
    generator = rng(seed)
    cluster = np.repeat(np.arange(n_clusters), generator.integers(1, 15, size=n_clusters))
    cluster = generator.permutation(cluster)
    within = generator.normal(size=cluster.size)
    between = generator.normal(size=(2, n_clusters))[:, cluster]
    noise = generator.normal(size=n_clusters)[cluster] + generator.normal(size=cluster.size)
    X = np.column_stack([np.ones(cluster.size), within, between.T])
    return X, 1 + within + 0.3 * between[0] + noise, cluster


def cluster_wald(
    X: np.ndarray,
    y: np.ndarray,
    cluster: np.ndarray,
    tested: list[int],
    weight: np.ndarray | None = None,
) -> ClusterWald:
    fit = least_squares(X, y, weight)
    return linear_inference.cluster_wald(fit, cluster_covariance(fit, cluster), tested)


def robust_coefficients(
    X: np.ndarray,
    y: np.ndarray,
    cluster: np.ndarray,
    weight: np.ndarray | None = None,
    level: float = 0.95,
) -> Coefficients:
    fit = least_squares(X, y, weight)
    return coefficients(fit, cluster_covariance(fit, cluster), level=level)


def likelihood_ratio(
    X: np.ndarray, y: np.ndarray, tested: list[int], weight: np.ndarray | None = None
) -> LikelihoodRatio:
    return linear_inference.likelihood_ratio(least_squares(X, y, weight), tested)


def weights(seed: int, n: int, weighted: bool) -> np.ndarray | None:
    return rng(seed + 100).uniform(0.2, 2, size=n) if weighted else None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_cluster_wald_agrees_with_statsmodels(seed: int, weighted: bool) -> None:
    X, y, cluster = clustered(seed)
    weight = weights(seed, y.size, weighted)
    ours = cluster_wald(X, y, cluster, [2, 3], weight)
    found = robust_coefficients(X, y, cluster, weight, level=0.9)
    reference = sm.WLS(y, X, weights=1.0 if weight is None else weight).fit(
        cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True
    )
    joint = reference.wald_test(np.eye(4)[2:], use_f=True, scalar=True)
    assert (ours.statistic, ours.p_value) == pytest.approx((joint.statistic, joint.pvalue))
    assert (ours.df, ours.df_residual) == (joint.df_num, joint.df_denom)
    assert found.estimate == pytest.approx(reference.params)
    assert found.standard_error == pytest.approx(reference.bse)
    interval = np.column_stack([found.lower, found.upper])
    assert interval == pytest.approx(reference.conf_int(alpha=0.1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_likelihood_ratio_agrees_with_statsmodels(seed: int, weighted: bool) -> None:
    X, y, _ = clustered(seed)
    weight = weights(seed, y.size, weighted)
    ours = likelihood_ratio(X, y, [1, 3], weight)
    full, nested = (
        sm.WLS(y, columns, weights=1.0 if weight is None else weight).fit()
        for columns in (X, X[:, [0, 2]])
    )
    statistic, p_value, df = full.compare_lr_test(nested)
    assert (ours.statistic, ours.p_value) == pytest.approx((statistic, p_value))
    assert ours.df == df


@pytest.mark.parametrize("seed", range(3))
def test_one_coefficient_is_tested_as_its_t_ratio(seed: int) -> None:
    X, y, cluster = clustered(seed)
    test = cluster_wald(X, y, cluster, [2])
    found = robust_coefficients(X, y, cluster)
    ratio = found.estimate[2] / found.standard_error[2]
    assert test.statistic == pytest.approx(ratio**2)
    excludes_zero = found.lower[2] * found.upper[2] > 0
    assert excludes_zero == (test.p_value < 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_row_order_and_cluster_names_change_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, cluster = clustered(seed)
    whole, ratio = cluster_wald(X, y, cluster, [2, 3]), likelihood_ratio(X, y, [2, 3])
    errors = robust_coefficients(X, y, cluster).standard_error
    monkeypatch.setattr(linear_inference, "BLOCK_ROWS", 7)
    order = rng(seed).permutation(y.size)
    names = np.array([f"lineage-{code}" for code in cluster], dtype=object)
    shuffled = cluster_wald(X[order], y[order], names[order], [3, 2])
    assert shuffled.statistic == pytest.approx(whole.statistic)
    again = robust_coefficients(X[order], y[order], names[order]).standard_error
    assert again == pytest.approx(errors)
    assert likelihood_ratio(X[order], y[order], [3, 2]).statistic == pytest.approx(ratio.statistic)


@pytest.mark.parametrize("seed", range(3))
def test_units_and_offsets_of_columns_change_no_test(seed: int) -> None:
    """A Gram matrix alone would lose ten digits here."""
    X, y, cluster = clustered(seed)
    moved = X * [1, 1e-8, 1e6, 1] + [0, 0, 0, 1e5]
    plain, other = (cluster_wald(columns, y, cluster, [1, 2, 3]) for columns in (X, moved))
    assert other.statistic == pytest.approx(plain.statistic, rel=1e-6)
    ratios = [likelihood_ratio(columns, y, [1, 2, 3]).statistic for columns in (X, moved)]
    assert ratios[1] == pytest.approx(ratios[0], rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_copies_of_every_row_deceive_the_likelihood_ratio_alone(seed: int) -> None:
    X, y, cluster = clustered(seed)
    copies = (np.repeat(X, 5, axis=0), np.repeat(y, 5))
    wald = cluster_wald(X, y, cluster, [2])
    of_copies = cluster_wald(*copies, np.repeat(cluster, 5), [2])
    assert of_copies.statistic == pytest.approx(wald.statistic, rel=0.05)
    ratio, ratio_of_copies = likelihood_ratio(X, y, [2]), likelihood_ratio(*copies, [2])
    assert ratio_of_copies.statistic == pytest.approx(5 * ratio.statistic)


def test_only_the_cluster_wald_test_keeps_its_level_on_clustered_rows() -> None:
    """4,000 draws of 100 lineages x 13 rows whose errors correlate by .95; log lr is useless."""
    generator, lineage = rng(0), np.repeat(np.arange(100), 13)
    p_values = np.empty((4_000, 2))
    for draw in range(4_000):
        within = generator.normal(size=lineage.size)
        log_lr = generator.uniform(-5, 0, size=100)[lineage]
        shared = generator.normal(size=100)[lineage]
        y = within + np.sqrt(0.95) * shared + np.sqrt(0.05) * generator.normal(size=lineage.size)
        X = np.column_stack([np.ones(lineage.size), within, log_lr])
        p_values[draw, 0] = cluster_wald(X, y, lineage, [2]).p_value
        p_values[draw, 1] = likelihood_ratio(X, y, [2]).p_value
    wald, ratio = (p_values < 0.05).mean(axis=0)
    assert 0.04 <= wald <= 0.06
    assert ratio > 0.5


def test_both_tests_keep_their_level_on_independent_rows() -> None:
    generator, row = rng(1), np.arange(200)
    p_values = np.empty((1_000, 2))
    for draw in range(1_000):
        X = np.column_stack([np.ones(200), generator.uniform(size=(200, 2))])
        y = generator.normal(size=200)
        p_values[draw, 0] = cluster_wald(X, y, row, [1, 2]).p_value
        p_values[draw, 1] = likelihood_ratio(X, y, [1, 2]).p_value
    assert np.all((p_values < 0.05).mean(axis=0) > 0.03)
    assert np.all((p_values < 0.05).mean(axis=0) < 0.08)


def test_dependent_columns_are_named() -> None:
    X, y, cluster = clustered(0)
    total = np.column_stack([X, X[:, 1] - 2 * X[:, 3]])
    with pytest.raises(ValueError, match=r"columns \[1, 3, 4\] of X are linearly dependent"):
        cluster_wald(total, y, cluster, [1])
    with pytest.raises(ValueError, match=r"columns \[1, 3, 4\]"):
        likelihood_ratio(total, y, [1])
    with pytest.raises(ValueError, match=r"columns \[4\] of X are all zero"):
        likelihood_ratio(np.column_stack([X, 0 * y]), y, [1])


def test_indicators_of_single_clusters_have_no_joint_test() -> None:
    """Their own cluster's score is zero, so that both errors are those of the constant."""
    _, y, cluster = clustered(0)
    indicators = np.column_stack([np.ones(y.size), cluster == 3, cluster == 5])
    with pytest.raises(ValueError, match="too few clusters tell these columns apart"):
        cluster_wald(indicators, y, cluster, [1, 2])


def test_without_residuals_there_is_no_test() -> None:
    X = np.column_stack([np.ones(8), np.arange(8)])
    with pytest.raises(ValueError, match="exact"):
        cluster_wald(X, np.zeros(8), np.arange(8), [1])
    with pytest.raises(ValueError, match="exact"):
        likelihood_ratio(X, np.zeros(8), [1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tested": []}, "tested must name"),
        ({"tested": [4]}, "tested must name"),
        ({"tested": [-1]}, "tested must name"),
        ({"tested": [1, 1]}, "twice"),
        ({"y": np.full(5, np.nan)}, "finite"),
        ({"weight": np.zeros(5)}, "weights"),
        ({"cluster": np.zeros(5)}, "at least two clusters"),
        ({"cluster": np.arange(5) > 2, "tested": [0, 1]}, "2 clusters cannot test 2"),
        ({"X": np.ones((5, 5))}, "more rows than columns"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    X = np.column_stack([np.ones(5), np.arange(5.0)])
    y = np.array([1.0, 0.0, 2.0, 1.5, 4.0])
    arguments = {"X": X, "y": y, "cluster": np.arange(5), "tested": [1]}
    with pytest.raises(ValueError, match=message):
        cluster_wald(**(arguments | change))  # type: ignore[arg-type]


def test_a_level_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        robust_coefficients(*clustered(0), level=1.0)
