"""What the sweeps share: points, choices, ranges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.workloads._sweep import (
    check_limits,
    check_weights,
    choose,
    lineage_points,
    log_uniform,
    momentum_at,
    sobol,
)

SEEDS = range(4)
BELOW_ONE = np.nextafter(1.0, 0.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 31, 32, 33, 100])
def test_more_points_never_change_earlier_ones(seed: int, n: int) -> None:
    few, many = sobol(n, 3, seed, stream=0), sobol(1_000, 3, seed, stream=0)
    assert few.shape == (n, 3)
    np.testing.assert_array_equal(few, many[:n])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("power", [3, 6, 9])
def test_each_coordinate_of_a_power_of_two_is_stratified(seed: int, power: int) -> None:
    """The property of a Sobol sequence that random points lack: one point in each stratum."""
    points = sobol(2**power, 7, seed, stream=5)
    strata = np.sort((points * 2**power).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.arange(2**power)[:, None].repeat(7, axis=1))


@pytest.mark.parametrize("seed", SEEDS)
def test_points_lie_in_the_half_open_unit_cube(seed: int) -> None:
    points = sobol(5_000, 4, seed, stream=1)
    assert points.min() >= 0
    assert points.max() < 1


def test_streams_and_seeds_have_points_of_their_own() -> None:
    sequences = [sobol(64, 2, seed, stream=stream) for seed in SEEDS for stream in range(4)]
    assert len({points[:3].tobytes() for points in sequences}) == len(sequences)


@pytest.mark.parametrize("per_lineage", [1, 3, 4])
@pytest.mark.parametrize("n", [1, 4, 6, 50])
def test_more_runs_never_change_the_points_of_earlier_ones(n: int, per_lineage: int) -> None:
    n_lineages = -(-n // per_lineage)
    few = lineage_points(n, per_lineage, (2, 3), 0, stream=0)
    many = lineage_points(400, per_lineage, (2, 3), 0, stream=0)
    for part, whole, shape in zip(few, many, [(n_lineages, 2), (n, 3)], strict=True):
        assert part.shape == shape
        np.testing.assert_array_equal(part, whole[: len(part)])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_lineage", [1, 2, 4])
def test_points_of_lineages_and_runs_are_balanced_together(seed: int, per_lineage: int) -> None:
    """Each pair of coordinates fills the square: no band of one goes with a band of the other."""
    lineages, runs = lineage_points(4096, per_lineage, (2, 3), seed, stream=0)
    of_run = lineages.repeat(per_lineage, axis=0)
    for one, other in itertools.product(of_run.T, runs.T):
        counts, _, _ = np.histogram2d(one, other, bins=[4, 16], range=[[0, 1], [0, 1]])
        assert counts.min() > 0.8 * 64
        assert counts.max() < 1.2 * 64


@pytest.mark.parametrize(
    ("point", "name"),
    [(0.0, "b"), (0.2499, "b"), (0.25, "d"), (0.7499, "d"), (0.75, "e"), (BELOW_ONE, "e")],
)
def test_a_choice_has_its_share_of_the_unit_interval(point: float, name: str) -> None:
    assert choose({"a": 0.0, "b": 1.0, "c": 0.0, "d": 2.0, "e": 1.0, "f": 0.0}, point) == name


@given(
    weights=st.lists(st.floats(0, 100), min_size=1, max_size=8).filter(lambda w: sum(w) > 0),
    point=st.floats(0, BELOW_ONE),
)
def test_no_name_without_weight_is_ever_chosen(weights: list[float], point: float) -> None:
    names = {str(i): weight for i, weight in enumerate(weights)}
    assert names[choose(names, point)] > 0


@pytest.mark.parametrize("limits", [(1e-3, 10.0), (3e-5, 0.3), (0.5, 0.98)])
def test_a_log_uniform_range_has_its_edges_and_its_middle(limits: tuple[float, float]) -> None:
    low, high = limits
    assert log_uniform(0.0, limits) == low
    assert log_uniform(0.5, limits) == pytest.approx((low * high) ** 0.5)
    assert log_uniform(BELOW_ONE, limits) == pytest.approx(high)
    points = np.linspace(0, BELOW_ONE, 300)
    values = np.array([log_uniform(point, limits) for point in points])
    assert np.ptp(np.diff(np.log(values))) < 1e-9
    assert np.all((values >= low) & (values <= high * (1 + 1e-12)))


@pytest.mark.parametrize("limits", [(0.5, 0.99), (0.5, 0.98), (0.9, 0.999)])
def test_momentum_has_time_scales_that_are_log_uniform(limits: tuple[float, float]) -> None:
    points = np.linspace(0, BELOW_ONE, 300)
    momenta = np.array([momentum_at(point, limits) for point in points])
    assert sorted([momenta[0], momenta[-1]]) == pytest.approx(list(limits))
    assert np.ptp(np.diff(np.log(1 / (1 - momenta)))) < 1e-9


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"red": 1.0, "gren": 1.0}, r"unknown names \['gren'\] in colours; known: \['green', 're"),
        ({"red": -1.0, "green": 2.0}, "weights of colours must be 0 or more"),
        ({"red": 0.0}, "weights of colours must be 0 or more and not all 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights("colours", weights, ["red", "green"])
    check_weights("colours", {"red": 0.0, "green": 0.5}, ["red", "green"])


@pytest.mark.parametrize(
    "limits", [(), (0.1,), (0.1, 0.2, 0.3), (0.2, 0.1), (0.1, 0.1), (0.0, 1.0)]
)
def test_ranges_that_make_no_sense_are_refused(limits: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"lr must be .low, high. with 0 < low < high"):
        check_limits("lr", limits)
    check_limits("lr", (0.1, 0.2))
