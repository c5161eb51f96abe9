"""The cluster bootstrap against scipy, against slow references, and by its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from epochs_left.statistics import bootstrap
from epochs_left.statistics.bootstrap import (
    bca_interval,
    bootstrap_sums,
    bootstrap_weights,
)
from epochs_left.statistics.scores import (
    SUM_SCORES,
    auc,
    error_sums,
    mean,
    mean_sums,
    weighted_median,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clustered(seed: int, n_clusters: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actual, predicted and cluster of rows whose errors repeat within a cluster."""
    generator = rng(seed)
    cluster = np.repeat(np.arange(n_clusters), generator.integers(1, 20, size=n_clusters))
    actual = generator.normal(size=n_clusters)[cluster] + 0.1 * generator.normal(size=cluster.size)
    predicted = actual + 0.5 * generator.normal(size=n_clusters)[cluster]
    return actual, predicted, cluster


def test_bca_of_a_mean_agrees_with_scipy() -> None:
    values = rng(1).exponential(size=60)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=rng(2), vectorized=True
    ).confidence_interval
    ours = bootstrap_sums(
        mean_sums(values, np.arange(60)), {"mean": mean}, n_replicates=20_000, rng=rng(3)
    )["mean"]
    assert ours.value == pytest.approx(values.mean())
    assert ours.interval == pytest.approx((reference.low, reference.high), abs=0.01)


