"""Epoch shards: Parquet files of a fixed set of runs, a row a run and epoch.

zstd, byte-stream split for floats, page checksums. Two hashes are kept of each shard: that
of the file's bytes (integrity) and that of its rows (identity), which does not depend on how the
file was written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.schema import EPOCH_MEASURES, epochs_schema, scalar_param_names

_HASH_CHUNK = 1 << 24

# On byte-stream-split floats level -1 makes files 1 % smaller than level 1, a fifth faster.
_ZSTD_LEVEL = -1


@dataclass(frozen=True, kw_only=True)
class ShardHashes:
    """Rows and hashes of a finished shard."""

    rows: int
    sha256: str  # of the file
    data_sha256: str  # of the rows: column by column, in the order of the runs


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class ShardWriter:
    """Writes one shard under a temporary name and publishes it whole.

    Parameters
    ----------
    path
        Final name; nothing appears there before `publish`.
    n_params
        Parameters of every run of the shard.

    Raises
    ------
    InputOutputError
        From any method, if the file cannot be written; nothing is left behind.
    """

    def __init__(self, path: Path, n_params: int) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
        self._schema = epochs_schema(n_params)
        self._digests = {name: hashlib.sha256() for name in self._schema.names}
        self._rows = 0
        encodings = dict.fromkeys(self._schema.names[2:], "BYTE_STREAM_SPLIT")
        try:
            self._writer = pq.ParquetWriter(
                self._temporary,
                self._schema,
                compression="zstd",
                compression_level=_ZSTD_LEVEL,
                use_dictionary=["run_id"],
                column_encoding={"epoch": "DELTA_BINARY_PACKED", **encodings},
                write_page_checksum=True,
                write_statistics=False,  # rows are found through runs.parquet; 8 ns a row saved
            )
        except OSError as error:
            raise self._failed(error) from error

    def write(
        self, run_ids: Sequence[str], run: IntArray, epoch: IntArray, columns: FloatArray
    ) -> None:
        """Append one row group of whole runs.

        Parameters
        ----------
        run_ids
            Ids of the runs of this block, in order.
        run
            Index into ``run_ids`` of each row, shape ``(rows,)``, int32, ascending.
        epoch
            Epoch t of each row, shape ``(rows,)``, int32.
        columns
            Measures and parameters, shape ``(n_measures + n_params, rows)``, float32.
        """
        rows = int(epoch.size)
        self._hash_block(run_ids, run, epoch, columns)
        identifiers = pa.DictionaryArray.from_arrays(pa.array(run), pa.array(run_ids, pa.string()))
        arrays = [identifiers, pa.array(epoch), *(pa.array(column) for column in columns)]
        try:
            table = pa.Table.from_arrays(arrays, schema=self._schema)
            self._writer.write_table(table, row_group_size=max(rows, 1))
        except OSError as error:
            raise self._failed(error) from error
        self._rows += rows

    def publish(self) -> ShardHashes:
        """Close, flush and rename the shard; return what identifies it."""
        try:
            self._writer.close()
            with self._temporary.open("rb") as file:
                os.fsync(file.fileno())
            sha256 = file_sha256(self._temporary)
            self._temporary.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error
        return ShardHashes(rows=self._rows, sha256=sha256, data_sha256=self._data_sha256())

    def abandon(self) -> None:
        """Drop the temporary file."""
        self._temporary.unlink(missing_ok=True)

    def _hash_block(
        self, run_ids: Sequence[str], run: IntArray, epoch: IntArray, columns: FloatArray
    ) -> None:
        lengths = np.bincount(run, minlength=len(run_ids))
        for run_id, length in zip(run_ids, lengths.tolist(), strict=True):
            self._digests["run_id"].update(f"{run_id}:{length};".encode())
        for name, column in zip(self._schema.names[1:], [epoch, *columns], strict=True):
            self._digests[name].update(np.ascontiguousarray(column).data)

    def _data_sha256(self) -> str:
        lines = [f"{name} {digest.hexdigest()}\n" for name, digest in self._digests.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _failed(self, error: OSError) -> InputOutputError:
        self.abandon()
        reason = error.strerror or str(error)
        return InputOutputError(
            f"cannot write {self._path}: {reason}; free space or choose another place, "
            "finished shards are kept"
        )


@dataclass(frozen=True, kw_only=True)
class EpochRows:
    """Rows of whole runs, in order.

    Attributes
    ----------
    run_ids
        Ids of the runs, length R.
    lengths
        Rows of each run, shape ``(R,)``.
    epoch
        Epoch t, shape ``(N,)``, int32.
    measures
        Measures by name, each of shape ``(N,)``, float32.
    params
        Parameters, shape ``(N, P)``, float32.
    """

    run_ids: list[str]
    lengths: IntArray
    epoch: IntArray
    measures: dict[str, FloatArray]
    params: FloatArray


def read_shard(path: Path) -> Iterator[EpochRows]:
    """Yield a shard's row groups, checking the page checksums.

    Raises
    ------
    IntegrityError
        If a page does not match its checksum or the file is torn.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                yield _epoch_rows(file.read_row_group(group))
    except (OSError, pa.ArrowInvalid) as error:
        raise IntegrityError(
            f"shard {path} is damaged ({str(error).splitlines()[0]}); delete it and run again"
        ) from error


def _epoch_rows(table: pa.Table) -> EpochRows:
    identifiers = table["run_id"].combine_chunks()
    if isinstance(identifiers, pa.ChunkedArray):
        identifiers = identifiers.unify_dictionaries().chunk(0)
    codes = identifiers.indices.to_numpy()
    names = identifiers.dictionary.to_pylist()
    param_names = [
        name for name in scalar_param_names(table.num_columns) if name in table.column_names
    ]
    params = np.stack([table[name].to_numpy() for name in param_names], axis=1)
    return EpochRows(
        run_ids=names,
        lengths=np.bincount(codes, minlength=len(names)),
        epoch=table["epoch"].to_numpy(),
        measures={name: table[name].to_numpy() for name in EPOCH_MEASURES},
        params=params,
    )
