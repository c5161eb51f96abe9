"""What an epoch row keeps of a parameter vector, and the buffers that rows wait in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from epochs_left.dynamics.sketch import sketch_hashes
from epochs_left.schema import (
    MAX_SCALAR_PARAMS,
    MAX_STORED_PARAMS,
    SKETCH_SIZE,
    TENSOR_STATISTICS,
    epochs_schema,
)
from epochs_left.simulation.recording import LaneRows, VectorColumns
from epochs_left.workloads import Tensor

CPU = torch.device("cpu")
NARROW = (Tensor(name="w", shape=(10, 4), kind="weight"), Tensor(name="b", shape=(4,), kind="bias"))
WIDE = (
    Tensor(name="layer1.weight", shape=(70, 80), kind="weight"),
    Tensor(name="layer1.bias", shape=(80,), kind="bias"),
    Tensor(name="layer2.weight", shape=(80, 9), kind="weight"),
    Tensor(name="scale", shape=(1,), kind="scale"),
)
SEEDS = range(3)

Written = tuple[np.ndarray, np.ndarray]


def statistic(name: str, now: np.ndarray, start: np.ndarray, previous: np.ndarray) -> float:
    """Return what a statistic says of a tensor now, at epoch 0 and an epoch ago."""
    if name == "max_abs":
        return max(abs(x) for x in now)
    origin = {"norm": 0 * now, "distance_from_start": start, "update_norm": previous}[name]
    return sum((x - y) ** 2 for x, y in zip(now, origin, strict=True)) ** 0.5


def n_params(tensors: tuple[Tensor, ...]) -> int:
    return sum(tensor.size for tensor in tensors)


def draw(tensors: tuple[Tensor, ...], seed: int, k: int = 3) -> tuple[torch.Tensor, ...]:
    """Parameters now, at epoch 0 and an epoch ago, ``(k, n_params)`` each."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, k, n_params(tensors))).astype(np.float32)
    return tuple(torch.from_numpy(values))


@pytest.mark.parametrize("seed", SEEDS)
def test_parameters_of_a_small_model_are_stored_as_they_are(seed: int) -> None:
    now, start, previous = draw(NARROW, seed)
    columns = VectorColumns(NARROW, CPU).of(now, start, previous)
    assert list(columns) == ["params"]
    assert columns["params"].tobytes() == now.numpy().tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_statistics_of_a_wide_model_equal_a_plain_loop(seed: int) -> None:
    vectors = draw(WIDE, seed)
    found = VectorColumns(WIDE, CPU).of(*vectors)["tensor_statistics"]
    ends = np.cumsum([tensor.size for tensor in WIDE])
    for lane in range(len(found)):
        expected = []
        for end, tensor in zip(ends, WIDE, strict=True):
            parts = [vector[lane, end - tensor.size : end].double().numpy() for vector in vectors]
            expected += [statistic(name, *parts) for name in TENSOR_STATISTICS]
        np.testing.assert_allclose(found[lane], expected, rtol=1e-5)


