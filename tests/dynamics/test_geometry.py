"""Trajectory geometry: the reference against one vector at a time, the kernels against it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics import geometry, geometry_kernels
from epochs_left.dynamics.distances import (
    block_means,
    chebyshev_distance,
    cosine_distance,
    l1_distance,
    l2_distance,
)
from epochs_left.dynamics.geometry import GEOMETRY, SKETCHED, sketch_geometry
from epochs_left.dynamics.sketch import sketch_hashes

Entries = dict[str, np.ndarray]
IMPLEMENTATIONS: dict[str, Callable[..., Entries]] = {
    "reference": geometry.trajectory_geometry,
    "kernels": geometry_kernels.trajectory_geometry,
}
SEEDS = range(3)
WIDTHS = (3, 17, 200, 4522)
LENGTHS = np.array([1, 2, 3, 60, 2, 5])
N_BLOCKS = 5
CAUSAL = {name for name in GEOMETRY if "final" not in name} - {
    "homing_cosine",
    "block_mean",
    "block_difference",
    "block_distance",
}
DISTANCES = {
    "l1": l1_distance,
    "l2": l2_distance,
    "chebyshev": chebyshev_distance,
    "cosine": cosine_distance,
}

both = pytest.mark.parametrize("measure", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
over_seeds = pytest.mark.parametrize("seed", SEEDS)


def descent(seed: int, width: int, lengths: np.ndarray = LENGTHS) -> np.ndarray:
    """Float32 rows of runs whose updates shrink from half a parameter to its last digits."""
    rng = np.random.default_rng(seed)
    runs = []
    for length in lengths:
        sizes = 0.5 * 0.8 ** np.arange(length)
        steps = rng.standard_normal((length, width)) * sizes[:, None]
        runs.append(rng.standard_normal(width) + steps.cumsum(axis=0))
    return np.concatenate(runs).astype(np.float32)


def arguments(params: np.ndarray, lengths: np.ndarray = LENGTHS) -> dict[str, object]:
    """The other arguments: end points a little beyond the last epoch, block 3 of 5 empty."""
    rng = np.random.default_rng(params.shape[1])
    final = params[np.cumsum(lengths) - 1]
    final = final + 1e-3 * rng.standard_normal(final.shape).astype(np.float32)
    blocks = np.sort(rng.choice([0, 1, 2, 4], params.shape[1]))
    return {"lengths": lengths, "final": final, "block_of_param": blocks, "n_blocks": N_BLOCKS}


def assert_same(actual: Entries, expected: Entries, rtol: float = 0.0, atol: float = 0.0) -> None:
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, rtol, atol, err_msg=name)


def cosine(u: np.ndarray, v: np.ndarray) -> float:
    length = float(np.linalg.norm(u) * np.linalg.norm(v))
    return float(u @ v) / length if length else 0.0


def one_epoch(run: np.ndarray, t: int, final: np.ndarray, blocks: np.ndarray) -> Entries:
    """All entries of one epoch from their definitions."""
    theta = run[t]
    update = theta - run[t - 1] if t >= 1 else np.zeros_like(theta)
    last = run[t - 1] - run[t - 2] if t >= 2 else np.zeros_like(theta)
    entries = {f"{name}_from_start": d(theta, run[0]) for name, d in DISTANCES.items()}
    entries |= {f"{name}_to_final": d(theta, final) for name, d in DISTANCES.items()}
    entries |= {
        "param_norm": np.linalg.norm(theta),
        "update_l2": np.linalg.norm(update),
        "turning_cosine": cosine(update, last),
        "acceleration": np.linalg.norm(update - last) if t >= 2 else 0.0,
        "outward_cosine": cosine(update, theta - run[0]),
        "homing_cosine": cosine(update, final - theta),
        "block_mean": block_means(theta, blocks, N_BLOCKS),
        "block_difference": block_means(theta - final, blocks, N_BLOCKS),
        "block_distance": block_means(np.abs(theta - final), blocks, N_BLOCKS),
    }
    return entries


@pytest.mark.parametrize("width", WIDTHS)
@over_seeds
def test_reference_equals_the_definitions_one_vector_at_a_time(seed: int, width: int) -> None:
    params = descent(seed, width)
    given = arguments(params)
    runs = np.split(params.astype(np.float64), np.cumsum(LENGTHS)[:-1])
    final = np.asarray(given["final"], dtype=np.float64)
    blocks = given["block_of_param"]
    rows = [
        one_epoch(run, t, end, blocks)
        for run, end in zip(runs, final, strict=True)
        for t in range(len(run))
    ]
    expected = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    expected["final_block_mean"] = block_means(final, blocks, N_BLOCKS)
    actual = geometry.trajectory_geometry(params, **given)
    assert actual.keys() == GEOMETRY.keys()
    assert_same(actual, expected, rtol=1e-9, atol=2e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", WIDTHS)
@over_seeds
def test_kernels_equal_the_reference(seed: int, width: int, dtype: type) -> None:
    """1e-12 of the value; quantities of mixed sign and 1 - cos also 1e-15 of their terms."""
    params = descent(seed, width).astype(dtype)
    given = arguments(params)
    expected = geometry.trajectory_geometry(params, **given)
    actual = geometry_kernels.trajectory_geometry(params, **given)
    assert_same(actual, expected, rtol=1e-12, atol=2e-15)


@both
def test_without_an_end_point_the_causal_entries_are_the_same_bits(
    measure: Callable[..., Entries],
) -> None:
    params = descent(0, 200)
    given = arguments(params)
    everything = measure(params, **given)
    causal = measure(params, **{**given, "final": None})
    assert causal.keys() == CAUSAL
    assert_same(causal, {name: everything[name] for name in CAUSAL})


@both
@pytest.mark.parametrize("width", WIDTHS)
@over_seeds
def test_a_prefix_gives_the_same_bits(
    measure: Callable[..., Entries], width: int, seed: int
) -> None:
    params = descent(seed, width)
    given = arguments(params)
    shorter = np.random.default_rng(seed).integers(1, LENGTHS + 1)
    kept = np.concatenate([np.arange(n) < m for n, m in zip(LENGTHS, shorter, strict=True)])
    whole = measure(params, **given)
    ends = whole.pop("final_block_mean")
    prefix = measure(params[kept], **{**given, "lengths": shorter})
    np.testing.assert_array_equal(prefix.pop("final_block_mean"), ends)
    assert_same(prefix, {name: values[kept] for name, values in whole.items()})


@both
@over_seeds
def test_the_order_of_runs_changes_nothing(measure: Callable[..., Entries], seed: int) -> None:
    params = descent(seed, 200)
    given = arguments(params)
    order = np.random.default_rng(seed).permutation(LENGTHS.size)
    rows = np.split(np.arange(len(params)), np.cumsum(LENGTHS)[:-1])
    moved = np.concatenate([rows[run] for run in order])
    expected = measure(params, **given)
    actual = measure(
        params[moved], **{**given, "lengths": LENGTHS[order], "final": given["final"][order]}
    )
    np.testing.assert_array_equal(
        actual.pop("final_block_mean"), expected.pop("final_block_mean")[order]
    )
    assert_same(actual, {name: values[moved] for name, values in expected.items()})


@both
def test_zero_vectors_have_no_direction(measure: Callable[..., Entries]) -> None:
    given = {"block_of_param": np.zeros(20, dtype=int), "n_blocks": 1}
    zeros = np.zeros((4, 20), dtype=np.float32)
    entries = measure(zeros, np.array([4]), final=zeros[:1], **given)
    for name, values in entries.items():
        is_distance = name in {"cosine_from_start", "cosine_to_final"}
        np.testing.assert_array_equal(values, 1.0 if is_distance else 0.0, err_msg=name)


@both
def test_a_straight_line_does_not_turn(measure: Callable[..., Entries]) -> None:
    """Steps of (3, 4) from the origin, that aim at an end point straight ahead."""
    params = np.arange(6.0)[:, None] * np.array([3.0, 4.0])
    given = {"block_of_param": np.zeros(2, dtype=int), "n_blocks": 1}
    entries = measure(params, np.array([6]), final=2 * params[-1:], **given)
    np.testing.assert_allclose(entries["turning_cosine"], [0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(entries["outward_cosine"], [0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(entries["homing_cosine"], [0, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(entries["update_l2"], [0, 5, 5, 5, 5, 5])
    np.testing.assert_array_equal(entries["acceleration"], 0.0)
    np.testing.assert_array_equal(entries["l1_from_start"], 7 * np.arange(6))


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("width", [3, 200])
def test_bad_parameters_spoil_the_rows_that_read_them_and_no_other(
    measure: Callable[..., Entries], bad: float, width: int
) -> None:
    params = descent(0, width)
    given = arguments(params)
    clean = measure(params, **given)
    row = 6 + 30  # epoch 30 of the run of 60
    params[row, width // 2] = bad
    spoilt = measure(params, **given)
    spoilt_names = set(GEOMETRY) - {"block_mean", "block_difference", "block_distance"}
    for name in spoilt_names - {"final_block_mean"}:
        assert not np.isfinite(spoilt[name][row]), name
    reach = {"turning_cosine": 3, "acceleration": 3, "update_l2": 2}
    reach |= {"outward_cosine": 2, "homing_cosine": 2}
    for name, values in clean.items():
        untouched = np.ones(len(values), dtype=bool)
        if name != "final_block_mean":
            untouched[row : row + reach.get(name, 1)] = False
        np.testing.assert_array_equal(spoilt[name][untouched], values[untouched], err_msg=name)
    for name in ("block_mean", "block_difference", "block_distance"):
        assert np.count_nonzero(~np.isfinite(spoilt[name])) == 1


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_end_point_spoils_the_oracle_entries_of_its_run_alone(
    measure: Callable[..., Entries], bad: float
) -> None:
    params = descent(0, 200)
    given = arguments(params)
    clean = measure(params, **given)
    given["final"][3, :2] = bad, -bad
    spoilt = measure(params, **given)
    run = np.arange(6, 66)
    np.testing.assert_array_equal(spoilt["block_mean"], clean["block_mean"])
    for name in set(clean) - {"block_mean"}:
        rows = np.array([3]) if name == "final_block_mean" else run
        if name not in CAUSAL:
            hit = ~np.isfinite(spoilt[name][rows]).reshape(len(rows), -1)
            assert hit.sum(axis=1)[1:].tolist() == [1] * (len(rows) - 1), name
        others = np.delete(np.arange(len(clean[name])), [] if name in CAUSAL else rows)
        np.testing.assert_array_equal(spoilt[name][others], clean[name][others], err_msg=name)


@both
def test_squares_beyond_float32_stay_finite(measure: Callable[..., Entries]) -> None:
    params = descent(0, 17)
    given = arguments(params)
    huge = {**given, "final": given["final"] * np.float32(2.0**100)}
    expected = measure(params, **given)
    for name, values in measure(params * np.float32(2.0**100), **huge).items():
        scale = 1.0 if "cosine" in name else 2.0**100
        np.testing.assert_allclose(values, expected[name] * scale, 1e-12, err_msg=name)


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": LENGTHS[1:]}, "sum to 73"),
        ({"lengths": np.append(LENGTHS, 0)}, "must be positive"),
        ({"final": np.zeros((2, 17))}, r"final must be \(6, 17\)"),
        ({"block_of_param": np.zeros(16, dtype=int)}, "16 > 0 columns"),
        ({"block_of_param": np.arange(17)[::-1]}, "ascend"),
        ({"n_blocks": 2}, "below 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    measure: Callable[..., Entries], change: dict[str, object], message: str
) -> None:
    params = descent(0, 17)
    with pytest.raises(ValueError, match=message):
        measure(params, **{**arguments(params), **change})


def test_sketches_estimate_what_inner_products_determine() -> None:
    """Squared lengths without bias; spreads as the docstring states them, at size 256."""
    size, width = 256, 4522
    lengths = np.full(200, 6)
    params = descent(0, width, lengths)
    given = arguments(params, lengths)
    buckets, signs = sketch_hashes(width, size)
    order = np.argsort(buckets, kind="stable")
    starts = np.searchsorted(buckets[order], np.arange(size))
    sketch, final = (
        np.add.reduceat((rows * signs)[:, order], starts, axis=1)
        for rows in (params, given["final"])
    )
    exact = geometry_kernels.trajectory_geometry(params, **given)
    estimate = sketch_geometry(sketch, lengths, final)
    assert list(estimate) == list(SKETCHED)
    assert sketch_geometry(sketch, lengths).keys() == CAUSAL & set(SKETCHED)
    moved = (np.arange(len(params)) % 6) >= 2
    for name in ("l2_from_start", "l2_to_final", "update_l2", "acceleration", "param_norm"):
        ratio = np.square(estimate[name][moved] / exact[name][moved])
        assert ratio.mean() == pytest.approx(1, abs=0.02)
        assert np.sqrt(ratio).std() == pytest.approx((2 * size) ** -0.5, rel=0.15)
    for name in ("turning_cosine", "outward_cosine", "homing_cosine"):
        free = 1 - np.square(exact[name][moved])
        error = (estimate[name] - exact[name])[moved] / free
        assert error.std() == pytest.approx(size**-0.5, rel=0.15), name
    for name in ("cosine_from_start", "cosine_to_final"):
        distance = exact[name][moved]
        error = (estimate[name] - exact[name])[moved] / (distance * (2 - distance))
        assert error.std() == pytest.approx(size**-0.5, rel=0.15), name
