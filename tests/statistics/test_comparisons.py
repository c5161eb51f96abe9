"""Tests between models: exact formulas, slow references, and their rates under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from epochs_left.statistics.comparisons import (
    LOG_JACOBIANS,
    corrected_resampled_t,
    gaussian_log_density,
    holm,
    vuong,
)
from epochs_left.statistics.scales import SCALES

UNBOUNDED = {name: scale for name, scale in SCALES.items() if not scale.bounded}
N_DRAWS, N_LINEAGES, ROWS, N_FOLDS, N_REPEATS = 4_000, 30, 10, 10, 10


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- corrected resampled t-test ---


@pytest.mark.parametrize("seed", range(3))
def test_without_test_rows_the_corrected_t_is_the_t_test(seed: int) -> None:
    """The correction vanishes with n_test / n_train: scipy's one-sample t-test is left."""
    differences = rng(seed).normal(0.3, 1, size=(2, 10))
    ours = corrected_resampled_t(differences, n_train=1e15, n_test=1)
    reference = stats.ttest_1samp(differences.ravel(), 0.0)
    assert (ours.t, ours.p_value) == pytest.approx((reference.statistic, reference.pvalue))
    assert ours.degrees_of_freedom == reference.df == 19
    assert ours.mean == pytest.approx(differences.mean())


def test_the_correction_widens_the_error_by_the_overlap() -> None:
    """100 folds of 10 x 10: sqrt(1 / 100 + 1 / 9) against sqrt(1 / 100)."""
    differences = rng().normal(size=100)
    ours = corrected_resampled_t(differences, n_train=90, n_test=10)
    naive = differences.std(ddof=1) / 10
    assert ours.standard_error / naive == pytest.approx(math.sqrt(1 + 100 / 9))
    assert ours.t == pytest.approx(ours.mean / ours.standard_error)


def test_models_that_never_differ_are_not_told_apart() -> None:
    assert corrected_resampled_t(np.zeros(10), 9, 1).p_value == 1
    always = corrected_resampled_t(np.full(10, -0.25), 9, 1)
    assert (always.t, always.p_value) == (-math.inf, 0)


@pytest.mark.parametrize(
    ("differences", "n_train"), [([1.0], 9), ([], 9), ([1.0, math.nan], 9), ([1.0, 2.0], 0)]
)
def test_resampled_t_refuses_what_has_no_variance(differences: list[float], n_train: int) -> None:
    with pytest.raises(ValueError, match=r"finite|at least 2"):
        corrected_resampled_t(np.array(differences), n_train, 1)


def cross_validated_mse(effects: tuple[float, float], seed: int) -> np.ndarray:
    """MSE of the models on covariate 0, on covariate 1 and on none, shape (3, draws, folds).

    The rows of a lineage share its covariates and 60 % of the rest of the response's variance;
    effects are the slopes of the covariates. All folds are fitted from sums by lineage.
    """
    generator = rng(seed)
    shape = (N_DRAWS, N_LINEAGES)
    covariate = generator.normal(size=(2, *shape))
    within = math.sqrt(0.4) * generator.normal(size=(*shape, ROWS))
    common = math.sqrt(0.6) * generator.normal(size=shape) + np.tensordot(effects, covariate, 1)
    y = common[..., None] + within
    fold_of = np.argsort(generator.random((N_REPEATS, N_LINEAGES)), axis=1) % N_FOLDS
    test = (fold_of[:, None, :] == np.arange(N_FOLDS)[:, None]).reshape(-1, N_LINEAGES)
    means = y.mean(axis=2), (y**2).mean(axis=2)
    on_one = [fold_mse(z, *means, test) for z in covariate]
    return np.stack([*on_one, fold_mse(covariate[0], *means, test, with_slope=False)])


def fold_mse(
    z: np.ndarray, y: np.ndarray, y2: np.ndarray, test: np.ndarray, with_slope: bool = True
) -> np.ndarray:
    """MSE of y = a + b z on each test fold, from means by lineage."""
    terms = {"1": np.ones_like(z), "z": z, "y": y, "zz": z * z, "zy": z * y, "yy": y2}
    train = {name: term @ ~test.T for name, term in terms.items()}
    out = {name: term @ test.T for name, term in terms.items()}
    n = train["1"]
    b = (train["zy"] - train["z"] * train["y"] / n) / (train["zz"] - train["z"] ** 2 / n)
    b *= with_slope
    a = (train["y"] - b * train["z"]) / n
    squares = out["yy"] - 2 * a * out["y"] - 2 * b * out["zy"] + a**2 * out["1"]
    return np.asarray((squares + 2 * a * b * out["z"] + b**2 * out["zz"]) / out["1"])


