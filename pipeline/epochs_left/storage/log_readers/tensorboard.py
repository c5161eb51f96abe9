"""TensorBoard's event files: the scalars of a run, by tag.

Steps are what the program passed to its writer and are kept as they are. A scalar called ``epoch``
is Lightning's: it counts from 0 after the first pass, and so do the steps beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from epochs_left.storage.event_files import Scalars, has_sound_start, read_scalars
from epochs_left.storage.log_readers import EPOCH, STEP, LogReader, log_reader
from epochs_left.storage.log_readers._entries import Entries, one_lr

_WALL_TIME = "wall_time"


@log_reader
class TensorBoard(LogReader):
    """Scalars of the event files of one folder."""

    title = "TensorBoard event files"
    pattern = "*tfevents*"
    remark = "of a step that was written twice the last holds"

    def recognises(self, name: str, head: bytes) -> bool:
        """Return whether a file is called so, or starts with a record with a sound checksum."""
        return "tfevents" in name or has_sound_start(head)

    def read(self, files: Sequence[BinaryIO]) -> Entries:
        """Return the scalars, a row a step."""
        found = Scalars()
        for file in files:
            read_scalars(file, found)
        return _by_step(found)


def _by_step(found: Scalars) -> Entries:
    every = [np.array(point.steps, dtype=np.int64) for point in found.by_tag.values()]
    steps = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *every]))
    wall = np.full(steps.size, np.nan)
    values: dict[str, pa.Array] = {}
    for (tag, points), own in zip(found.by_tag.items(), every, strict=True):
        row = np.searchsorted(steps, own)
        column, known = np.full(steps.size, np.nan), np.zeros(steps.size, dtype=np.bool_)
        column[row], known[row] = points.values, True
        wall[row] = points.wall_times
        values[tag] = pa.array(column, mask=~known)
    lr = one_lr(list(values))
    if lr is not None and "lr" not in values:
        values["lr"] = values.pop(lr)
    counted_from = 0 if EPOCH in values else 1
    return Entries(
        values=values | {STEP: pa.array(steps), _WALL_TIME: pa.array(wall)},
        counted_from=counted_from,
    )