def test_bca_formula_agrees_with_scipy_on_the_same_replicates() -> None:
    values = rng(1).exponential(size=25)
    result = stats.bootstrap((values,), np.mean, n_resamples=999, method="BCa", rng=rng(2))
    left_out = np.array([np.delete(values, i).mean() for i in range(25)])
    ours = bca_interval(values.mean(), result.bootstrap_distribution, left_out)
    assert ours == pytest.approx(tuple(result.confidence_interval), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_replicates_from_sums_equal_scores_of_gathered_rows(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow way: gather the rows of every drawn cluster and ask scikit-learn."""
    actual, predicted, cluster = clustered(seed)
    seen: dict[str, np.ndarray] = {}
    original = bootstrap.bca_interval

    def spy(value: float, replicates: np.ndarray, jackknife: np.ndarray, level: float) -> object:
        seen.update(replicates=replicates, jackknife=jackknife)
        return original(value, replicates, jackknife, level)

    monkeypatch.setattr(bootstrap, "bca_interval", spy)
    sums = error_sums(actual, predicted, cluster)
    bootstrap_sums(sums, {"r2": SUM_SCORES["r2"]}, n_replicates=20, rng=rng(seed))

    rows_of = [np.flatnonzero(cluster == name) for name in range(30)]
    draws = rng(seed).integers(30, size=(20, 30))
    for replicate, drawn in zip(seen["replicates"], draws, strict=True):
        rows = np.concatenate([rows_of[name] for name in drawn])
        assert replicate == pytest.approx(r2_score(actual[rows], predicted[rows]))
    for name, left_out in enumerate(seen["jackknife"]):
        rows = cluster != name
        assert left_out == pytest.approx(r2_score(actual[rows], predicted[rows]))


@pytest.mark.parametrize("seed", range(3))
def test_block_size_changes_no_number(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    actual, predicted, cluster = clustered(seed)
    sums = error_sums(actual, predicted, cluster)
    error = abs(actual - predicted)

    def both() -> list[object]:
        by_sums = bootstrap_sums(sums, SUM_SCORES, n_replicates=100, rng=rng(seed))
        by_weights = bootstrap_weights(
            lambda weight: weighted_median(error, weight), cluster, n_replicates=100, rng=rng(seed)
        )
        return [*by_sums.values(), by_weights]

    whole = both()
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", 200)
    in_blocks = both()
    for one, other in zip(whole, in_blocks, strict=True):
        assert one.value == pytest.approx(other.value)
        assert one.interval == pytest.approx(other.interval, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_weights_and_sums_give_the_same_interval(seed: int) -> None:
    values, _, cluster = clustered(seed)
    weight = rng(seed).uniform(0.5, 1.5, size=values.size)
    by_sums = bootstrap_sums(
        mean_sums(values, cluster, weight), {"mean": mean}, n_replicates=300, rng=rng(seed)
    )["mean"]
    by_weights = bootstrap_weights(
        lambda w: (w * values).sum(axis=1) / w.sum(axis=1),
        cluster,
        weight=weight,
        n_replicates=300,
        rng=rng(seed),
    )
    assert by_weights.value == pytest.approx(by_sums.value)
    assert by_weights.interval == pytest.approx(by_sums.interval)


def test_interval_of_clusters_is_wider_than_that_of_rows() -> None:
    values, _, cluster = clustered(0)
    widths = []
    for unit in (cluster, np.arange(values.size)):
        sums = mean_sums(values, unit)
        interval = bootstrap_sums(sums, {"m": mean}, n_replicates=2_000, rng=rng())["m"].interval
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[0] > 2 * widths[1]


def test_cluster_interval_covers_its_share_and_the_row_interval_does_not() -> None:
    """200 data sets of 40 clusters: 95 % intervals for a mean whose truth is 0."""
    hits = {"cluster": 0, "row": 0}
    for seed in range(200):
        values, _, cluster = clustered(seed, n_clusters=40)
        for unit, codes in (("cluster", cluster), ("row", np.arange(values.size))):
            sums = mean_sums(values, codes)
            estimate = bootstrap_sums(sums, {"m": mean}, n_replicates=400, rng=rng(seed))["m"]
            assert estimate.interval is not None
            hits[unit] += estimate.interval[0] <= 0 <= estimate.interval[1]
    assert 0.88 <= hits["cluster"] / 200 <= 0.99
    assert hits["row"] / 200 < 0.7


def test_one_cluster_has_no_interval() -> None:
    sums = mean_sums(np.arange(5.0), np.zeros(5))
    estimate = bootstrap_sums(sums, {"mean": mean}, n_replicates=50, rng=rng())["mean"]
    assert estimate.value == 2.0
    assert estimate.interval is None
    one = bootstrap_weights(
        lambda w: weighted_median(np.arange(5.0), w), np.zeros(5), n_replicates=50, rng=rng()
    )
    assert (one.value, one.interval) == (2.0, None)


def test_undefined_score_has_no_interval() -> None:
    sums = error_sums(np.full(6, 2.0), np.arange(6.0), np.arange(6))
    estimates = bootstrap_sums(sums, SUM_SCORES, n_replicates=50, rng=rng())
    assert estimates["r2"].interval is None
    assert estimates["mse"].interval is not None


def test_equal_clusters_give_an_interval_of_no_width() -> None:
    sums = mean_sums(np.full(8, 0.25), np.arange(8))
    estimate = bootstrap_sums(sums, {"mean": mean}, n_replicates=50, rng=rng())["mean"]
    assert estimate.interval == (0.25, 0.25)


def test_rarely_undefined_replicates_are_left_out_and_frequent_ones_end_it() -> None:
    """AUC is undefined in a resample without negatives."""
    probability = rng().uniform(size=40)
    for n_negatives, has_interval in ((4, True), (1, False)):
        outcome = np.arange(40) >= n_negatives

        def score(weight: np.ndarray, outcome: np.ndarray = outcome) -> np.ndarray:
            return auc(outcome, probability, weight)

        estimate = bootstrap_weights(score, np.arange(40), n_replicates=400, rng=rng())
        assert (estimate.interval is not None) is has_interval


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1.5])
def test_level_outside_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must lie in"):
        bca_interval(0.0, np.zeros(3), np.zeros(3), level)


@pytest.mark.parametrize("seed", range(3))
def test_higher_level_is_never_narrower(seed: int) -> None:
    actual, predicted, cluster = clustered(seed)
    sums = error_sums(actual, predicted, cluster)
    intervals = [
        bootstrap_sums(sums, SUM_SCORES, n_replicates=500, rng=rng(seed), level=level)["r2"]
        for level in (0.5, 0.8, 0.95)
    ]
    lowers, uppers = zip(*[estimate.interval for estimate in intervals], strict=True)
    assert list(lowers) == sorted(lowers, reverse=True)
    assert list(uppers) == sorted(uppers)


def test_extreme_skew_stays_within_the_replicates() -> None:
    """A lone outlier makes the acceleration large; the bounds are replicates all the same."""
    replicates = np.linspace(0.0, 1.0, 101)
    jackknife = np.append(np.zeros(200), -50.0)
    for value in (0.0, 0.5, 1.0):
        interval = bca_interval(value, replicates, jackknife, level=0.999)
        assert interval is not None
        assert 0.0 <= interval[0] <= interval[1] <= 1.0
