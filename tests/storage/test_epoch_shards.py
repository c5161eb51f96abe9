"""Epoch shards: what is written is read back, and no damage goes unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.schema import MAX_STORED_PARAMS, VALIDATED_MEASURES, epochs_schema
from epochs_left.storage.epoch_shards import ShardHashes, ShardWriter, file_sha256, read_shard

SEEDS = range(3)
#: One schema for each way in which parameters are stored.
SCHEMAS = {
    "scalars": epochs_schema(3),
    "list": epochs_schema(40, VALIDATED_MEASURES),
    "sketch": epochs_schema(MAX_STORED_PARAMS + 1, VALIDATED_MEASURES, n_tensors=2),
}


class Rows:
    """Rows of some runs, as an engine hands them over."""

    def __init__(self, seed: int, n_runs: int = 12, kind: str = "scalars") -> None:
        rng = np.random.default_rng(seed)
        self.schema = SCHEMAS[kind]
        self.ids = [f"{run:016x}" for run in range(n_runs)]
        self.lengths = rng.integers(1, 60, size=n_runs)
        self.epoch = np.concatenate([np.arange(n) for n in self.lengths]).astype(np.int32)
        self.columns = {
            field.name: rng.normal(size=(self.epoch.size, *width_of(field))).astype(np.float32)
            for field in list(self.schema)[2:]
        }

    def write(self, path: Path, runs_per_block: int) -> ShardHashes:
        writer = ShardWriter(path, self.schema)
        ends = np.cumsum(self.lengths)
        for first in range(0, len(self.ids), runs_per_block):
            members = slice(first, first + runs_per_block)
            rows = slice(ends[first] - self.lengths[first], ends[members][-1])
            lengths = self.lengths[members]
            run = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths)
            columns = {name: values[rows] for name, values in self.columns.items()}
            writer.write(self.ids[members], run, self.epoch[rows], columns)
        return writer.publish()


def width_of(field: pa.Field) -> tuple[int, ...]:
    """Return the shape of one row's value."""
    is_list = pa.types.is_fixed_size_list(field.type)
    return (field.type.list_size,) if is_list else ()


