"""MNIST in IDX files: small ones in the real format, plain and gzipped, and damaged ones."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.errors import DataError, InputOutputError
from epochs_left.storage.datasets import Dataset, load_dataset

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
NAMES = [IMAGES, LABELS, TEST_IMAGES, TEST_LABELS]
N, N_TEST, HEIGHT, WIDTH = 7, 3, 5, 4
PIXELS = N * HEIGHT * WIDTH

Files = dict[str, bytes]


def idx(magic: int, shape: tuple[int, ...], values: bytes) -> bytes:
    return struct.pack(f">I{len(shape)}I", magic, *shape) + values


def published(seed: int = 0) -> Files:
    """The four files by name."""
    rng = np.random.default_rng(seed)

    def some(n: int, below: int) -> bytes:
        return bytes(rng.integers(0, below, n).tolist())

    return {
        IMAGES: idx(0x803, (N, HEIGHT, WIDTH), some(PIXELS, 256)),
        LABELS: idx(0x801, (N,), some(N, 10)),
        TEST_IMAGES: idx(0x803, (N_TEST, HEIGHT, WIDTH), some(N_TEST * HEIGHT * WIDTH, 256)),
        TEST_LABELS: idx(0x801, (N_TEST,), some(N_TEST, 10)),
    }


def compressed(content: bytes, level: int = 9) -> bytes:
    """As gzip, without the time: it names tests, which every worker must collect alike."""
    return gzip.compress(content, level, mtime=0)


def gzipped(files: Files) -> Files:
    return {f"{name}.gz": compressed(content) for name, content in files.items()}


def dotted(files: Files) -> Files:
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


def write(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def load(folder: Path, limit: int = 0) -> Dataset:
    return load_dataset("mnist", str(folder), limit)


@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_is_where_the_format_says(tmp_path: Path, seed: int) -> None:
    """Byte by byte: images one after another, row by row, after a header of 16 bytes."""
    files = published(seed)
    found = load(write(tmp_path, files))
    assert found.inputs.shape == (N, 1, HEIGHT, WIDTH)
    assert found.inputs.dtype == np.float32
    assert found.n_classes == 10
    for image, row, column in np.ndindex(N, HEIGHT, WIDTH):
        byte = files[IMAGES][16 + (image * HEIGHT + row) * WIDTH + column]
        assert found.inputs[image, 0, row, column] == np.float32(byte / 255)
    assert found.targets.tolist() == list(files[LABELS][8:])
    assert found.valid_targets is not None
    assert found.valid_targets.tolist() == list(files[TEST_LABELS][8:])
    assert found.valid_inputs is not None
    assert found.valid_inputs.shape == (N_TEST, 1, HEIGHT, WIDTH)


FORMS: dict[str, Callable[[Files], Files]] = {
    "gzipped": gzipped,
    "dotted": dotted,
    "dotted and gzipped": lambda files: gzipped(dotted(files)),
    "in two gzip members": lambda files: {
        f"{name}.gz": compressed(content[:9]) + compressed(content[9:])
        for name, content in files.items()
    },
    "mixed": lambda files: (
        files
        | {f"{LABELS}.gz": b"not read: the plain file goes first"}
        | dotted({IMAGES: b"nor this"})
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [0, 2])
def test_every_form_of_the_files_gives_the_same_data_set(
    tmp_path: Path, form: str, limit: int
) -> None:
    plain = load(write(tmp_path / "plain", published()), limit)
    other = load(write(tmp_path / "other", FORMS[form](published())), limit)
    assert other.sha256 == plain.sha256
    np.testing.assert_array_equal(other.inputs, plain.inputs)


def test_every_bit_of_the_data_is_in_the_hash(tmp_path: Path) -> None:
    hashes = {load(write(tmp_path, published())).sha256}
    for name, header in [(IMAGES, 16), (LABELS, 8), (TEST_IMAGES, 16), (TEST_LABELS, 8)]:
        content = bytearray(published()[name])
        content[header] = (content[header] + 1) % 10
        hashes.add(load(write(tmp_path, published() | {name: bytes(content)})).sha256)
    assert len(hashes) == 5


@pytest.mark.parametrize("form", [dict, gzipped])
@pytest.mark.parametrize("limit", range(1, N + 2))
def test_a_limit_keeps_the_first_examples_of_either_split(
    tmp_path: Path, limit: int, form: Callable[[Files], Files]
) -> None:
    folder = write(tmp_path, form(published()))
    whole, part = load(folder), load(folder, limit)
    assert whole.valid_inputs is not None
    assert whole.valid_targets is not None
    np.testing.assert_array_equal(part.inputs, whole.inputs[:limit])
    np.testing.assert_array_equal(part.targets, whole.targets[:limit])
    np.testing.assert_array_equal(part.valid_inputs, whole.valid_inputs[:limit])
    np.testing.assert_array_equal(part.valid_targets, whole.valid_targets[:limit])


def test_with_a_limit_nothing_further_on_is_read(tmp_path: Path) -> None:
    """A label out of range and a wrong checksum go unseen behind the limit, and only there."""
    labels = published()[LABELS][:-1] + b"\xff"
    images = bytearray(compressed(published()[IMAGES]))
    images[-8] ^= 1
    files = published() | {LABELS: labels, f"{IMAGES}.gz": bytes(images)}
    del files[IMAGES]
    folder = write(tmp_path, files)
    assert load(folder, N - 1).inputs.shape == (N - 1, 1, HEIGHT, WIDTH)
    with pytest.raises(DataError, match=f"example {N}: expected a label from 0 to 9, got 255"):
        load(folder)
    folder = write(tmp_path, {**files, LABELS: published()[LABELS]})
    with pytest.raises(DataError, match="damaged"):
        load(folder, N)


AGAIN = "download the file again"
ONE_SET = "take both files from one set"

BATTERY: list[tuple[str, bytes, str]] = [
    (IMAGES, b"", "{} is truncated: expected 4 more bytes, got 0; " + AGAIN),
    (IMAGES, b"\0\0\x08", "{} is truncated: expected 4 more bytes, got 3; " + AGAIN),
    (LABELS, b"\0\0\x08\x01\0", "{} is truncated: expected 4 more bytes, got 1; " + AGAIN),
    (
        IMAGES,
        published()[IMAGES][:15],
        "{} is truncated: expected 12 more bytes, got 11; " + AGAIN,
    ),
    (
        IMAGES,
        published()[IMAGES][:-1],
        "{} is truncated: expected 156 bytes for (7, 5, 4), got 155; " + AGAIN,
    ),
    (
        TEST_LABELS,
        published()[TEST_LABELS] + b"\0",
        "{} has extra bytes: expected 11 bytes for (3,), got 12; " + AGAIN,
    ),
    (
        IMAGES,
        published()[LABELS],
        "{}: expected magic number 0x00000803 (images), got 0x00000801 (labels); "
        "download the file again, unpacked but not converted",
    ),
    (
        LABELS,
        idx(0x803, (N, 1, 1), bytes(N)),
        "{}: expected magic number 0x00000801 (labels), got 0x00000803 (images); "
        "download the file again, unpacked but not converted",
    ),
    (
        IMAGES,
        idx(0xD03, (N, HEIGHT, WIDTH), bytes(4 * PIXELS)),
        "{}: expected magic number 0x00000803 (images), got 0x00000d03 (no IDX file of bytes); "
        "download the file again, unpacked but not converted",
    ),
    (
        TEST_IMAGES,
        struct.pack("<4I", 0x803, N_TEST, HEIGHT, WIDTH) + bytes(60),
        "{}: expected magic number 0x00000803 (images), got 0x03080000 (no IDX file of bytes); "
        "download the file again, unpacked but not converted",
    ),
    (
        IMAGES,
        b"\x80\x02}q\x00.",
        "{}: expected magic number 0x00000803 (images), got 0x80027d71 (no IDX file of bytes); "
        "download the file again, unpacked but not converted",
    ),
    *[
        (
            IMAGES,
            idx(0x803, shape, b""),
            f"{{}}: expected sizes of at least 1, got {shape}; {AGAIN}",
        )
        for shape in [(0, HEIGHT, WIDTH), (N, 0, WIDTH), (N, HEIGHT, 0)]
    ],
    (LABELS, idx(0x801, (0,), b""), "{}: expected sizes of at least 1, got (0,); " + AGAIN),
    (
        LABELS,
        idx(0x801, (N - 1,), bytes(N - 1)),
        f"{{}}: expected a label for each of the 7 images of {IMAGES}, got 6; {ONE_SET}",
    ),
    (
        TEST_LABELS,
        idx(0x801, (N,), bytes(N)),
        f"{{}}: expected a label for each of the 3 images of {TEST_IMAGES}, got 7; {ONE_SET}",
    ),
    (
        LABELS,
        idx(0x801, (N,), bytes([0, 9, 10, 3, 26, 0, 0])),
        "{}: example 3: expected a label from 0 to 9, got 10; "
        "use a set of 10 classes, or download the file again",
    ),
    (
        IMAGES,
        compressed(published()[IMAGES]),
        "{}: expected plain data by its name, got gzip content; rename it to end in .gz",
    ),
]
GZIPPED_BATTERY: list[tuple[str, bytes, str]] = [
    (
        f"{IMAGES}.gz",
        published()[IMAGES],
        "{}: expected gzip data by its name, got other content; "
        "rename it without .gz, or download it again",
    ),
    (
        f"{IMAGES}.gz",
        b"",
        "{}: expected gzip data by its name, got other content; "
        "rename it without .gz, or download it again",
    ),
    (
        f"{IMAGES}.gz",
        compressed(published()[IMAGES][:-1]),
        "{} is truncated: expected 140 more bytes, got 139; " + AGAIN,
    ),
    (
        f"{LABELS}.gz",
        compressed(published()[LABELS] + b"\0"),
        "{}: expected the end after 7 bytes of data, got extra bytes; " + AGAIN,
    ),
    (
        f"{LABELS}.gz",
        compressed(published()[LABELS])[:-1],
        "{}: expected whole gzip data, got damaged or truncated ones (Compressed file ended "
        "before the end-of-stream marker was reached); " + AGAIN,
    ),
    (
        f"{LABELS}.gz",
        compressed(published()[LABELS]) + b"trailing",
        "{}: expected whole gzip data, got damaged or truncated ones (Not a gzipped file "
        "(b'tr')); " + AGAIN,
    ),
    (
        f"{IMAGES}.gz",
        compressed(idx(0x803, (N, 2**32 - 1, 2**32 - 1), bytes(9))),
        f"{{}}: expected at most 536,870,912 bytes to read, got {N * (2**32 - 1) ** 2:,}; "
        "set a limit on examples, or download the file again",
    ),
]


@pytest.mark.parametrize(
    ("gz", "name", "content", "message"),
    [(False, *case) for case in BATTERY] + [(True, *case) for case in GZIPPED_BATTERY],
)
def test_wrong_content_is_a_data_error_of_one_line(
    tmp_path: Path, gz: bool, name: str, content: bytes, message: str
) -> None:
    good = gzipped(published()) if gz else published()
    folder = write(tmp_path, good | {name: content})
    with pytest.raises(DataError) as raised:
        load(folder)
    assert type(raised.value) is DataError
    assert str(raised.value) == message.format(folder / name)


def test_test_images_of_another_size_are_a_data_error(tmp_path: Path) -> None:
    turned = idx(0x803, (N_TEST, WIDTH, HEIGHT), bytes(N_TEST * WIDTH * HEIGHT))
    folder = write(tmp_path, published() | {TEST_IMAGES: turned})
    with pytest.raises(DataError) as raised:
        load(folder)
    assert str(raised.value) == (
        f"{folder}: expected test images of the training images' size (5, 4), got (4, 5); "
        "take all four files from one set"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [0, 1])
def test_a_missing_file_is_an_input_output_error(tmp_path: Path, name: str, limit: int) -> None:
    folder = write(tmp_path, {key: value for key, value in published().items() if key != name})
    with pytest.raises(InputOutputError) as raised:
        load(folder, limit)
    assert str(raised.value) == (
        f"cannot read {folder / name}: expected that file or its .gz, got neither; "
        "name the folder that holds the four published files"
    )


@pytest.mark.parametrize("name", ["none", "file", "\0"])
def test_a_missing_folder_is_an_input_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    reason = {"none": "No such file", "file": "Not a directory", "\0": "embedded null byte"}[name]
    with pytest.raises(InputOutputError, match=f"{reason}.*; name the folder that holds the unp"):
        load(tmp_path / name)


def test_what_is_no_regular_file_is_an_input_output_error(tmp_path: Path) -> None:
    folder = write(tmp_path, published())
    (folder / IMAGES).unlink()
    os.mkfifo(folder / IMAGES)
    with pytest.raises(InputOutputError, match=f"{IMAGES}: expected a regular file, got a folder"):
        load(folder)
    (folder / IMAGES).unlink()
    (folder / IMAGES).symlink_to(folder / "nowhere")
    with pytest.raises(InputOutputError, match="No such file or directory; check the path"):
        load(folder)


def peak_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_expanded_no_further_than_its_header_says(tmp_path: Path) -> None:
    expanded = 2**26
    bomb = compressed(idx(0x803, (N, HEIGHT, WIDTH), bytes(expanded)), 1)
    folder = write(tmp_path, gzipped(published()) | {f"{IMAGES}.gz": bomb})

    def work() -> None:
        with pytest.raises(DataError, match="expected the end after 140 bytes of data, got extra"):
            load(folder)

    load(folder, 1)
    assert peak_memory(work) < expanded / 32


def test_a_set_too_large_for_memory_is_refused_unless_a_limit_says_less(tmp_path: Path) -> None:
    side = 2**14
    folder = write(tmp_path, published())
    for name, n in [(IMAGES, N), (TEST_IMAGES, N_TEST)]:
        write_header = idx(0x803, (n, side, side), b"")
        (folder / name).write_bytes(write_header)
        os.truncate(folder / name, 16 + n * side**2)  # a hole: takes no space on the disk
    with pytest.raises(DataError, match=r"at most 536,870,912 bytes .*; set a limit on examples"):
        load(folder)


HEADER_BYTES = {IMAGES: 16, LABELS: 8, TEST_IMAGES: 16, TEST_LABELS: 8}


def load_damaged(folder: Path, files: Files, limit: int) -> Dataset | None:
    """The data set, its shapes checked, or None where the damage is found."""
    try:
        found = load(write(folder, files), limit)
    except DataError:
        return None
    n, n_test = (min(limit, N), min(limit, N_TEST)) if limit else (N, N_TEST)
    assert found.inputs.shape == (n, 1, HEIGHT, WIDTH)
    assert found.targets.shape == (n,)
    assert found.valid_inputs is not None
    assert found.valid_inputs.shape == (n_test, 1, HEIGHT, WIDTH)
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 1
    return found


@given(
    name=st.sampled_from(NAMES),
    at=st.integers(0, 15),
    bit=st.integers(0, 7),
    limit=st.integers(0, N),
)
def test_a_flipped_bit_in_a_header_is_always_found(
    name: str, at: int, bit: int, limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(published()[name])
    content[at % HEADER_BYTES[name]] ^= 1 << bit
    folder = tmp_path_factory.getbasetemp() / "flipped"
    assert load_damaged(folder, published() | {name: bytes(content)}, limit) is None


@given(
    name=st.sampled_from(NAMES), share=st.floats(0, 1, exclude_max=True), limit=st.integers(0, N)
)
def test_a_truncated_plain_file_is_always_found(
    name: str, share: float, limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = published()[name]
    damaged = published() | {name: content[: int(share * len(content))]}
    assert load_damaged(tmp_path_factory.getbasetemp() / "cut", damaged, limit) is None


@given(
    name=st.sampled_from(NAMES),
    length=st.integers(0, 200),
    flips=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 7)), max_size=3),
)
def test_a_damaged_gzip_file_gives_an_expected_error_or_the_same_data(
    name: str,
    length: int,
    flips: list[tuple[int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A few bits of gzip's own header (its date, say) mean nothing; every other one is found."""
    content = bytearray(compressed(published()[name])[:length])
    for at, bit in flips:
        if at < len(content):
            content[at] ^= 1 << bit
    folder = tmp_path_factory.getbasetemp() / "gzip"
    damaged = gzipped(published()) | {f"{name}.gz": bytes(content)}
    found = load_damaged(folder, damaged, 0)
    if found is not None:
        assert found.sha256 == load(write(folder, published())).sha256


@given(
    sizes=st.lists(st.sampled_from([0, 1, 3, 4, 5, 7, 20, 140, 2**31, 2**32 - 1]), min_size=3),
    n_bytes=st.integers(0, 200),
    gz=st.booleans(),
)
def test_any_declared_sizes_are_an_expected_error_or_the_shape_of_the_images(
    sizes: list[int], n_bytes: int, gz: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = (sizes[0], sizes[1], sizes[2])
    images = {name: idx(0x803, shape, bytes(n_bytes)) for name in (IMAGES, TEST_IMAGES)}
    labels = {name: idx(0x801, shape[:1], bytes(shape[0] % 1000)) for name in (LABELS, TEST_LABELS)}
    files = images | labels
    folder = tmp_path_factory.getbasetemp() / "sizes"
    try:
        found = load(write(folder, gzipped(files) if gz else files))
    except DataError:
        return
    assert n_bytes == shape[0] * shape[1] * shape[2]
    assert found.inputs.shape == (shape[0], 1, *shape[1:])
