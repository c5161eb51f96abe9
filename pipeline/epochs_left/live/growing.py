"""A log that grows, as rows: the lines that have come so far, parsed as `predict` parses them."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import cast

import numpy as np

from epochs_left.errors import DataError
from epochs_left.prediction.cells import Names
from epochs_left.prediction.layout import ColumnChoice, Layout, OnBad, resolve
from epochs_left.prediction.rows import RowReader, Rows, concatenated
from epochs_left.storage.log_readers import LogReader, reader_of
from epochs_left.storage.logs import FOREIGN, FrameworkLog, Log
from epochs_left.storage.text_logs import BOM, CsvLog, JsonLinesLog

#: Lines of a JSON log after which a column that no line has had is taken to be missing: loggers
#: write a line for the training loss and another one for an evaluation.
_PATIENCE = 20
_BINARY = {b"PAR1": "a Parquet file, which does not grow", b"\x00": "binary data"}


class GrowingLog:
    """Turns the lines of one file into rows.

    Of a tidy table each piece is parsed once. What a framework writes is parsed from its start each
    time, since a row may be made of several lines.

    Parameters
    ----------
    choice
        Columns that the user named.
    default_run
        Name of the one run of a log that has no column for it.
    name
        Name of the file, by which some readers know theirs.
    """

    def __init__(self, choice: ColumnChoice, default_run: str, name: str) -> None:
        self._choice, self._default_run, self._name = choice, default_run, name
        self._head, self._held = b"", b""
        self._is_json = False
        self._framework: LogReader | None = None
        self._columns: dict[str, None] = {}
        self._reader: RowReader | None = None
        self._n_rows = 0
        self.notes: tuple[str, ...] = ()  # what a reader did to the log, for people
        self.shifted = False  # whether 1 was added to its epochs

    @property
    def run_names(self) -> list[str]:
        """Names of the runs, by their codes in the rows."""
        return [] if self._reader is None else self._reader.run_names.texts

    @property
    def label_names(self) -> list[str]:
        """Names of optimizers and the like, by their codes in the rows."""
        return [] if self._reader is None else self._reader.label_names.texts

    @property
    def layout(self) -> Layout | None:
        """The columns by the part that they play; None before the first row."""
        return None if self._reader is None else self._reader.layout

    def add(self, lines: bytes, *, last: bool = False) -> Rows | None:
        """Return the rows that whole lines say, None where they make none.

        Parameters
        ----------
        last
            Whether nothing more is to be expected: what has been waited for is missing then.

        Raises
        ------
        DataError
            At what `predict` refuses, apart from a loss that is not finite, which is news.
        """
        self._held += lines
        if not self._head and not self._begin(last):
            return None
        if not self._held.strip():
            return None
        log = self._log()
        self.notes, self.shifted = log.notes, log.shifted
        self._columns |= dict.fromkeys(log.columns)
        layout = self._layout(last)
        if layout is None:
            return None
        rows = self._rows(log, layout)
        if self._framework is None:
            self._held = b""
        return rows

    def _begin(self, last: bool) -> bool:
        """Find out what kind of log it is, once there is enough of it."""
        text = self._held.removeprefix(BOM).lstrip()
        for magic, what in (_BINARY | FOREIGN).items():
            if text.startswith(magic):
                raise DataError(f"expected a growing CSV or JSON Lines file, found {what}")
        first, _, more = text.partition(b"\n")
        if not text or (text[:1] != b"{" and not more.strip() and not last):
            return False
        self._is_json = text.startswith(b"{")
        self._framework = reader_of(self._name, text)
        if self._is_json or self._framework is not None:
            self._head, self._held = BOM, text
        else:
            self._head, self._held = first + b"\n", more
        return True

    def _log(self) -> Log:
        if self._framework is not None:
            source = self._framework.read([io.BytesIO(self._held)])
            return FrameworkLog(self._framework, {None: lambda: source})
        kind = JsonLinesLog if self._is_json else CsvLog
        return cast(Log, kind(io.BytesIO(self._head + self._held)))

    def _layout(self, last: bool) -> Layout | None:
        try:
            return resolve(tuple(self._columns), self._choice)
        except DataError:
            missing = self._reader is None  # a column may come with a later line
            if missing and self._is_json and not last and self._held.count(b"\n") < _PATIENCE:
                return None
            raise

    def _rows(self, log: Log, layout: Layout) -> Rows | None:
        if self._reader is None:
            self._reader = RowReader(
                layout=layout,
                on_bad=OnBad.FLAG,
                with_params=False,
                run_names=Names(),
                label_names=Names(),
                default_run=self._default_run,
            )
        self._reader = replace(self._reader, layout=layout)
        before = 0 if self._framework else self._n_rows
        try:
            parts = list(self._reader.read(log.batches(layout.columns(with_params=False))))
        except DataError as error:
            raise _renumbered(error, before) from error
        found = [part for part in parts if len(part)]
        if not found:
            return None
        rows = concatenated(found)
        new = rows.take(np.arange(self._n_rows - before, len(rows)))
        self._n_rows = before + len(rows)
        return new if len(new) else None


def _renumbered(error: DataError, before: int) -> DataError:
    """Return an error whose row is counted from the start of the log."""
    if error.row is None:
        return error
    row = error.row + before
    text = str(error).replace(f"data row {error.row}:", f"data row {row}:", 1)
    return DataError(text, column=error.column, row=row)
