"""Epoch shards: Parquet files of a fixed set of runs, a row a run and epoch.

zstd, byte-stream split for floats, page checksums. Two hashes are kept of each shard: that
of the file's bytes (integrity) and that of its rows (identity), which does not depend on how the
file was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochs_left.arrays import FloatArray, IntArray, ranges
from epochs_left.errors import InputOutputError, IntegrityError
from epochs_left.schema import MAX_SCALAR_PARAMS, scalar_param_names
from epochs_left.storage.atomic import sync_file, sync_folder, temporary_beside

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
    schema
        Columns of the shard: `schema.epochs_schema`.

    Raises
    ------
    InputOutputError
        From any method, if the file cannot be written; nothing is left behind.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._temporary = temporary_beside(path)
        self._schema = schema
        self._digests = {name: hashlib.sha256() for name in self._schema.names}
        self._rows = 0
        encodings = {_leaf(field): "BYTE_STREAM_SPLIT" for field in list(schema)[2:]}
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
        self,
        run_ids: Sequence[str],
        run: IntArray,
        epoch: IntArray,
        columns: Mapping[str, FloatArray],
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
            The other columns of the schema by name, float32: scalars of shape ``(rows,)``, lists of
            shape ``(rows, width)``.
        """
        rows = int(epoch.size)
        self._hash_block(run_ids, run, epoch, columns)
        identifiers = pa.DictionaryArray.from_arrays(pa.array(run), pa.array(run_ids, pa.string()))
        values = [_arrow(columns[field.name], field) for field in list(self._schema)[2:]]
        arrays = [identifiers, pa.array(epoch), *values]
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
            sync_file(self._temporary)
            sha256 = file_sha256(self._temporary)
            self._temporary.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error
        return ShardHashes(rows=self._rows, sha256=sha256, data_sha256=self._data_sha256())

    def abandon(self) -> None:
        """Drop the temporary file."""
        self._temporary.unlink(missing_ok=True)

    def _hash_block(
        self,
        run_ids: Sequence[str],
        run: IntArray,
        epoch: IntArray,
        columns: Mapping[str, FloatArray],
    ) -> None:
        lengths = np.bincount(run, minlength=len(run_ids))
        for run_id, length in zip(run_ids, lengths.tolist(), strict=True):
            self._digests["run_id"].update(f"{run_id}:{length};".encode())
        self._digests["epoch"].update(np.ascontiguousarray(epoch).data)
        for name in self._schema.names[2:]:
            self._digests[name].update(np.ascontiguousarray(columns[name]).data)

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


def _leaf(field: pa.Field) -> str:
    """Return the Parquet path of the values of a scalar or list column."""
    is_list = pa.types.is_fixed_size_list(field.type)
    return f"{field.name}.list.element" if is_list else str(field.name)


def _arrow(values: FloatArray, field: pa.Field) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if pa.types.is_fixed_size_list(field.type):
        return pa.FixedSizeListArray.from_arrays(flat, type=field.type)
    return flat


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
    vectors
        Lists by name, float32: ``params`` of shape ``(N, P)``, or for wide models
        ``tensor_statistics`` and ``sketch`` (`schema.epochs_schema`).
    """

    run_ids: list[str]
    lengths: IntArray
    epoch: IntArray
    measures: dict[str, FloatArray]
    vectors: dict[str, FloatArray]

    @property
    def params(self) -> FloatArray:
        """Parameters, shape ``(N, P)``, float32; KeyError for wide models."""
        return self.vectors["params"]

    def take_runs(self, members: IntArray) -> EpochRows:
        """Return the rows of some of the runs, in the order of ``members``."""
        starts = (np.cumsum(self.lengths) - self.lengths)[members]
        lengths = self.lengths[members]
        cells = ranges(starts, lengths)
        return EpochRows(
            run_ids=[self.run_ids[i] for i in members],
            lengths=lengths,
            epoch=self.epoch[cells],
            measures={name: values[cells] for name, values in self.measures.items()},
            vectors={name: values[cells] for name, values in self.vectors.items()},
        )


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
            f"shard {path} is damaged ({str(error).splitlines()[0]}); delete it and run again",
            path,
        ) from error


def _epoch_rows(table: pa.Table) -> EpochRows:
    identifiers = table["run_id"].combine_chunks()
    if isinstance(identifiers, pa.ChunkedArray):
        identifiers = identifiers.unify_dictionaries().chunk(0)
    codes = identifiers.indices.to_numpy()
    names = identifiers.dictionary.to_pylist()
    vectors = {
        field.name: _matrix(table[field.name])
        for field in table.schema
        if pa.types.is_fixed_size_list(field.type)
    }
    scalars = [name for name in scalar_param_names(MAX_SCALAR_PARAMS) if name in table.column_names]
    if scalars:
        vectors["params"] = np.stack([table[name].to_numpy() for name in scalars], axis=1)
    others = {"run_id", "epoch", *vectors, *scalars}
    return EpochRows(
        run_ids=names,
        lengths=np.bincount(codes, minlength=len(names)),
        epoch=table["epoch"].to_numpy(),
        measures={n: table[n].to_numpy() for n in table.column_names if n not in others},
        vectors=vectors,
    )


def _matrix(column: pa.ChunkedArray) -> FloatArray:
    values: FloatArray = column.combine_chunks().flatten().to_numpy()
    return values.reshape(-1, column.type.list_size)
