"""Tasks from data sets and generated ones: split, scaling, labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import make_moons

from epochs_left.storage.datasets.dataset import Dataset, dataset_of
from epochs_left.workloads import TaskData
from epochs_left.workloads._tasks import from_dataset, two_moons, xor_with_noise

SEEDS = range(3)
GENERATED: dict[str, Callable[[int, int], TaskData]] = {
    "xor": xor_with_noise,
    "moons": two_moons,
}


def table(n: int = 60, n_classes: int = 3, seed: int = 0) -> Dataset:
    """A table: the number of the example, its target, noise, a constant."""
    rng = np.random.default_rng(seed)
    values = rng.normal(150, 70, n)
    labels = rng.integers(0, max(n_classes, 1), n)
    targets = labels if n_classes else values.astype(np.float32)
    columns = [np.arange(n), targets, rng.normal(5, 3, n), np.full(n, 2.5)]
    inputs = np.stack(columns, axis=1).astype(np.float32)
    return dataset_of((inputs, targets), None, n_classes=n_classes)


def images(n: int = 40, channels: int = 3, *, test_split: bool = False) -> Dataset:
    rng = np.random.default_rng(1)
    spread = np.arange(1, channels + 1).reshape(1, -1, 1, 1)
    pixels = (rng.random((n, channels, 4, 5)) * spread / channels).astype(np.float32)
    labels = rng.integers(0, 10, n)
    valid = (pixels[:7] / 2, labels[:7]) if test_split else None
    return dataset_of((pixels, labels), valid, n_classes=10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_train", [20, 40, 59])
def test_training_and_validation_part_are_a_disjoint_split(seed: int, n_train: int) -> None:
    task = from_dataset(table(), n_train, seed, flat=True)
    n_valid = min(n_train // 8, 60 - n_train)
    assert len(task.inputs) == len(task.targets) == n_train
    assert len(task.valid_inputs) == len(task.valid_targets) == n_valid
    rows = np.concatenate([task.inputs, task.valid_inputs])
    assert len(np.unique(rows[:, 0])) == n_train + n_valid
    # the second feature is the target: rows and targets are still in step
    targets = np.concatenate([task.targets, task.valid_targets])
    assert len(set(zip(rows[:, 1], targets, strict=True))) == 3


@pytest.mark.parametrize("n_train", [1, 7, 8])
def test_at_least_one_example_is_held_out(n_train: int) -> None:
    assert len(from_dataset(table(), n_train, 0, flat=True).valid_inputs) == 1
    for generate in GENERATED.values():
        assert len(generate(n_train, 0).valid_inputs) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_split_is_a_function_of_the_seed(seed: int) -> None:
    once, again = (from_dataset(table(), 30, seed, flat=True) for _ in range(2))
    for name in ("inputs", "targets", "valid_inputs", "valid_targets"):
        assert getattr(once, name).tobytes() == getattr(again, name).tobytes()
    other = from_dataset(table(), 30, seed + 1, flat=True)
    assert other.inputs.tobytes() != once.inputs.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_features_are_standardised_by_the_training_part(seed: int) -> None:
    task = from_dataset(table(), 40, seed, flat=True)
    varied = task.inputs[:, :3].astype(np.float64)
    np.testing.assert_allclose(varied.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(varied.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize("n_classes", [0, 3])
def test_held_out_examples_say_nothing_of_the_training_part(n_classes: int) -> None:
    """Each example in turn is changed: what changes with it shows which part it is in."""
    data = table(n_classes=n_classes)
    task = from_dataset(data, 40, 0, flat=True)
    touched = []
    for example in range(60):
        inputs, targets = data.inputs.copy(), data.targets.copy()
        inputs[example] += 1e3
        targets[example] = (targets[example] + 1) % (n_classes or 1e9)
        changed = dataset_of((inputs, targets), None, n_classes=n_classes)
        other = from_dataset(changed, 40, 0, flat=True)
        names = ("inputs", "targets", "valid_inputs", "valid_targets")
        pairs = [(getattr(other, name), getattr(task, name)) for name in names]
        touched.append([one.tobytes() != two.tobytes() for one, two in pairs])
    in_training, label_in_training, scales_valid, label_in_valid = np.array(touched).T
    assert (in_training.sum(), (scales_valid & ~in_training).sum()) == (40, 5)
    np.testing.assert_array_equal(label_in_training, in_training)
    assert not (label_in_valid & in_training).any() or n_classes == 0
    assert (label_in_valid & ~in_training).sum() == 5


def test_a_constant_feature_is_zero() -> None:
    task = from_dataset(table(), 40, 0, flat=True)
    assert (task.inputs[:, 3] == 0).all()
    assert (task.valid_inputs[:, 3] == 0).all()


def test_images_are_standardised_channel_by_channel() -> None:
    task = from_dataset(images(), 30, 0, flat=False)
    assert task.inputs.shape == (30, 3, 4, 5)
    pixels = task.inputs.astype(np.float64)
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), 1, rtol=1e-5)
    # one scale a channel: pixels keep their own means
    assert pixels.mean(0).std() > 0.05


def test_flat_images_have_the_same_pixels() -> None:
    flat, square = (from_dataset(images(), 30, 0, flat=flat) for flat in (True, False))
    assert flat.inputs.shape == (30, 60)
    assert flat.inputs.tobytes() == square.inputs.tobytes()
    assert flat.valid_inputs.tobytes() == square.valid_inputs.tobytes()


@pytest.mark.parametrize("n_train", [25, 40])
def test_a_test_split_of_the_source_is_the_validation_part(n_train: int) -> None:
    data = images(test_split=True)
    task = from_dataset(data, n_train, 0, flat=False)
    n_valid = n_train // 8
    assert (len(task.inputs), len(task.valid_inputs)) == (n_train, n_valid)
    np.testing.assert_array_equal(task.valid_targets, data.valid_targets[:n_valid])


@pytest.mark.parametrize("n_train", [60, 61, 10_000])
def test_too_few_examples_are_refused(n_train: int) -> None:
    message = (
        rf"at least {n_train + 1:,} examples \(one to hold out\), got 60; lower train_examples"
    )
    with pytest.raises(ValueError, match=message):
        from_dataset(table(), n_train, 0, flat=True)
    from_dataset(table(), 59, 0, flat=True)


def test_a_source_with_a_test_split_holds_none_of_its_examples_out() -> None:
    assert len(from_dataset(images(test_split=True), 40, 0, flat=False).inputs) == 40
    with pytest.raises(ValueError, match="at least 41 examples, got 40; lower train_examples"):
        from_dataset(images(test_split=True), 41, 0, flat=False)


@pytest.mark.parametrize(
    ("n_classes", "loss", "n_outputs", "dtype"),
    [
        (0, "squared", 1, np.float32),
        (2, "binary", 1, np.float32),
        (3, "cross_entropy", 3, np.int64),
    ],
)
def test_the_kind_of_target_decides_the_loss(
    n_classes: int, loss: str, n_outputs: int, dtype: type
) -> None:
    task = from_dataset(table(n_classes=n_classes), 40, 0, flat=True)
    assert (task.loss, task.n_outputs) == (loss, n_outputs)
    for targets in (task.targets, task.valid_targets):
        assert targets.dtype == dtype
    for inputs in (task.inputs, task.valid_inputs):
        assert inputs.dtype == np.float32


def test_targets_of_a_regression_are_standardised_by_the_training_part() -> None:
    task = from_dataset(table(n_classes=0), 40, 0, flat=True)
    assert task.targets.shape == (40,)
    assert task.targets.mean() == pytest.approx(0, abs=1e-6)
    assert task.targets.std() == pytest.approx(1, rel=1e-5)
    # so the loss of predicting the mean is 1


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_tasks_are_functions_of_the_seed(name: str, seed: int) -> None:
    once, again, other = (GENERATED[name](64, s) for s in (seed, seed, seed + 1))
    for part in ("inputs", "targets", "valid_inputs", "valid_targets"):
        assert getattr(once, part).tobytes() == getattr(again, part).tobytes()
    assert once.inputs.tobytes() != other.inputs.tobytes()
    rows = np.concatenate([once.inputs, once.valid_inputs])
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_tasks_are_centred_and_balanced(name: str, seed: int) -> None:
    task = GENERATED[name](4_000, seed)
    assert (task.loss, task.n_outputs, len(task.valid_inputs)) == ("binary", 1, 500)
    assert {task.inputs.dtype, task.targets.dtype} == {np.dtype(np.float32)}
    assert set(np.unique(task.targets)) == {0, 1}
    assert task.targets.mean() == pytest.approx(0.5, abs=4 * 0.5 / 4_000**0.5)
    np.testing.assert_allclose(task.inputs.mean(0), 0, atol=0.08)


@pytest.mark.parametrize("seed", SEEDS)
def test_xor_is_one_where_the_signs_differ(seed: int) -> None:
    task = xor_with_noise(2_000, seed)
    differ = np.sign(task.inputs[:, 0]) != np.sign(task.inputs[:, 1])
    assert np.mean(differ == task.targets) > 0.99
    residual = np.abs(task.inputs) - 1
    assert residual.std() == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_moons_are_those_of_scikit_learn_with_noise(seed: int) -> None:
    """Every point lies about as far from its own class's half circle as the noise is strong."""
    task = two_moons(1_000, seed)
    clean, labels = make_moons(4_000, noise=None, random_state=0)
    clean -= clean.mean(0)
    for label in (0, 1):
        arc = clean[labels == label]
        points = task.inputs[task.targets == label]
        gaps = np.linalg.norm(points[:, None] - arc[None], axis=2).min(1)
        # across the arc the noise has one dimension
        assert np.sqrt(np.mean(gaps**2)) == pytest.approx(0.15, rel=0.15)
