"""Scalars of TensorBoard's event files: TFRecord framing, checksums, and the fields needed.

A record is the length of its data as a little-endian uint64, a masked CRC-32C of these 8 bytes,
the data, and a masked CRC-32C of the data (TensorFlow, tensorflow/core/lib/io/record_writer.h).
The data are a protocol buffer `Event` (tensorflow/core/util/event.proto). TensorBoard itself would
bring gRPC, protobuf and a web server into every training environment; of its format this needs a
page. Nothing is parsed before its checksum holds.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import IntArray
from epochs_left.errors import DataError, IntegrityError
from epochs_left.storage.text_logs import read_block

#: Longer records hold images, graphs and the like, never a scalar alone: they are passed over.
MAX_RECORD_BYTES = 2**16
#: No record is longer, in bytes: the length is not one.
_LONGEST = 1 << 40
#: Scalars of one run, which is sorted by step as a whole; 24 bytes each.
MAX_POINTS = 20_000_000
BLOCK_BYTES = 4 * 2**20
_HEADER, _FOOTER = 12, 4
_MASK_DELTA = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
#: Little-endian element of a tensor by its DataType (tensorflow/core/framework/types.proto).
_TENSOR_TYPES = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 19: "<e"}
_DAMAGED = "damaged record (wrong CRC-32C); copy the file again"


@dataclass
class Points:
    """Scalars of one tag in the order in which they were written."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    wall_times: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class Scalars:
    """Scalars of one run by tag."""

    by_tag: dict[str, Points] = field(default_factory=dict)
    n_points: int = 0

    def add(self, tag: str, step: int, value: float, wall_time: float) -> None:
        """Append one scalar; DataError beyond `MAX_POINTS`."""
        self.n_points += 1
        if self.n_points > MAX_POINTS:
            raise DataError(
                f"expected at most {MAX_POINTS:,} scalars in a run, got more; log less often, or "
                "split the folder"
            )
        points = self.by_tag.setdefault(tag, Points())
        points.steps.append(step)
        points.values.append(value)
        points.wall_times.append(wall_time)


def _crc_table() -> NDArray[np.uint32]:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc


_TABLE = _crc_table()


def masked_crc32c(
    data: NDArray[np.uint8], starts: IntArray, lengths: IntArray
) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of n pieces of ``data``, shape ``(n,)``, all at once."""
    order = np.argsort(-lengths, kind="stable")
    starts, ends = starts[order], -lengths[order]
    crc = np.full(starts.size, 0xFFFFFFFF, dtype=np.uint32)
    for position in range(int(lengths.max(initial=0))):
        longer = np.searchsorted(ends, -position, side="left")
        head = crc[:longer]
        index = (head ^ data[starts[:longer] + position]) & 0xFF
        crc[:longer] = _TABLE[index] ^ (head >> 8)
    crc = ~crc
    masked = np.empty_like(crc)
    masked[order] = ((crc >> 15) | (crc << 17)) + np.uint32(_MASK_DELTA)
    return masked


def has_sound_start(head: bytes) -> bool:
    """Return whether a file starts with a length and its checksum."""
    return len(head) >= _HEADER and _length_is_sound(head[:_HEADER])


def _length_is_sound(header: bytes) -> bool:
    found = masked_crc32c(np.frombuffer(header, np.uint8), np.zeros(1, np.int64), np.array([8]))
    return bool(found[0] == struct.unpack_from("<I", header, 8)[0])


def read_scalars(file: BinaryIO, found: Scalars) -> None:
    """Add the scalars of one event file; one that is still written ends where it is cut.

    Raises
    ------
    DataError
        If there is no whole record, or a record is no event.
    IntegrityError
        If a record does not match its checksum.
    """
    n_records = 0
    for data in _records(file):
        n_records += 1
        try:
            _add_event(data, found)
        except (IndexError, OverflowError, struct.error, ValueError) as error:
            raise DataError(
                f"record {n_records}: expected a TensorBoard event, found other data; "
                "keep event files alone in the folder"
            ) from error
    if not n_records:
        raise DataError("no whole record, expected a TensorBoard event file; remove the file")


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Yield the data of each record of bounded length, verified."""
    rest = b""
    while block := read_block(file, BLOCK_BYTES):
        rest += block
        starts, lengths, end, beyond = _frames(rest)
        _verify(rest, starts, lengths)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            yield rest[start : start + length]
        rest = rest[end:]
        if beyond:
            file.seek(beyond, 1)
    if len(rest) >= _HEADER and not _length_is_sound(rest[:_HEADER]):
        raise IntegrityError(_DAMAGED)


def _frames(data: bytes) -> tuple[IntArray, IntArray, int, int]:
    """Return starts and lengths of whole records, where the rest starts, and what to pass over."""
    starts: list[int] = []
    lengths: list[int] = []
    end = beyond = 0
    while end + _HEADER <= len(data):
        (length,) = struct.unpack_from("<Q", data, end)
        after = end + _HEADER + length + _FOOTER
        if length > MAX_RECORD_BYTES:
            if length > _LONGEST or not _length_is_sound(data[end : end + _HEADER]):
                raise IntegrityError(_DAMAGED)
            end = min(after, len(data))
            if after > len(data):
                beyond = after - len(data)
                break
            continue
        if after > len(data):
            break
        starts.append(end + _HEADER)
        lengths.append(length)
        end = after
    return np.array(starts, np.int64), np.array(lengths, np.int64), end, beyond


def _verify(data: bytes, starts: IntArray, lengths: IntArray) -> None:
    if not starts.size:
        return
    raw = np.frombuffer(data, np.uint8)
    eight = np.full(starts.size, 8)
    of_length = masked_crc32c(raw, starts - _HEADER, eight)
    of_data = masked_crc32c(raw, starts, lengths)
    sound = (of_length == _stored(raw, starts - _FOOTER)) & (
        of_data == _stored(raw, starts + lengths)
    )
    if not sound.all():
        raise IntegrityError(_DAMAGED)


def _stored(raw: NDArray[np.uint8], at: IntArray) -> NDArray[np.uint32]:
    stored: NDArray[np.uint32] = raw[at[:, None] + np.arange(4)].view("<u4")[:, 0]
    return stored


def _add_event(data: bytes, found: Scalars) -> None:
    wall_time, step, summary = 0.0, 0, b""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            (wall_time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - 2**64 if value >= 2**63 else value
        elif number == 5 and isinstance(value, bytes):
            summary = value
    for number, value in _fields(summary):
        if number == 1 and isinstance(value, bytes):
            _add_value(value, step, wall_time, found)


def _add_value(data: bytes, step: int, wall_time: float, found: Scalars) -> None:
    """Add a `Summary.Value` if it is a scalar: `simple_value`, or a tensor without dimensions."""
    tag, scalar = "", None
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8")
        elif number == 2:
            (scalar,) = struct.unpack("<f", value)
        elif number == 8:
            scalar = _tensor_scalar(value)
    if scalar is not None:
        found.add(tag, step, scalar, wall_time)


def _tensor_scalar(data: bytes) -> float | None:
    """Return the value of a `TensorProto` without dimensions, None for any other tensor."""
    kind, content = 0, b""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and value:
            return None
        elif number in {4, 5, 6} and isinstance(value, bytes):
            content = value
    layout = _TENSOR_TYPES.get(kind)
    if layout is None or len(content) != struct.calcsize(layout):
        return None
    return float(struct.unpack(layout, content)[0])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protocol buffer message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError("no protocol buffer")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no protocol buffer")
