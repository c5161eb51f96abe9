"""The run store of one family: runs.parquet, epoch shards, and a manifest that is written last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from epochs_left.errors import InputOutputError, IntegrityError, ModelError
from epochs_left.schema import RUNS, SCHEMA_VERSION
from epochs_left.seeding import content_id
from epochs_left.storage.atomic import (
    replaced_folder,
    sync_file,
    write_bytes_atomically,
    write_synced,
)
from epochs_left.storage.epoch_shards import EpochRows, ShardHashes, file_sha256, read_shard

MANIFEST = "manifest.json"
RUNS_FILE = "runs.parquet"

# What `seeding.content_id` looks like: another family's name may begin with this one's.
_HEX_DIGIT, _ID_LENGTH = "[0-9a-f]", 16


@dataclass(frozen=True, kw_only=True)
class FinishedShard:
    """A shard in the work folder, with what identifies it and how its runs ended."""

    path: Path
    hashes: ShardHashes
    runs: pa.Table

    @property
    def name(self) -> str:
        """File name of the shard."""
        return self.path.name


def finish_shard(path: Path, hashes: ShardHashes, runs: pa.Table) -> FinishedShard:
    """Record that the shard at ``path`` is finished: its hashes and the outcomes of its runs."""
    sink = pa.BufferOutputStream()
    pq.write_table(runs, sink)
    outcomes = sink.getvalue().to_pybytes()
    record = {**asdict(hashes), "runs_sha256": hashlib.sha256(outcomes).hexdigest()}
    sealed = {**record, "seal": content_id(record)}
    write_bytes_atomically(path.with_suffix(".runs"), outcomes)
    write_bytes_atomically(path.with_suffix(".json"), json.dumps(sealed).encode())
    return FinishedShard(path=path, hashes=hashes, runs=runs)


def finished_shard(path: Path) -> FinishedShard | None:
    """Return the finished shard at ``path``; None if it is missing, unfinished or damaged."""
    outcomes = path.with_suffix(".runs")
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        intact = (
            record.pop("seal") == content_id(record)
            and record.pop("runs_sha256") == file_sha256(outcomes)
            and record["sha256"] == file_sha256(path)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not intact:
        return None
    runs = pq.read_table(outcomes, schema=RUNS)
    return FinishedShard(path=path, hashes=ShardHashes(**record), runs=runs)


def publish_family(
    folder: Path, shards: Sequence[FinishedShard], identity: dict[str, Any]
) -> dict[str, Any]:
    """Assemble a family's store from finished shards by hard links, the manifest last.

    Parameters
    ----------
    folder
        ``data/runs/<family>``; replaced as a whole.
    shards
        Finished shards in canonical order.
    identity
        Everything that determines the bytes, and what readers need to know of them; kept in the
        manifest.

    Returns
    -------
    The manifest: runs by outcome, rows, hashes of files and rows, bytes.
    """
    runs = pa.concat_tables([shard.runs for shard in shards])
    with replaced_folder(folder) as temporary:
        for shard in shards:
            _link_or_copy(shard.path, temporary / shard.name)
        pq.write_table(runs, temporary / RUNS_FILE, compression="zstd", write_page_checksum=True)
        sync_file(temporary / RUNS_FILE)
        manifest = _manifest(temporary, shards, runs, identity)
        write_synced(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _manifest(
    folder: Path, shards: Sequence[FinishedShard], runs: pa.Table, identity: dict[str, Any]
) -> dict[str, Any]:
    row_hashes = [shard.hashes.data_sha256 for shard in shards] + [_table_sha256(runs)]
    return {
        **identity,
        "n_runs": runs.num_rows,
        "outcomes": dict(sorted(Counter(runs["outcome"].to_pylist()).items())),
        "n_rows": sum(shard.hashes.rows for shard in shards),
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
        "data_sha256": hashlib.sha256("".join(row_hashes).encode()).hexdigest(),
        "runs_sha256": file_sha256(folder / RUNS_FILE),
        "shards": {shard.name: asdict(shard.hashes) for shard in shards},
    }


def _table_sha256(table: pa.Table) -> str:
    lines = [f"{name}:{table[name].to_pylist()!r}\n" for name in table.column_names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def prune_work_folders(work_root: Path, family: str, *, keep: Path) -> None:
    """Remove a family's work folders that belong to other settings or code."""
    for folder in work_root.glob(f"{family}-{_HEX_DIGIT * _ID_LENGTH}"):
        if folder != keep and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


class RunStore:
    """Reads a family's store.

    Parameters
    ----------
    folder
        ``data/runs/<family>``.

    Raises
    ------
    InputOutputError
        If there is no store.
    IntegrityError
        If its manifest is damaged.
    ModelError
        If it was written with another schema version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            found = self.manifest["schema_version"]
        except OSError:
            raise InputOutputError(
                f"no run store at {folder}: run `dvc repro` or `make reproduce` first"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(f"{folder / MANIFEST} is damaged; simulate again") from None
        if found != SCHEMA_VERSION:
            raise ModelError(
                f"{folder}: schema version {found}, this program reads {SCHEMA_VERSION}; "
                "simulate again"
            )

    def runs(self) -> pa.Table:
        """Return runs.parquet, checked against the manifest (IntegrityError)."""
        path = self._verified(RUNS_FILE, self.manifest["runs_sha256"])
        return pq.read_table(path, page_checksum_verification=True)

    def shard_names(self) -> list[str]:
        """Return the names of the epoch shards, in canonical order."""
        return list(self.manifest["shards"])

    def read(self, name: str) -> Iterator[EpochRows]:
        """Yield the row groups of a shard; IntegrityError if it does not match the manifest."""
        yield from read_shard(self._verified(name, self.manifest["shards"][name]["sha256"]))

    def _verified(self, name: str, sha256: str) -> Path:
        path = self.folder / name
        if not path.is_file() or file_sha256(path) != sha256:
            raise IntegrityError(f"{path} does not match the manifest; simulate again", path)
        return path
