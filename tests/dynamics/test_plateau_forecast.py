"""Laws of the plateau forecast, and its agreement with one fit at a time by least squares."""

import numpy as np
import pytest

from epochs_left.dynamics import plateau_forecast as module
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.extrapolation import mean_since
from epochs_left.dynamics.plateau_forecast import (
    DECAYS,
    POWER_LAWS,
    Basis,
    Fit,
    PlateauForecast,
    plateau_forecast,
    plateau_forecasts,
)
from epochs_left.dynamics.targets import plateau_epoch

HORIZON = 200
EPOCHS = np.arange(HORIZON + 1, dtype=float)
SHARE = 0.02


def forecast(
    curve: np.ndarray, bases: tuple[Basis, ...], *, seen: int, share: float = 0.5
) -> PlateauForecast:
    return plateau_forecast(
        curve[None, : seen + 1],
        np.array([[SHARE]]),
        EPOCHS[None, : seen + 1],
        np.array([[float(HORIZON)]]),
        share=share,
        bases=bases,
    )


def by_least_squares(curve: np.ndarray, bases: tuple[Basis, ...], seen: int, share: float) -> float:
    """The same for one prefix, by `numpy.linalg.lstsq` and a search along the horizon."""
    first = int(np.floor(seen * share))
    t, y = EPOCHS[first : seen + 1], curve[first : seen + 1]
    best, begins = np.inf, float(seen)
    for basis in bases:
        design = np.stack([np.ones_like(t), basis.at(t)], axis=1)
        floor, slope = np.linalg.lstsq(design, y, rcond=None)[0]
        error = np.square(design @ [floor, slope] - y).mean()
        if slope <= 0 or error >= best:
            continue
        fine = np.linspace(seen, HORIZON, 200_001)
        fitted = floor + slope * basis.at(fine)
        level = max(fitted[-1], 0.0)
        inside = fitted <= level + SHARE * (curve[0] - level)
        best, begins = error, float(fine[inside][0]) if inside.any() else float(HORIZON)
    return begins


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bases", [POWER_LAWS, DECAYS], ids=["power laws", "decays"])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_every_prefix_gets_the_least_squares_forecast(
    seed: int, bases: tuple[Basis, ...], share: float
) -> None:
    rng = np.random.default_rng(seed)
    curve = 0.3 + 2 * (EPOCHS / rng.uniform(2, 20) + 1) ** -rng.uniform(0.3, 1.5)
    curve *= np.exp(0.01 * rng.standard_normal(curve.size))
    found = forecast(curve, bases, seen=120, share=share).begins[0]
    for seen in (8, 30, 119):
        expected = by_least_squares(curve, bases, seen, share)
        assert found[seen] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("basis", POWER_LAWS + DECAYS)
def test_a_curve_of_the_basis_itself_is_forecast_exactly(basis: Basis) -> None:
    curve = 0.4 + 3 * basis.at(EPOCHS)
    found = forecast(curve, (basis,), seen=30)
    level = curve[-1]
    width = SHARE * (curve[0] - level)
    expected = EPOCHS[curve <= level + width][0]
    at = found.begins[0, 6]
    assert expected - 1 <= max(at, 6.0) <= expected or expected <= 6
    assert found.misfit[0, 6] < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_the_forecast_is_near_the_plateau_of_the_finished_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curve = 0.2 + 2 * (EPOCHS / 5 + 1) ** -1.0 * np.exp(0.002 * rng.standard_normal(EPOCHS.size))
    truth = plateau_epoch(curve, SHARE)
    assert truth is not None
    assert forecast(curve, POWER_LAWS, seen=100).begins[0, 100] == pytest.approx(truth, rel=0.15)


def test_a_forecast_does_not_mind_the_unit_of_the_loss() -> None:
    curve = 0.3 + (EPOCHS + 1) ** -0.7
    one, other = (forecast(unit * curve, POWER_LAWS, seen=50) for unit in (1.0, 1e-6))
    # Two or three points lie on a curve of every basis: rounding chooses among them.
    np.testing.assert_allclose(one.begins[:, 8:], other.begins[:, 8:], rtol=1e-6)


@pytest.mark.parametrize("bases", [POWER_LAWS, DECAYS], ids=["power laws", "decays"])
def test_a_curve_that_does_not_fall_is_on_its_plateau(bases: tuple[Basis, ...]) -> None:
    for curve in (np.ones_like(EPOCHS), 1 + EPOCHS):
        found = forecast(curve, bases, seen=40).begins[0]
        np.testing.assert_array_equal(found, EPOCHS[:41])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_curve_that_blows_up_gets_a_time_within_the_horizon(bad: float) -> None:
    curve = np.where(EPOCHS > 20, bad, 1.0 / (EPOCHS + 1))
    found = forecast(curve, POWER_LAWS, seen=40)
    assert np.all((found.begins >= EPOCHS[:41]) & (found.begins <= HORIZON))
    assert np.isfinite(found.misfit).all()


