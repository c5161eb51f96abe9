"""The resnet family: names, settings, and what it reads of a local data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochs_left.config import parse_settings
from epochs_left.errors import UsageError
from epochs_left.simulation.planning import task_data
from epochs_left.storage.datasets import cifar10, load_dataset
from epochs_left.storage.datasets.dataset import dataset_of
from epochs_left.workloads import Source
from epochs_left.workloads.resnet import MIN_SIDE, ResNet, ResNetSettings, shape_of

Build = Callable[..., ResNetSettings]
ROOT_SEED = 5
PARTLY = {"fixed", "lr"}


@pytest.fixture(scope="module")
def settings_of(small_params: dict[str, Any]) -> Build:
    """Build settings of the family, with overrides."""

    def build(**overrides: Any) -> ResNetSettings:
        values = dict(small_params["resnet"])
        for name, value in overrides.items():
            values[name] = {**values[name], **value} if name in PARTLY else value
        return parse_settings(ResNetSettings, values, "resnet")

    return build


def of_cifar(folder: Path | str, n_train: int) -> dict[str, Any]:
    """Settings that train on CIFAR-10 alone."""
    return {
        "fixed": {"task": "cifar10", "architecture": "resnet8-w4-bn-rgb"},
        "tasks": {"cifar10": 1},
        "paths": {"mnist": "", "cifar10": str(folder)},
        "train_examples": {"cifar10": n_train},
        "epsilon": {"cifar10": 1.0},
    }


@pytest.mark.parametrize("width", [0, 1, 3, 514])
@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_a_width_that_groups_cannot_halve_is_refused(width: int, norm: str) -> None:
    name = f"resnet8-w{width}-{norm}"
    with pytest.raises(ValueError, match=f"an even number from 2 to 512, got {width} in {name}"):
        shape_of(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"widths": {"3": 1}}, "an even number from 2 to 512, got 3"),
        ({"widths": {"four": 1}}, "unknown architecture 'resnet8-wfour-bn'"),
        ({"norms": {"ln": 1}}, "unknown names .'ln'. in norms"),
        ({"tasks": {"svhn": 1}}, "unknown names .'svhn'. in tasks"),
        ({"fixed": {"architecture": "resnet8-w5-bn"}}, "an even number from 2 to 512, got 5"),
        ({"fixed": {"architecture": "resnet8-w4-bn-rgb"}}, "must take 1 channels for digits"),
        ({"fixed": {"activation": "tanh"}}, "unknown names .'tanh'. in fixed.activation"),
        ({"paths": {"minst": "/data"}}, "unknown names .'minst'. in paths"),
        ({"paths": {"mnist": "/data"}}, "paths names files of .'mnist'., which no run is trained"),
        ({"epsilon": {"digits": 1.0, "digit": 1.0}}, "unknown names .'digit'. in epsilon"),
        ({"train_examples": {"digits": 128, "svhn": 8}}, "unknown names .'svhn'. in train_exam"),
        ({"max_epochs": 1_000_000}, "GiB of each worker's memory"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(
    settings_of: Build, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        settings_of(**override)
    assert "\n" not in str(caught.value)


def test_a_task_without_weight_may_keep_its_path(settings_of: Build) -> None:
    settings = settings_of(
        tasks={"digits": 1, "mnist": 0},
        paths={"mnist": "/data/mnist"},
        train_examples={"digits": 128, "mnist": 128},
        epsilon={"digits": 2.2, "mnist": 2.2},
    )
    assert ResNet().sources(settings)["mnist"].path == "/data/mnist"


def write_cifar(folder: Path, n: int) -> None:
    """Write batches of ``n`` random records, in the published format."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*cifar10.TRAIN_FILES, *cifar10.TEST_FILES):
        records = rng.integers(0, 256, (n, cifar10.RECORD_BYTES), dtype=np.uint8)
        records[:, 0] %= 10
        (folder / name).write_bytes(records.tobytes())


@pytest.mark.parametrize("n_train", [128, 256])
def test_of_a_local_copy_the_first_images_are_trained_on_and_no_more_are_read(
    tmp_path: Path, settings_of: Build, n_train: int
) -> None:
    write_cifar(tmp_path / "cifar", 80)
    settings = settings_of(**of_cifar(tmp_path / "cifar", n_train))
    source = ResNet().sources(settings)["cifar10"]
    assert source == Source(name="cifar10", path=str(tmp_path / "cifar"), limit=n_train)
    whole = load_dataset("cifar10", source.path)
    task = task_data("resnet", settings, ROOT_SEED)["cifar10"]
    first = np.sort(whole.targets[:n_train])
    np.testing.assert_array_equal(np.sort(task.targets), first)
    np.testing.assert_array_equal(task.valid_targets, whole.valid_targets[: n_train // 8])
    unread = tmp_path / "cifar" / "data_batch_5.bin"
    data = bytearray(unread.read_bytes())
    data[0] = 99  # no label, but of an image that nobody wants
    unread.write_bytes(data)
    again = task_data("resnet", settings, ROOT_SEED)["cifar10"]
    assert again.inputs.tobytes() == task.inputs.tobytes()


def test_bundled_digits_are_drawn_from_all_of_them(settings_of: Build) -> None:
    source = ResNet().sources(settings_of())["digits"]
    assert source == Source(name="digits")
    digits = load_dataset("digits")
    seeds = [task_data("resnet", settings_of(), seed)["digits"].targets for seed in (1, 2)]
    assert not np.array_equal(np.sort(seeds[0]), np.sort(digits.targets[:128]))
    assert not np.array_equal(np.sort(seeds[0]), np.sort(seeds[1]))


def test_too_few_images_are_refused_naming_file_key_and_remedy(
    tmp_path: Path, settings_of: Build
) -> None:
    write_cifar(tmp_path / "cifar", 20)
    settings = settings_of(**of_cifar(tmp_path / "cifar", 128))
    message = (
        r"params.yaml: resnet: task cifar10 from .*/cifar: expected at least 128 examples, "
        "got 100; lower train_examples or take a larger data set"
    )
    with pytest.raises(UsageError, match=message):
        task_data("resnet", settings, ROOT_SEED)


@pytest.mark.parametrize("side", [1, 4, 7])
def test_images_that_leave_the_last_stage_a_single_place_are_refused(
    settings_of: Build, side: int
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 200)

    def images(side: int) -> Any:
        pixels = rng.random((200, 1, side, 12)).astype(np.float32)
        return ResNet().task_data(
            "digits", settings_of(), dataset_of((pixels, labels), None, n_classes=10), 0
        )

    with pytest.raises(ValueError, match=f"at least 8 x 8 pixels, got a side of {side}; take"):
        images(side)
    assert images(MIN_SIDE).inputs.shape == (128, 1, MIN_SIDE, 12)
