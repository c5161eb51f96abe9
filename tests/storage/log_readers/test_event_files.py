"""Event files: framing, checksums, and what is no scalar."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochs_left.errors import DataError, IntegrityError
from epochs_left.storage import event_files
from epochs_left.storage.event_files import Scalars, masked_crc32c, read_scalars
from epochs_left.storage.logs import open_log

EXAMPLES = Path(__file__).parents[3] / "data" / "examples" / "frameworks"
EVENTS = (EXAMPLES / "tensorboard" / "lr=0.01" / "events.out.tfevents.0").read_bytes()


def slow_masked_crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial is defined; then TensorFlow's mask."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", slow_masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]


def message(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def event(tag: str, step: int, value: bytes) -> bytes:
    inner = message(1, tag.encode()) + value
    summary = message(5, message(1, inner))
    return b"\x09" + struct.pack("<d", 1.5) + b"\x10" + bytes([step]) + summary


def simple(value: float) -> bytes:
    return b"\x15" + struct.pack("<f", value)


def scalars(content: bytes) -> dict[str, list[tuple[int, float]]]:
    found = Scalars()
    read_scalars(io.BytesIO(content), found)
    return {t: list(zip(p.steps, p.values, strict=True)) for t, p in found.by_tag.items()}


def test_the_checksum_is_that_of_the_standard() -> None:
    """RFC 3720, B.4 and the check value of the catalogue: CRC-32C of 123456789 is E3069283."""
    crc = 0xE3069283
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert slow_masked_crc32c(b"123456789") == masked


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_checksums_of_all_at_once_are_those_of_each(pieces: list[bytes]) -> None:
    data = np.frombuffer(b"".join(pieces), np.uint8)
    lengths = np.array([len(piece) for piece in pieces], dtype=int)
    found = masked_crc32c(data, np.cumsum(lengths) - lengths, lengths)
    assert found.tolist() == [slow_masked_crc32c(piece) for piece in pieces]


@pytest.mark.parametrize("block", [16, 100, 10**6])
def test_blocks_never_matter(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = scalars(EVENTS)
    monkeypatch.setattr(event_files, "BLOCK_BYTES", block)
    assert scalars(EVENTS) == whole
    assert set(whole) == {"loss/train", "loss/valid"}


@pytest.mark.parametrize("block", [50, 10**6])
def test_long_records_are_passed_over(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(event_files, "BLOCK_BYTES", block)
    monkeypatch.setattr(event_files, "MAX_RECORD_BYTES", 200)
    before, after = (framed(event("a", step, simple(step))) for step in (1, 2))
    assert scalars(before + framed(b"x" * 300) + after) == {"a": [(1, 1.0), (2, 2.0)]}


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_file_gives_what_is_whole(seed: int) -> None:
    """A file that is being written ends anywhere."""
    whole = scalars(EVENTS)["loss/train"]
    lengths = []
    for cut in np.random.default_rng(seed).integers(400, len(EVENTS), 20):
        part = scalars(EVENTS[:cut]).get("loss/train", [])
        assert part == whole[: len(part)]
        lengths.append(len(part))
    assert len(set(lengths)) > 3


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_never_changes_a_scalar(seed: int) -> None:
    rng, whole, refused = np.random.default_rng(seed), scalars(EVENTS), 0
    for _ in range(12):
        damaged = bytearray(EVENTS)
        damaged[rng.integers(len(EVENTS))] ^= 1 << int(rng.integers(8))
        try:
            assert scalars(bytes(damaged)) == whole
        except IntegrityError:
            refused += 1
    assert refused == 12


def test_tensors_without_dimensions_are_scalars() -> None:
    single, double = b"\x08\x01", b"\x08\x02"
    float_val = message(5, struct.pack("<f", 0.5))
    content = message(4, struct.pack("<d", 0.25))
    shaped = message(2, message(2, b"\x08\x03"))
    text = b"\x08\x07" + message(8, b"note")
    tensors = {"a": single + float_val, "b": double + content, "c": single + shaped, "d": text}
    records = [framed(event(tag, 3, message(8, body))) for tag, body in tensors.items()]
    assert scalars(b"".join(records)) == {"a": [(3, 0.5)], "b": [(3, 0.25)]}


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x2a\x7f", b"\x0b", message(5, b"\x0a\x7f")])
def test_sound_records_that_hold_no_event_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="record 1: expected a TensorBoard event"):
        scalars(framed(data))


def test_a_file_without_a_whole_record_is_refused() -> None:
    for content in (b"", EVENTS[:20]):
        with pytest.raises(DataError, match="no whole record"):
            scalars(content)


@pytest.mark.parametrize("length", [2**41, 2**62, 2**64 - 1])
def test_a_length_that_no_record_has_is_damage_however_sound_its_checksum(length: int) -> None:
    header = struct.pack("<Q", length)
    content = header + struct.pack("<I", slow_masked_crc32c(header)) + bytes(40)
    with pytest.raises(IntegrityError):
        scalars(framed(event("loss", 1, simple(1.0))) + content)


def test_a_step_beyond_all_integers_is_no_event() -> None:
    step = b"\x10" + b"\xff" * 9 + b"\x7f"
    data = b"\x09" + struct.pack("<d", 1.5) + step
    data += message(5, message(1, message(1, b"loss") + simple(1.0)))
    with pytest.raises(DataError, match="record 1"):
        scalars(framed(data))


def test_the_scalars_of_a_run_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(framed(event("a", step, simple(1.0))) for step in range(5))
    monkeypatch.setattr(event_files, "MAX_POINTS", 5)
    assert len(scalars(content)["a"]) == 5
    monkeypatch.setattr(event_files, "MAX_POINTS", 4)
    with pytest.raises(DataError, match="at most 4 scalars in a run, got more; log less often"):
        scalars(content)


@pytest.mark.parametrize("with_epochs", [True, False])
def test_epochs_of_lightning_are_shifted_and_other_steps_kept_and_both_say_so(
    tmp_path: Path, with_epochs: bool
) -> None:
    """Lightning logs a scalar called epoch, which counts from 0 after the first pass."""
    content = [event("loss", step, simple(1.0)) for step in range(6)]
    if with_epochs:
        content += [event("epoch", step, simple(float(step // 2))) for step in range(6)]
    (tmp_path / "events.out.tfevents.1").write_bytes(b"".join(map(framed, content)))
    with open_log(str(tmp_path), None) as log:
        assert log.shifted is with_epochs
        assert ("1 was added to its epochs and steps" in log.notes[0]) is with_epochs
        (steps,) = log.batches(["step", "loss"])
        assert steps["step"].to_pylist() == [step + with_epochs for step in range(6)]
        if with_epochs:
            (epochs,) = log.batches(["epoch", "loss"])
            assert epochs["epoch"].to_pylist() == [1, 2, 3]