def test_a_shard_is_on_the_disk_before_it_has_its_name_and_so_is_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, bool]] = []
    path, fsync = tmp_path / "epochs-0000.parquet", os.fsync

    def note(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    Rows(0).write(path, 12)
    (file, named), (folder, there) = synced
    assert (file.parent, file.suffix, named) == (tmp_path, ".tmp", False)
    assert (folder, there) == (tmp_path, True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("runs_per_block", [1, 5, 12])
def test_rows_are_read_back_bit_by_bit(
    tmp_path: Path, seed: int, kind: str, runs_per_block: int
) -> None:
    rows, path = Rows(seed, kind=kind), tmp_path / "epochs-0000.parquet"
    hashes = rows.write(path, runs_per_block)
    parts = list(read_shard(path))
    assert [run for part in parts for run in part.run_ids] == rows.ids
    np.testing.assert_array_equal(np.concatenate([p.lengths for p in parts]), rows.lengths)
    np.testing.assert_array_equal(np.concatenate([p.epoch for p in parts]), rows.epoch)
    scalars = {f"param_{i}" for i in range(3)} & set(rows.columns)
    found = [{**part.measures, **part.vectors} for part in parts]
    assert set(found[0]) - {"params"} == set(rows.columns) - scalars - {"params"}
    for name in set(found[0]) & set(rows.columns):
        values = np.concatenate([columns[name] for columns in found])
        assert values.tobytes() == rows.columns[name].tobytes(), name
    for index, name in enumerate(sorted(scalars)):
        values = np.concatenate([part.params[:, index] for part in parts])
        assert values.tobytes() == rows.columns[name].tobytes()
    assert (hashes.rows, hashes.sha256) == (rows.epoch.size, file_sha256(path))


def test_a_wide_model_has_no_parameters_to_read(tmp_path: Path) -> None:
    Rows(0, kind="sketch").write(tmp_path / "a.parquet", 12)
    (part,) = read_shard(tmp_path / "a.parquet")
    assert set(part.vectors) == {"tensor_statistics", "sketch"}
    with pytest.raises(KeyError):
        _ = part.params


def test_special_numbers_survive(tmp_path: Path) -> None:
    rows = Rows(0)
    rows.columns["loss"][:4] = [np.nan, np.inf, -np.inf, -0.0]
    rows.write(tmp_path / "a.parquet", 12)
    (part,) = read_shard(tmp_path / "a.parquet")
    assert part.measures["loss"].tobytes() == rows.columns["loss"].tobytes()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_hash_of_the_rows_ignores_how_they_were_written(tmp_path: Path, kind: str) -> None:
    hashes = [Rows(0, kind=kind).write(tmp_path / f"{n}.parquet", n) for n in (1, 5, 12)]
    assert len({each.data_sha256 for each in hashes}) == 1
    assert len({each.sha256 for each in hashes}) == 3


def change_loss(rows: Rows) -> None:
    rows.columns["loss"][5] = np.nextafter(rows.columns["loss"][5], np.float32(9))


def change_one_parameter(rows: Rows) -> None:
    last = rows.columns[list(rows.columns)[-1]]
    last.flat[7] = np.nextafter(last.flat[7], np.float32(9))


def swap_columns(rows: Rows) -> None:
    loss, norm = rows.columns["loss"], rows.columns["grad_norm"]
    rows.columns |= {"loss": norm, "grad_norm": loss}


def change_epoch(rows: Rows) -> None:
    rows.epoch[5] += 1


def change_name(rows: Rows) -> None:
    rows.ids[3] = "f" * 16


def change_lengths(rows: Rows) -> None:
    rows.lengths[:2] = rows.lengths[0] + 1, rows.lengths[1] - 1


CHANGES = [
    change_loss,
    change_one_parameter,
    swap_columns,
    change_epoch,
    change_name,
    change_lengths,
]


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("change", CHANGES)
def test_hash_of_the_rows_changes_with_every_value(
    tmp_path: Path, change: Callable[[Rows], None], kind: str
) -> None:
    before, after = Rows(1, kind=kind), Rows(1, kind=kind)
    change(after)
    hashes = [rows.write(tmp_path / "a.parquet", 12) for rows in (before, after)]
    assert hashes[0].data_sha256 != hashes[1].data_sha256


@pytest.mark.parametrize("kind", SCHEMAS)
def test_file_has_the_documented_schema_and_encodings(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    Rows(0, kind=kind).write(path, 12)
    assert pq.read_schema(path).equals(SCHEMAS[kind])
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert all("BYTE_STREAM_SPLIT" in column.encodings for column in columns[2:])


@pytest.mark.parametrize(("kind", "step"), [("scalars", 97), ("list", 397)])
def test_any_flipped_byte_in_the_data_is_found(tmp_path: Path, kind: str, step: int) -> None:
    """Page checksums alone, without the manifest; it is plain Parquet that lets flips through."""
    path, broken = tmp_path / "a.parquet", tmp_path / "b.parquet"
    Rows(0, kind=kind).write(path, 12)
    data = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    expected = [part.params.tobytes() for part in read_shard(path)]
    end = max(
        group.column(i).data_page_offset + group.column(i).total_compressed_size
        for i in range(group.num_columns)
    )
    missed = []
    for offset in range(8, min(end, len(data)), step):
        broken.write_bytes(data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :])
        try:
            same = [part.params.tobytes() for part in read_shard(broken)] == expected
        except IntegrityError:
            continue
        if not same:
            missed.append(offset)
    assert missed == []


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_truncated_shard_is_found(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.parquet"
    Rows(0).write(path, 12)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(IntegrityError, match=r"a\.parquet is damaged .*; delete it"):
        list(read_shard(path))


def test_nothing_appears_before_it_is_published(tmp_path: Path) -> None:
    rows, path = Rows(0), tmp_path / "a.parquet"
    writer = ShardWriter(path, rows.schema)
    run = np.repeat(np.arange(rows.lengths.size, dtype=np.int32), rows.lengths)
    writer.write(rows.ids, run, rows.epoch, rows.columns)
    assert not path.exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match=r"cannot write .*nowhere"):
        ShardWriter(tmp_path / "nowhere" / "a.parquet", SCHEMAS["list"])


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from epochs_left.schema import epochs_schema
from epochs_left.storage.epoch_shards import ShardWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
schema = epochs_schema(3)
writer = ShardWriter(Path(sys.argv[1]), schema)
values = np.random.default_rng(0).random((len(schema), 50_000), dtype=np.float32)
columns = dict(zip(schema.names[2:], values[2:]))
numbers = np.arange(50_000, dtype=np.int32)
writer.write(["0" * 16], 0 * numbers, numbers, columns)
writer.publish()
"""


def test_full_disk_leaves_the_old_shard_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    old = Rows(0).write(path, 12)
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "InputOutputError: cannot write" in done.stderr.splitlines()[-1]
    assert file_sha256(path) == old.sha256
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]
