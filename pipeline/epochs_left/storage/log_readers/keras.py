"""The CSV file of `keras.callbacks.CSVLogger`.

Its header is ``epoch`` and then the names of the logs in alphabetical order; a name and the same
name with ``val_`` before it make it a Keras log, or a name that Keras gives. Epochs count from 0
after the first pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.storage.log_readers import LogReader, log_reader
from epochs_left.storage.text_logs import BOM, CsvLog

_EPOCH = "epoch"
_KERAS_NAMES = frozenset(
    {"accuracy", "acc", "binary_accuracy", "categorical_accuracy", "learning_rate", "mae", "mse"}
    | {"mean_absolute_error", "mean_squared_error", "sparse_categorical_accuracy"}
)


@log_reader
class Keras(LogReader):
    """A row an epoch, with all values."""

    title = "Keras CSVLogger"
    remark = "a row is an epoch"

    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether a header is as Keras writes it and the first row is that of epoch 0."""
        del name
        lines = head.removeprefix(BOM).decode("utf-8", errors="replace").splitlines()
        if len(lines) < 2 or not lines[1].startswith("0,"):
            return False
        first, *logs = lines[0].split(",")
        twins = any(f"val_{log}" in logs for log in logs)
        known = twins or not _KERAS_NAMES.isdisjoint(logs)
        return first == _EPOCH and "loss" in logs and logs == sorted(logs) and known

    def run_folder(self, file: object) -> None:
        """Return None: a run is called after its file."""
        del file

    def read(self, files: Sequence[BinaryIO]) -> _Shifted:
        """Return the rows with 1 added to their epochs."""
        (file,) = files
        return _Shifted(CsvLog(file))


class _Shifted:
    """A CSV log whose epochs count from 0 after the first pass."""

    shifted = True

    def __init__(self, log: CsvLog) -> None:
        self._log = log

    def n_entries(self, columns: Sequence[str]) -> None:
        """Return None: a row is an entry."""
        del columns

    @property
    def columns(self) -> tuple[str, ...]:
        return self._log.columns

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        return (_one_more(table) for table in self._log.batches(columns))


def _one_more(table: pa.Table) -> pa.Table:
    """Return the table with 1 added to its epochs; what is no number stays, to be refused."""
    if _EPOCH not in table.column_names:
        return table
    try:
        shifted = pc.add(table[_EPOCH].cast(pa.float64()), 1.0)
    except pa.ArrowInvalid:
        return table
    return table.set_column(table.column_names.index(_EPOCH), _EPOCH, shifted)
