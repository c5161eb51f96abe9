"""Shards on their way: they arrive as they were sent, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.storage.packed_shards import PackedShard, pack_shard, unpack_shard
from epochs_left.storage.run_store import FinishedShard, RunStore, finished_shard

SUFFIXES = (".parquet", ".runs", ".json")


@pytest.fixture
def shard(small_store: RunStore) -> FinishedShard:
    """A finished shard of a work folder; read only."""
    (path,) = small_store.folder.parent.glob("work/neuron-*/epochs-0000.parquet")
    found = finished_shard(path)
    assert found is not None
    return found


def test_a_shard_arrives_as_it_was_sent(shard: FinishedShard, tmp_path: Path) -> None:
    arrived = unpack_shard(pack_shard(shard), tmp_path)
    assert (arrived.name, arrived.hashes) == (shard.name, shard.hashes)
    assert arrived.runs.equals(shard.runs)
    sent = {path.name: path.read_bytes() for path in shard.path.parent.glob("epochs-0000.*")}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == sent
    assert len(sent) == len(SUFFIXES)


def flipped(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", [flipped, halved])
def test_damage_on_the_way_is_found(
    shard: FinishedShard, tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    packed = pack_shard(shard)
    damaged = PackedShard(packed.name, {**packed.files, suffix: damage(packed.files[suffix])})
    with pytest.raises(IntegrityError, match=r"damaged on its way from a worker; simulate again"):
        unpack_shard(damaged, tmp_path)
    assert finished_shard(tmp_path / shard.name) is None


def test_a_folder_that_is_gone_is_an_error(shard: FinishedShard, tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match="cannot write"):
        unpack_shard(pack_shard(shard), tmp_path / "gone")
