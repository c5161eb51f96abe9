"""`metrics.csv` of Lightning's CSVLogger, in a folder ``version_N`` a run.

Rows of training, of evaluation and of learning rates are separate: each has some of the columns.
Epochs count from 0 after the first pass, steps alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.errors import DataError
from epochs_left.storage.log_readers import EPOCH, STEP, LogReader, log_reader
from epochs_left.storage.log_readers._entries import Entries, one_lr
from epochs_left.storage.text_logs import BOM, CsvLog

#: Values of one run: its rows are sorted by epoch as a whole.
MAX_CELLS = 50_000_000


@log_reader
class Lightning(LogReader):
    """Rows with some of the values each."""

    title = "Lightning CSVLogger"
    pattern = "metrics.csv"
    remark = (
        "several entries of an epoch are one row, their mean (the last of val_ and test_ metrics)"
    )

    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether a file is called so and has both counts, but no column of runs."""
        header = head.removeprefix(BOM).partition(b"\n")[0].strip().split(b",")
        return name == self.pattern and {b"epoch", b"step"} <= {*header} and b"run_id" not in header

    def read(self, files: Sequence[BinaryIO]) -> Entries:
        """Return the rows; one without an epoch belongs to that of the next row that has one."""
        (file,) = files
        log = CsvLog(file)
        table = pa.concat_tables(_bounded(log.batches(log.columns)))
        values = {name: pa.concat_arrays(table[name].chunks) for name in table.column_names}
        if EPOCH in values:
            epochs = values[EPOCH]
            values[EPOCH] = pc.fill_null_backward(pc.if_else(pc.equal(epochs, ""), None, epochs))
        lr = one_lr(log.columns)
        if lr is not None and "lr" not in values:
            values["lr"] = values.pop(lr)
        values.setdefault(STEP, pa.nulls(table.num_rows, pa.string()))
        return Entries(values=values, counted_from=0)


def _bounded(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables; DataError as soon as they hold too much together."""
    n_cells = 0
    for table in batches:
        n_cells += table.num_rows * table.num_columns
        if n_cells > MAX_CELLS:
            raise DataError(
                f"expected at most {MAX_CELLS:,} values in a run, got {n_cells:,} or more; log "
                "less often, or keep every tenth row"
            )
        yield table