def rejection_rates(differences: np.ndarray) -> tuple[float, float]:
    """Share of draws with p < 5 %: Nadeau-Bengio, and the t-test that ignores the overlap."""
    n_test = N_LINEAGES / N_FOLDS
    corrected = [
        corrected_resampled_t(draw, N_LINEAGES - n_test, n_test).p_value for draw in differences
    ]
    naive = stats.ttest_1samp(differences, 0.0, axis=1).pvalue
    return float(np.mean(np.array(corrected) < 0.05)), float(np.mean(naive < 0.05))


def test_nadeau_bengio_rejects_a_useless_covariate_at_most_at_its_level() -> None:
    """Against the model without it and against one that is as useless; 30 lineages, 10 x 10."""
    one, other, none = cross_validated_mse((0.0, 0.0), seed=0)
    for reference in (none, other):
        corrected, naive = rejection_rates(reference - one)
        assert corrected <= 0.06
        assert naive > 0.3


def test_nadeau_bengio_stays_near_its_level_for_models_that_are_equally_good() -> None:
    one, other, _ = cross_validated_mse((1.0, 1.0), seed=0)
    corrected, naive = rejection_rates(one - other)
    assert 0.04 <= corrected <= 0.08
    assert naive > 0.5


def test_nadeau_bengio_finds_the_better_model() -> None:
    without, with_effect, _ = cross_validated_mse((0.0, 1.0), seed=0)
    corrected, _ = rejection_rates((without - with_effect)[:500])
    assert corrected > 0.5


# --- Holm ---


def holm_by_definition(p_values: np.ndarray) -> np.ndarray:
    """The largest of (m - rank + 1) p over the p-values up to this one, at most 1."""
    m = len(p_values)
    adjusted = []
    for p in p_values:
        lower = sorted(q for q in p_values if q <= p)
        adjusted.append(min(1.0, max((m - rank) * q for rank, q in enumerate(lower))))
    return np.array(adjusted)


@pytest.mark.parametrize("seed", range(5))
def test_holm_follows_its_definition_and_keeps_the_order(seed: int) -> None:
    p_values = rng(seed).beta(0.3, 1, size=8)
    adjusted = holm(p_values)
    assert adjusted == pytest.approx(holm_by_definition(p_values))
    assert np.all(adjusted >= p_values)
    assert np.all(np.diff(adjusted[np.argsort(p_values)]) >= 0)


def test_comparisons_that_were_not_made_do_not_count_in_holm() -> None:
    p_values = np.array([0.01, math.nan, 0.04, math.nan, 0.03])
    adjusted = holm(p_values)
    assert np.isnan(adjusted[[1, 3]]).all()
    assert adjusted[[0, 2, 4]] == pytest.approx(holm(np.array([0.01, 0.04, 0.03])))
    assert adjusted[[0, 2, 4]] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(p_values[1])  # the argument is left as it was
    assert holm(np.array([math.nan])).shape == (1,)
    assert holm(np.array([])).shape == (0,)


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm(np.array([0.2, 1.3]))


# --- densities and Vuong ---


@pytest.mark.parametrize("name", list(UNBOUNDED))
@pytest.mark.parametrize("elapsed", [0.0, 7.0])
def test_the_density_in_epochs_integrates_to_one_on_every_scale(name: str, elapsed: float) -> None:
    scale, sigma = SCALES[name], 0.4
    centre = float(scale.forward(np.array(30.0), np.array(elapsed)))

    def density(remaining: float) -> float:
        r = np.array(remaining)
        log_density = gaussian_log_density(
            scale.forward(r, np.array(elapsed)),
            np.array(centre),
            scale=sigma,
            log_jacobian=LOG_JACOBIANS[name](r),
        )
        return math.exp(log_density)

    lower, upper = (28.0, 32.0) if name == "epochs" else (1.0, 400.0)
    mass, _ = integrate.quad(density, lower, upper, points=[30.0], limit=200)
    assert mass == pytest.approx(1, abs=1e-5)


