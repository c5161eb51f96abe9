"""Logs in Parquet: bounded before they are read, and read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from epochs_left.errors import DataError, InputOutputError, IntegrityError
from epochs_left.storage.formats import OnBadRow

#: Values that the columns in use may hold together: a 228 KB Parquet file can declare 400 MB.
MAX_CELLS = 2_000_000_000
#: Values in one batch (8 MB as float64).
BATCH_CELLS = 1_000_000


class ParquetLog:
    """A Parquet file, read in batches of bounded size; page checksums are verified."""

    reader = "Parquet"
    notes = ()
    shifted = False
    merged = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        with _parquet_errors():
            self._metadata = pq.read_metadata(file)
            self._schema = self._metadata.schema.to_arrow_schema()
        _refuse_extension_types(self._schema)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the top-level columns."""
        return tuple(self._schema.names)

    @property
    def n_rows(self) -> int:
        """Number of rows, as the metadata declare it."""
        return int(self._metadata.num_rows)

    def batches(
        self, columns: Sequence[str], on_bad_row: OnBadRow | None = None
    ) -> Iterator[pa.Table]:
        """Yield tables of at most `BATCH_CELLS` values; text stays dictionary-encoded.

        Raises
        ------
        DataError
            If the columns declare more than `MAX_CELLS` values, or cannot be decoded.
        IntegrityError
            If a page does not match its checksum.
        """
        del on_bad_row  # what is damaged is more than a row
        wanted = [name for name in columns if name in self._schema.names]
        with _parquet_errors():
            width = max(1, self._bounded_cells(wanted) // max(1, self._metadata.num_rows))
            self._file.seek(0)
            reader = pq.ParquetFile(
                self._file,
                metadata=self._metadata,
                read_dictionary=[name for name in wanted if self._is_text(name)],
                page_checksum_verification=True,
            )
            rows = max(1, BATCH_CELLS // width)
            for batch in reader.iter_batches(batch_size=rows, columns=wanted, use_threads=True):
                yield pa.Table.from_batches([batch])

    def _is_text(self, name: str) -> bool:
        kind = self._schema.field(name).type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def _bounded_cells(self, columns: Sequence[str]) -> int:
        """Return the number of values in ``columns``, as the metadata declare it."""
        wanted = set(columns)
        groups = (self._metadata.row_group(i) for i in range(self._metadata.num_row_groups))
        cells = sum(
            chunk.num_values
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
            if chunk.path_in_schema.partition(".")[0] in wanted
        )
        if cells > MAX_CELLS:
            raise DataError(
                f"expected at most {MAX_CELLS:,} values in the columns {sorted(wanted)}, "
                f"the file declares {cells:,}; split it by run"
            )
        return int(cells)


def _refuse_extension_types(schema: pa.Schema) -> None:
    for field in schema:
        if isinstance(field.type, pa.BaseExtensionType):
            raise DataError(
                f"column {field.name!r}: expected a plain Arrow type, found the extension type "
                f"{field.type.extension_name!r}; write its storage type or drop the column"
            )


@contextmanager
def _parquet_errors() -> Iterator[None]:
    """Tell damaged files from failing disks: Arrow raises OSError for both."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputOutputError(f"cannot read the file: {error.strerror or error}") from error
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if "checksum" in reason.lower():
            raise IntegrityError(f"damaged page ({reason}); copy the file again") from error
        raise DataError(
            f"expected a whole Parquet file, found a truncated or damaged one ({reason}); "
            "write or copy it again"
        ) from error