def test_norms_of_large_parameters_do_not_overflow() -> None:
    """Their squares do, in float32."""
    vectors = tuple(1e25 * vector for vector in draw(WIDE, 0))
    small, large = (VectorColumns(WIDE, CPU).of(*each) for each in (draw(WIDE, 0), vectors))
    np.testing.assert_allclose(
        large["tensor_statistics"], 1e25 * small["tensor_statistics"].astype(float), rtol=1e-5
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_sketch_of_a_wide_model_sums_signed_parameters_by_bucket(seed: int) -> None:
    now, start, previous = draw(WIDE, seed)
    found = VectorColumns(WIDE, CPU).of(now, start, previous)["sketch"]
    buckets, signs = sketch_hashes(n_params(WIDE), SKETCH_SIZE)
    for vector, sketch in zip(now.tolist(), found, strict=True):
        expected = [0.0] * SKETCH_SIZE
        for bucket, sign, value in zip(buckets, signs, vector, strict=True):
            expected[bucket] += sign * value
        np.testing.assert_allclose(sketch, expected, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_between_epochs_follow_from_the_sketches(seed: int) -> None:
    """The sketch is linear, and its error is bounded by its variance: 2 |x|^4 / size."""
    now, start, previous = draw(WIDE, seed, k=40)
    vectors = VectorColumns(WIDE, CPU)
    sketches = [vectors.of(each, start, previous)["sketch"] for each in (now, start)]
    found = np.square(sketches[0] - sketches[1]).sum(1)
    ratio = found / np.square((now - start).numpy()).sum(1)
    deviation = (2 / SKETCH_SIZE) ** 0.5
    assert abs(ratio.mean() - 1) < 4 * deviation / len(ratio) ** 0.5
    assert abs(ratio - 1).max() < 5 * deviation


@pytest.mark.parametrize("tensors", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_lane_has_the_same_bytes_among_any_neighbours(
    tensors: tuple[Tensor, ...], k: int
) -> None:
    vectors = draw(tensors, 0, k=7)
    vectors[0][6] = torch.nan
    columns = VectorColumns(tensors, CPU)
    whole, part = columns.of(*vectors), columns.of(*(vector[:k] for vector in vectors))
    for name, values in part.items():
        assert whole[name][:k].tobytes() == values.tobytes()


@pytest.mark.parametrize("tensors", [NARROW, WIDE], ids=["narrow", "wide"])
def test_columns_have_the_widths_of_the_schema(tensors: tuple[Tensor, ...]) -> None:
    columns = VectorColumns(tensors, CPU)
    schema = epochs_schema(columns.n_params, n_tensors=len(tensors))
    assert columns.n_params == n_params(tensors)
    found = {name: values.shape[1] for name, values in columns.of(*draw(tensors, 0)).items()}
    assert found == columns.widths
    assert found == {
        name: schema.field(name).type.list_size for name in schema.names[-len(found) :]
    }


@pytest.mark.parametrize(
    ("size", "wide"), [(MAX_STORED_PARAMS, False), (MAX_STORED_PARAMS + 1, True)]
)
def test_a_model_is_wide_above_the_limit(size: int, wide: bool) -> None:
    assert VectorColumns((Tensor(name="w", shape=(size,), kind="weight"),), CPU).wide == wide


def test_models_with_scalar_columns_are_refused() -> None:
    tensors = (Tensor(name="w", shape=(MAX_SCALAR_PARAMS,), kind="weight"),)
    with pytest.raises(ValueError, match="more than 32 parameters"):
        VectorColumns(tensors, CPU)


def draw_rows(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Measures ``(n_rows, 2)`` and vectors ``(n_rows, 3)`` of a run."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, 2)), rng.normal(size=(n_rows, 3))


def write(rows: LaneRows, slots: list[int], epochs: list[int], written: list[Written]) -> None:
    """Write the rows that these runs have reached in their lanes."""
    measures = np.stack([run[0][epoch] for run, epoch in zip(written, epochs, strict=True)], 1)
    vectors = np.stack([run[1][epoch] for run, epoch in zip(written, epochs, strict=True)])
    rows.write(np.array(slots), np.array(epochs), measures, {"params": vectors})


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_come_back_as_they_were_written(seed: int) -> None:
    """Lanes are at different epochs, and in any order."""
    rows = LaneRows(["loss", "lr"], {"params": 3}, lanes=4, max_epochs=9)
    runs = [draw_rows(10 - slot, seed + slot) for slot in range(4)]
    rng = np.random.default_rng(seed)
    for step in range(10):
        slots = rng.permutation([slot for slot in range(4) if step < 10 - slot]).tolist()
        epochs = [step if slot % 2 else 9 - slot - step for slot in slots]
        write(rows, slots, epochs, [runs[slot] for slot in slots])
    for slot, (measures, vectors) in enumerate(runs):
        found = rows.take(slot, 10 - slot)
        np.testing.assert_array_equal(found["loss"], measures[:, 0].astype(np.float32))
        np.testing.assert_array_equal(found["lr"], measures[:, 1].astype(np.float32))
        np.testing.assert_array_equal(found["params"], vectors.astype(np.float32))


def test_a_taken_run_survives_the_next_one_in_its_lane() -> None:
    rows = LaneRows(["loss", "lr"], {"params": 3}, lanes=2, max_epochs=9)
    first, second = draw_rows(5, seed=1), draw_rows(9, seed=2)
    for epoch in range(5):
        write(rows, [0], [epoch], [first])
    taken = rows.take(0, 5)
    for epoch in range(9):
        write(rows, [0], [epoch], [second])
    np.testing.assert_array_equal(taken["loss"], first[0][:, 0].astype(np.float32))
    np.testing.assert_array_equal(taken["params"], first[1].astype(np.float32))


def test_measures_beyond_float32_are_infinite() -> None:
    """Silently: the row of a run that has diverged."""
    rows = LaneRows(["loss", "lr"], {"params": 3}, lanes=1, max_epochs=1)
    write(rows, [0], [0], [(np.array([[1e300, np.nan]]), np.zeros((1, 3)))])
    taken = rows.take(0, 1)
    assert np.isposinf(taken["loss"][0])
    assert np.isnan(taken["lr"][0])