def test_every_scale_has_the_jacobian_of_its_forward_map() -> None:
    assert set(LOG_JACOBIANS) == set(UNBOUNDED)  # survival is told on scales without a horizon
    remaining, elapsed, h = np.array([0.5, 3.0, 200.0]), np.array([0.0, 4.0, 50.0]), 1e-5
    for name, scale in UNBOUNDED.items():
        ahead, behind = (scale.forward(remaining + step, elapsed) for step in (h, -h))
        slope = (ahead - behind) / (2 * h)
        assert LOG_JACOBIANS[name](remaining) == pytest.approx(np.log(slope), abs=1e-6)


def test_a_density_needs_a_spread() -> None:
    with pytest.raises(ValueError, match="above 0"):
        gaussian_log_density(np.ones(2), np.ones(2), scale=0.0)


def vuong_by_definition(a: np.ndarray, b: np.ndarray, cluster: np.ndarray) -> tuple[float, float]:
    sums = [sum((a - b)[cluster == name]) for name in sorted(set(cluster))]
    z = sum(sums) / math.sqrt(len(sums)) / np.std(sums)
    return z, 2 * stats.norm.sf(abs(z))


@pytest.mark.parametrize("seed", range(5))
def test_vuong_follows_its_definition_and_changes_sign_with_the_order(seed: int) -> None:
    generator = rng(seed)
    cluster = np.array(list("abcdefgh"))[generator.integers(8, size=60)]
    a, b = generator.normal(size=(2, 60))
    ours, other = vuong(a, b, cluster), vuong(b, a, cluster)
    assert (ours.statistic, ours.p_value) == pytest.approx(vuong_by_definition(a, b, cluster))
    assert (other.statistic, other.p_value) == pytest.approx((-ours.statistic, ours.p_value))
    assert ours.n_clusters == 8
    assert vuong(a, a, cluster).p_value == 1


def test_vuong_charges_each_parameter_half_a_log_of_the_clusters() -> None:
    a, b = rng().normal(size=(2, 100))
    cluster = np.arange(100) // 4
    plain, charged = vuong(a, b, cluster), vuong(a, b, cluster, n_params=(5, 2))
    assert 25 * (plain.mean - charged.mean) == pytest.approx(1.5 * math.log(25))
    assert vuong(a, b, cluster, n_params=(4, 4)) == plain


def test_vuong_refuses_one_cluster_and_infinite_densities() -> None:
    with pytest.raises(ValueError, match="clusters"):
        vuong(np.ones(3), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        vuong(np.array([1.0, -math.inf]), np.zeros(2), np.arange(2))


def test_vuong_by_lineage_keeps_its_level_where_vuong_by_row_does_not() -> None:
    """Two covariates explain the response equally well; 1,000 draws of 50 lineages x 10 rows."""
    generator, lineage = rng(0), np.repeat(np.arange(50), 10)
    rejected = {"lineage": 0, "row": 0}
    for _ in range(1_000):
        z = generator.normal(size=(3, 50))[:, lineage]
        y = z[0] + z[1] + z[2] + 0.3 * generator.normal(size=500)
        a, b = (gaussian_log_density(y, z[i], scale=math.sqrt(2.09)) for i in (0, 1))
        rejected["lineage"] += vuong(a, b, lineage).p_value < 0.05
        rejected["row"] += vuong(a, b, np.arange(500)).p_value < 0.05
    assert 0.03 < rejected["lineage"] / 1_000 < 0.08
    assert rejected["row"] / 1_000 > 0.4


@pytest.mark.parametrize("seed", range(5))
def test_vuong_prefers_the_scale_on_which_the_residuals_are_gaussian(seed: int) -> None:
    """Same medians, log-normal and normal noise: only with the Jacobian does the right one win."""
    generator, lineage = rng(seed), np.repeat(np.arange(60), 5)
    median = np.exp(generator.uniform(3, 5, size=60))[lineage]
    log_normal = np.expm1(np.log1p(median) + 0.5 * generator.normal(size=300))
    normal = median + 5.0 * generator.normal(size=300)
    for remaining, sign in ((log_normal, 1), (normal, -1)):
        log_residual = np.log1p(remaining) - np.log1p(median)
        on_log = gaussian_log_density(
            log_residual,
            np.zeros(300),
            scale=np.sqrt(np.mean(log_residual**2)),
            log_jacobian=LOG_JACOBIANS["log"](remaining),
        )
        spread = np.sqrt(np.mean((remaining - median) ** 2))
        in_epochs = gaussian_log_density(remaining, median, scale=spread)
        test = vuong(on_log, in_epochs, lineage)
        assert sign * test.statistic > 0
        assert test.p_value < 0.01