def test_the_same_curve_on_a_stretched_clock_keeps_its_place() -> None:
    """A schedule that halves the learning rate doubles the epochs, not the time on the clock."""
    curve = 0.3 + 2 * (EPOCHS + 1) ** -0.5
    slow = plateau_forecast(
        np.repeat(curve, 2)[None, ::2],
        np.array([[SHARE]]),
        EPOCHS[None],
        np.array([[float(HORIZON)]]),
        share=0.5,
        bases=POWER_LAWS,
    )
    np.testing.assert_allclose(
        slow.begins, forecast(curve, POWER_LAWS, seen=HORIZON).begins, rtol=1e-9
    )


FITS = (Fit(bases=POWER_LAWS, shares=(0.25, 0.5)), Fit(bases=DECAYS, shares=(0.5,)))
Curves = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw(seed: int, n_runs: int = 7, n_columns: int = 60) -> Curves:
    """Losses, shares, clocks and their ends: noisy and smooth curves, some of which blow up."""
    rng = np.random.default_rng(seed)
    shape = (n_runs, n_columns)
    clock = np.cumsum(rng.uniform(0, 2, shape), axis=1)
    loss = rng.choice([0, 0.3], (n_runs, 1)) + (clock + 1) ** -rng.uniform(-0.1, 2, (n_runs, 1))
    loss *= np.exp(rng.choice([0, 0.01, 1], (n_runs, 1)) * rng.standard_normal(shape))
    loss[rng.random(shape) < 0.01] = rng.choice([np.nan, np.inf, 0, 1e300])
    clock[0, -5:] = np.nan  # padding
    end = np.nanmax(clock, axis=1, keepdims=True) + rng.uniform(0, 300, (n_runs, 1))
    return loss, rng.uniform(0.003, 0.3, (n_runs, 1)), clock, end


def basis_by_basis(curves: Curves, bases: tuple[Basis, ...], share: float) -> PlateauForecast:
    """The same with every mean taken anew: the bits that models were trained on."""
    loss, plateau, clock, end = curves
    relative, known = np.exp(safe_log(loss) - safe_log(loss[:, :1])), np.nan_to_num(clock)
    mean_y = mean_since(relative, share)
    around = mean_since(np.square(relative), share) - np.square(mean_y)
    begins, least, lowest = known, np.maximum(around, 0), mean_y
    for basis in bases:
        x = basis.at(known)
        mean_x = mean_since(x, share)
        variance = mean_since(np.square(x), share) - np.square(mean_x)
        covariance = mean_since(x * relative, share) - mean_x * mean_y
        falls = (covariance > 0) & (variance > 1e-10 * np.square(mean_x))
        slope = np.where(falls, covariance / variance, 0)
        misfit = around - slope * covariance
        level = np.maximum(mean_y + slope * (basis.at(end) - mean_x), 0)
        value = mean_x + (level + plateau * np.maximum(1 - level, 0) - mean_y) / slope
        found = np.clip(basis.inverse(value), known, np.maximum(end, known))
        better = falls & (misfit < least) & ~np.isnan(found)
        begins, lowest = np.where(better, found, begins), np.where(better, level, lowest)
        least = np.where(better, np.maximum(misfit, 0), least)
    width = plateau * np.maximum(1 - lowest, 1e-12)
    return PlateauForecast(begins=begins, misfit=np.sqrt(least) / width)


def assert_same_bits(found: PlateauForecast, expected: PlateauForecast, since: int = 0) -> None:
    np.testing.assert_array_equal(found.begins, expected.begins[:, since:])
    np.testing.assert_array_equal(found.misfit, expected.misfit[:, since:])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cells", [1, 150, 100_000])
def test_forecasts_are_those_of_one_basis_after_another_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch, seed: int, cells: int
) -> None:
    """However many runs and bases are worked on at once."""
    monkeypatch.setattr(module, "_BATCH_CELLS", cells)
    curves = draw(seed)
    found = plateau_forecasts(*curves, FITS)
    asked = [(fit.bases, share) for fit in FITS for share in fit.shares]
    for forecast_, (bases, share) in zip(found, asked, strict=True):
        with np.errstate(all="ignore"):
            assert_same_bits(forecast_, basis_by_basis(curves, bases, share))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("since", [1, 30, 59])
@pytest.mark.parametrize("of_columns", [False, True])
def test_columns_that_are_left_out_change_no_bit_of_the_others(
    seed: int, since: int, of_columns: bool
) -> None:
    loss, plateau, clock, end = draw(seed)
    whole = plateau_forecasts(loss, plateau, clock, end, FITS)
    if of_columns:
        plateau, end = (np.repeat(values, 60 - since, axis=1) for values in (plateau, end))
    late = plateau_forecasts(loss, plateau, clock, end, FITS, since=since)
    for found, expected in zip(late, whole, strict=True):
        assert_same_bits(found, expected, since)


@pytest.mark.parametrize("seed", range(4))
def test_an_end_of_each_column_is_that_of_its_own_forecast(seed: int) -> None:
    loss, plateau, clock, end = draw(seed)
    ends = end + np.arange(loss.shape[1])
    (found, *_) = plateau_forecasts(loss, plateau, clock, ends, FITS)
    for column in (5, 30, 59):
        (alone, *_) = plateau_forecasts(loss, plateau, clock, end + column, FITS)
        np.testing.assert_array_equal(found.begins[:, column], alone.begins[:, column])
