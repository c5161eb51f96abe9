"""`trainer_state.json` of the Hugging Face Trainer.

Its ``log_history`` is a list of entries: losses at `logging_steps`, evaluations, and a summary.
``epoch`` is the fraction of passes done, so epochs count from 1 already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from epochs_left.errors import DataError
from epochs_left.storage.log_readers import LogReader, log_reader
from epochs_left.storage.log_readers._entries import EPOCH, STEP, Entries
from epochs_left.storage.text_logs import BOM, column_of, read_bytes

_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")
#: A larger state is not read: JSON takes ten times as much memory as the file.
MAX_BYTES = 256 * 2**20
#: A Trainer that was given a number of steps alone writes a number of epochs beyond this.
_MAX_SETTING = 10**9
_BATCH = ("train_batch_size",)
_TIMES = {"num_train_epochs": EPOCH, "max_steps": STEP}


@log_reader
class HuggingFace(LogReader):
    """The state of a run, whole in each of its checkpoints."""

    title = "Hugging Face trainer_state.json"
    pattern = "trainer_state.json"
    remark = (
        "epochs are passes done; several entries of an epoch are one row, their mean (the last "
        "of eval_ metrics); --time-column step predicts in steps"
    )

    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether JSON starts that is called so, or has a log history."""
        starts = head.removeprefix(BOM).lstrip().startswith(b"{")
        return starts and (name == self.pattern or b'"log_history": [' in head)

    def run_folder(self, file: Path) -> Path:
        """Return the output folder of the Trainer, above its checkpoints."""
        return file.parent.parent if _CHECKPOINT.match(file.parent.name) else file.parent

    def files_of_run(self, found: Sequence[Path]) -> Sequence[Path]:
        """Return the newest state: that of the folder itself, or the last checkpoint's."""

        def step(file: Path) -> float:
            checkpoint = _CHECKPOINT.match(file.parent.name)
            return int(checkpoint[1]) if checkpoint else float("inf")

        return [max(found, key=step)]

    def read(self, files: Sequence[BinaryIO]) -> Entries:
        """Return the entries of the log history."""
        (file,) = files
        state = _state(file)
        history = state["log_history"]
        names = dict.fromkeys(name for entry in history for name in entry)
        values = {name: column_of([entry.get(name) for entry in history]) for name in names}
        n = len(history)
        values.setdefault(EPOCH, pa.nulls(n, pa.float64()))
        values.setdefault(STEP, pa.nulls(n, pa.float64()))
        batch_size = {name: pa.array([size] * n) for name, size in _numbers(state, _BATCH).items()}
        horizons = {_TIMES[name]: number for name, number in _numbers(state, _TIMES).items()}
        return Entries(
            values=batch_size | values,
            counted_from=1,
            passes_done=_number(state.get("epoch")),
            horizons=horizons,
        )


def _state(file: BinaryIO) -> dict[str, Any]:
    try:
        state = json.loads(read_bytes(file, MAX_BYTES).removeprefix(BOM))
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"expected whole JSON as the Trainer writes it ({reason}); copy the file again"
        ) from error
    if isinstance(state, dict):
        history = state.get("log_history")
        if isinstance(history, list) and all(isinstance(entry, dict) for entry in history):
            return state
    raise DataError("expected a list of entries under 'log_history', found none; copy it again")


def _numbers(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Return those of the settings that a run can have."""
    found = {name: _number(state.get(name)) for name in names}
    return {
        name: value
        for name, value in found.items()
        if value is not None and 1 <= value <= _MAX_SETTING
    }


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number else None
    except OverflowError:  # a whole number beyond all floats
        return None
