"""CIFAR-10 in its binary version: small files in the real format, and damaged ones."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets import Dataset, load_dataset
from epochs_left.storage.datasets._files import MAX_BYTES

TRAIN = [f"data_batch_{number}.bin" for number in (1, 2, 3, 4, 5)]
TEST = "test_batch.bin"
RECORD = 3073
EACH = 3

Files = dict[str, bytes]


def published(seed: int = 0) -> Files:
    """The six files by name, with ``EACH`` records each."""
    rng = np.random.default_rng(seed)

    def record() -> bytes:
        return struct.pack("3073B", rng.integers(10), *rng.integers(0, 256, 3072).tolist())

    return {name: b"".join(record() for _ in range(EACH)) for name in [*TRAIN, TEST]}


def write(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def load(folder: Path, limit: int = 0) -> Dataset:
    return load_dataset("cifar10", str(folder), limit)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "cifar-10-batches-bin", published())


@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_is_where_the_format_says(tmp_path: Path, seed: int) -> None:
    """Byte by byte: label, then the red, green and blue plane, each row by row."""
    files = published(seed)
    found = load(write(tmp_path, files))
    stream = b"".join(files[name] for name in TRAIN)
    assert found.inputs.shape == (5 * EACH, 3, 32, 32)
    assert found.n_classes == 10
    for example in (0, EACH, 5 * EACH - 1):
        record = stream[example * RECORD :]
        assert found.targets[example] == record[0]
        for channel, row, column in [(0, 0, 0), (0, 0, 31), (0, 1, 0), (1, 0, 0), (2, 31, 31)]:
            byte = record[1 + 1024 * channel + 32 * row + column]
            assert found.inputs[example, channel, row, column] == np.float32(byte / 255)


def test_the_test_batch_is_the_test_split(folder: Path) -> None:
    swapped = published() | {TRAIN[0]: published()[TEST], TEST: published()[TRAIN[0]]}
    found, other = load(folder), load(write(folder.parent / "swapped", swapped))
    assert found.valid_inputs is not None
    np.testing.assert_array_equal(found.valid_inputs, other.inputs[:EACH])
    np.testing.assert_array_equal(found.inputs[:EACH], other.valid_inputs)
    assert found.sha256 != other.sha256


def test_the_folder_above_gives_the_same_data_set(folder: Path) -> None:
    assert load(folder.parent).sha256 == load(folder).sha256


def test_a_folder_with_batches_of_its_own_is_not_left_for_one_in_it(folder: Path) -> None:
    write(folder / "cifar-10-batches-bin", published(seed=1))
    assert load(folder).sha256 == load(write(folder.parent / "alone", published())).sha256


@pytest.mark.parametrize("limit", range(1, 5 * EACH + 3))
def test_a_limit_keeps_the_first_examples_of_either_split(folder: Path, limit: int) -> None:
    whole, part = load(folder), load(folder, limit)
    assert whole.valid_inputs is not None
    np.testing.assert_array_equal(part.inputs, whole.inputs[:limit])
    np.testing.assert_array_equal(part.targets, whole.targets[:limit])
    np.testing.assert_array_equal(part.valid_inputs, whole.valid_inputs[:limit])


def test_with_a_limit_nothing_further_on_is_read(folder: Path) -> None:
    content = bytearray(published()[TRAIN[1]])
    content[RECORD] = 10
    write(folder, {TRAIN[1]: bytes(content)})
    assert load(folder, EACH + 1).inputs.shape[0] == EACH + 1
    with pytest.raises(DataError, match="example 2: expected a label"):
        load(folder, EACH + 2)


def replaced(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {name: content}


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: value for key, value in files.items() if key != name}


def altered(name: str, at: int, byte: int) -> Callable[[Files], Files]:
    def alter(files: Files) -> Files:
        content = bytearray(files[name])
        content[at] = byte
        return files | {name: bytes(content)}

    return alter


def cut(name: str, n_bytes: int) -> Callable[[Files], Files]:
    return lambda files: files | {name: files[name][:n_bytes]}


REMEDY = "unpack cifar-10-binary.tar.gz, the binary version, which needs no unpickling"
SIZE = "{} is truncated or has extra bytes: expected whole records of 3,073 bytes, got "
PICKLE = "{}: expected records of 3,073 bytes, got a Python pickle (which can run any code); "
LABEL = "use a set of 10 classes, or download the file again"


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (replaced(TRAIN[0], b""), TRAIN[0], SIZE + "0 and 0 bytes; " + REMEDY),
        (replaced(TEST, b""), TEST, SIZE + "0 and 0 bytes; " + REMEDY),
        (cut(TRAIN[2], 1), TRAIN[2], SIZE + "0 and 1 bytes; " + REMEDY),
        (cut(TRAIN[0], 3 * RECORD - 1), TRAIN[0], SIZE + "2 and 3,072 bytes; " + REMEDY),
        (replaced(TRAIN[1], bytes(3 * RECORD + 1)), TRAIN[1], SIZE + "3 and 1 bytes; " + REMEDY),
        (replaced(TRAIN[3], bytes(3074 * 3)), TRAIN[3], SIZE + "3 and 3 bytes; " + REMEDY),
        (
            cut(TRAIN[4], 2 * RECORD),
            TRAIN[4],
            "{} is truncated: expected 3 records as in the largest batch, got 2; " + REMEDY,
        ),
        (
            altered(TRAIN[1], RECORD, 10),
            TRAIN[1],
            "{}: example 2: expected a label from 0 to 9, got 10; " + LABEL,
        ),
        (
            altered(TEST, 0, 255),
            TEST,
            "{}: example 1: expected a label from 0 to 9, got 255; " + LABEL,
        ),
        *[
            (replaced(TRAIN[0], pickle.dumps({"data": b""}, protocol)), TRAIN[0], PICKLE + REMEDY)
            for protocol in (2, 3, 4, 5)
        ],
        (
            replaced(TEST, b"\x80\x02".ljust(3 * RECORD, b".")),
            TEST,
            PICKLE + REMEDY,
        ),
    ],
)
def test_wrong_content_is_a_data_error_of_one_line(
    tmp_path: Path, damage: Callable[[Files], Files], name: str, message: str
) -> None:
    folder = write(tmp_path, damage(published()))
    with pytest.raises(DataError) as raised:
        load(folder)
    assert type(raised.value) is DataError
    assert str(raised.value) == message.format(folder / name)


@pytest.mark.parametrize("name", [*TRAIN, TEST])
@pytest.mark.parametrize("limit", [0, 1])
def test_a_missing_file_is_an_input_output_error(tmp_path: Path, name: str, limit: int) -> None:
    folder = write(tmp_path, without(name)(published()))
    with pytest.raises(InputOutputError) as raised:
        load(folder, limit)
    wanted = f"cannot read {folder / name}: expected that file, got none; {REMEDY}"
    assert str(raised.value) == wanted


def test_a_missing_folder_is_an_input_output_error(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError) as raised:
        load(tmp_path / "none")
    assert str(raised.value) == (
        f"cannot read {tmp_path / 'none'}: No such file or directory; "
        "name the folder that holds the unpacked files"
    )


def test_the_archive_itself_is_no_folder(tmp_path: Path) -> None:
    archive = write(tmp_path, {"cifar-10-binary.tar.gz": b"\x1f\x8b"}) / "cifar-10-binary.tar.gz"
    with pytest.raises(InputOutputError, match=r"Not a directory; name the folder .* unpacked"):
        load(archive)


def test_a_folder_in_place_of_a_file_is_an_input_output_error(folder: Path) -> None:
    (folder / TEST).unlink()
    (folder / TEST).mkdir()
    with pytest.raises(InputOutputError, match=f"{TEST}: expected a regular file, got a folder"):
        load(folder)


@pytest.mark.parametrize("names", [["data_batch_1", "test_batch"], ["cifar-10-batches-py"]])
def test_the_python_version_is_refused_by_its_names(tmp_path: Path, names: list[str]) -> None:
    folder = write(tmp_path, dict.fromkeys(names, b"\x80\x02}q\x00."))
    with pytest.raises(DataError) as raised:
        load(folder)
    assert str(raised.value) == (
        f"{folder}: expected data_batch_1.bin, got the Python version (pickles, which can run any "
        f"code); {REMEDY}"
    )


class Bomb:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (66,)


def test_no_pickle_is_ever_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = pickle.dumps(Bomb(), 2)
    assert b"_exit" in bomb
    names = ["data_batch_1", "test_batch", *TRAIN, TEST]
    folder = write(tmp_path, dict.fromkeys(names, bomb))
    for module in ("pickle", "_pickle"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match="got a Python pickle"):
        load(folder)


def test_more_than_memory_holds_is_refused_unless_a_limit_says_less(tmp_path: Path) -> None:
    folder = write(tmp_path, published())
    for name in TRAIN:
        n_records = MAX_BYTES // RECORD // 5 + 1
        os.truncate(folder / name, n_records * RECORD)  # a hole: takes no space on the disk
    with pytest.raises(DataError, match=r"at most 536,870,912 .*; set a limit on examples$"):
        load(folder)
    assert load(folder, 2).inputs.shape == (2, 3, 32, 32)


@given(
    name=st.sampled_from([*TRAIN, TEST]),
    length=st.integers(0, EACH * RECORD),
    flips=st.lists(st.tuples(st.integers(0, EACH * RECORD - 1), st.integers(0, 7)), max_size=3),
)
def test_random_damage_is_an_expected_error_or_leaves_the_shapes(
    name: str,
    length: int,
    flips: list[tuple[int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytearray(published()[name])
    for at, bit in flips:
        content[at] ^= 1 << bit
    folder = tmp_path_factory.getbasetemp() / "damaged"
    write(folder, published() | {name: bytes(content[:length])})
    try:
        found = load(folder)
    except DataError:
        return
    assert name == TEST or length == EACH * RECORD
    assert found.inputs.shape == (5 * EACH, 3, 32, 32)
    assert found.valid_inputs is not None
    assert found.valid_inputs.shape == (length // RECORD, 3, 32, 32)
    assert 0 <= found.targets.min() <= found.targets.max() < 10


@given(name=st.sampled_from([*TRAIN, TEST]), at=st.integers(0, EACH - 1), label=st.integers(0, 255))
def test_a_label_is_taken_if_and_only_if_it_is_below_ten(
    name: str, at: int, label: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = altered(name, at * RECORD, label)(published())
    folder = write(tmp_path_factory.getbasetemp() / "labels", damaged)
    if label < 10:
        found = load(folder)
        targets = found.valid_targets if name == TEST else found.targets
        assert targets is not None
        start = 0 if name == TEST else TRAIN.index(name) * EACH
        assert targets[start + at] == label
        return
    with pytest.raises(DataError):
        load(folder)
