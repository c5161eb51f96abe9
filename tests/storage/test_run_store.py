"""The run store of a family: published whole, and checked whenever it is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochs_left.errors import InputOutputError, IntegrityError, ModelError
from epochs_left.schema import SCHEMA_VERSION
from epochs_left.storage.atomic import remove_temporaries
from epochs_left.storage.epoch_shards import ShardHashes, file_sha256
from epochs_left.storage.locks import locked
from epochs_left.storage.run_store import (
    FinishedShard,
    RunStore,
    finish_shard,
    finished_shard,
    prune_work_folders,
    publish_family,
)


@pytest.fixture
def store(small_store: RunStore, tmp_path: Path) -> RunStore:
    """A copy that a test may damage."""
    shutil.copytree(small_store.folder, tmp_path / "neuron")
    return RunStore(tmp_path / "neuron")


@pytest.fixture
def shard(store: RunStore, tmp_path: Path) -> FinishedShard:
    """A finished shard in a work folder."""
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / store.shard_names()[0]
    shutil.copy(store.folder / path.name, path)
    hashes = ShardHashes(**store.manifest["shards"][path.name])
    return finish_shard(path, hashes, store.runs().slice(0, 5))


def edit_manifest(store: RunStore, **changes: Any) -> None:
    path = store.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x01
    path.write_bytes(data)


def test_a_flipped_byte_anywhere_in_a_shard_is_found(store: RunStore) -> None:
    name = store.shard_names()[0]
    path = store.folder / name
    size = path.stat().st_size
    for offset in [0, 3, 4, *np.linspace(5, size - 5, 40).astype(int), size - 4, size - 1]:
        flip(path, offset)
        with pytest.raises(IntegrityError, match="does not match the manifest"):
            list(store.read(name))
        flip(path, offset)
    assert sum(len(part.run_ids) for part in store.read(name)) == 32


def test_flipped_bytes_in_the_table_of_runs_are_found(store: RunStore) -> None:
    path = store.folder / "runs.parquet"
    for offset in np.linspace(0, path.stat().st_size - 1, 10).astype(int):
        flip(path, offset)
        with pytest.raises(IntegrityError, match=r"runs\.parquet does not match"):
            store.runs()
        flip(path, offset)
    assert store.runs().num_rows == 96


def test_another_hash_in_the_manifest_is_found(store: RunStore) -> None:
    shards = store.manifest["shards"]
    name = next(iter(shards))
    edit_manifest(store, shards={**shards, name: {**shards[name], "sha256": "0" * 64}})
    with pytest.raises(IntegrityError, match=name):
        list(RunStore(store.folder).read(name))


@pytest.mark.parametrize("name", ["runs.parquet", "epochs-0000.parquet"])
def test_a_missing_file_is_found(store: RunStore, name: str) -> None:
    (store.folder / name).unlink()
    with pytest.raises(IntegrityError, match=name):
        store.runs() if name == "runs.parquet" else list(store.read(name))


def test_a_missing_store_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputOutputError, match="run `dvc repro`"):
        RunStore(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_damaged_manifest_is_found(store: RunStore, text: str) -> None:
    (store.folder / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged"):
        RunStore(store.folder)


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_schema_version_is_refused_naming_both(store: RunStore, version: int) -> None:
    edit_manifest(store, schema_version=version)
    with pytest.raises(ModelError, match=f"version {version}, this program reads {SCHEMA_VERSION}"):
        RunStore(store.folder)


def test_a_finished_shard_is_found_again(shard: FinishedShard) -> None:
    found = finished_shard(shard.path)
    assert found is not None
    assert (found.name, found.hashes) == (shard.name, shard.hashes)
    assert found.runs.equals(shard.runs)


@pytest.mark.parametrize("suffix", [".parquet", ".runs", ".json"])
def test_a_flipped_byte_in_a_finished_shard_makes_it_unfinished(
    shard: FinishedShard, suffix: str
) -> None:
    path = shard.path.with_suffix(suffix)
    for offset in np.linspace(0, path.stat().st_size - 1, 25).astype(int):
        flip(path, offset)
        assert finished_shard(shard.path) is None, offset
        flip(path, offset)
    assert finished_shard(shard.path) is not None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"seal": 1}'])
def test_another_record_makes_a_shard_unfinished(shard: FinishedShard, text: str) -> None:
    shard.path.with_suffix(".json").write_text(text)
    assert finished_shard(shard.path) is None


def test_publishing_replaces_the_whole_folder(store: RunStore, shard: FinishedShard) -> None:
    manifest = publish_family(store.folder, [shard], {"schema_version": SCHEMA_VERSION})
    assert RunStore(store.folder).shard_names() == [shard.name]
    assert {path.name for path in store.folder.iterdir()} == {
        shard.name,
        "runs.parquet",
        "manifest.json",
    }
    assert manifest["n_runs"] == 5
    assert (store.folder / shard.name).samefile(shard.path)


def test_publishing_copies_where_links_are_refused(
    store: RunStore, shard: FinishedShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    publish_family(store.folder, [shard], {"schema_version": SCHEMA_VERSION})
    published = store.folder / shard.name
    assert not published.samefile(shard.path)
    assert file_sha256(published) == shard.hashes.sha256


def test_failed_publication_leaves_the_old_store(store: RunStore, shard: FinishedShard) -> None:
    shard.path.unlink()
    with pytest.raises(InputOutputError, match="any earlier version is unchanged"):
        publish_family(store.folder, [shard], {"schema_version": SCHEMA_VERSION})
    assert RunStore(store.folder).runs().num_rows == 96


def test_data_hash_depends_on_the_runs_and_their_order(
    store: RunStore, shard: FinishedShard, tmp_path: Path
) -> None:
    def data_hash(*shards: FinishedShard) -> str:
        identity = {"schema_version": SCHEMA_VERSION}
        return str(publish_family(tmp_path / "other", shards, identity)["data_sha256"])

    fewer = FinishedShard(path=shard.path, hashes=shard.hashes, runs=shard.runs.slice(1))
    assert data_hash(shard) == data_hash(shard)
    assert data_hash(shard) != data_hash(fewer)


HOLDER = """
import sys, time
from pathlib import Path
from epochs_left.storage.locks import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "neuron.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputOutputError, match="another process holds"), locked(path):
            pass
        holder.kill()
    with locked(path):
        pass


def test_only_stale_work_of_the_family_is_pruned(tmp_path: Path) -> None:
    names = ["neuron-0123456789abcdef", "neuron-fedcba9876543210", "neuron-wide-0123456789abcdef"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "neuron.lock").touch()
    prune_work_folders(tmp_path, "neuron", keep=tmp_path / names[0])
    assert {path.name for path in tmp_path.iterdir()} == {names[0], names[2], "neuron.lock"}


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_temporaries_are_removed_and_nothing_else(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    for name in (".neuron.0123456789ab.tmp", ".other.0123456789ab.tmp", "neuron", ".hidden"):
        make(tmp_path / name)
    remove_temporaries(tmp_path, "neuron")
    assert {path.name for path in tmp_path.iterdir()} == {
        ".other.0123456789ab.tmp",
        "neuron",
        ".hidden",
    }
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"neuron", ".hidden"}
