"""Finished shards as bytes: how they travel from workers that share no file system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from epochs_left.errors import IntegrityError
from epochs_left.storage.atomic import write_bytes_atomically
from epochs_left.storage.run_store import FinishedShard, finished_shard

#: Files of a finished shard in the order in which they are written: the seal comes last.
_SUFFIXES = (".parquet", ".runs", ".json")


@dataclass(frozen=True)
class PackedShard:
    """The files of a finished shard, by suffix, and the name that they share."""

    name: str
    files: dict[str, bytes]


def pack_shard(shard: FinishedShard) -> PackedShard:
    """Read the files of a finished shard."""
    files = {suffix: shard.path.with_suffix(suffix).read_bytes() for suffix in _SUFFIXES}
    return PackedShard(shard.name, files)


def unpack_shard(packed: PackedShard, folder: Path) -> FinishedShard:
    """Write a packed shard into a work folder, as if it had been finished there.

    Raises
    ------
    IntegrityError
        If the bytes are not those that were sealed.
    InputOutputError
        If they cannot be written.
    """
    path = folder / packed.name
    for suffix in _SUFFIXES:
        write_bytes_atomically(path.with_suffix(suffix), packed.files[suffix])
    shard = finished_shard(path)
    if shard is None:
        raise IntegrityError(f"{path} was damaged on its way from a worker; simulate again")
    return shard
