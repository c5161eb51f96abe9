"""Processes that end with the one that needs them.

SIGKILL ends one process and leaves its children running: a stage whose DVC was killed would write
on while the next run reads, and workers whose stage was killed keep their memory for minutes.
A thread looks at the parent a few times a second; the kernel tells nobody but the parent.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks.
INTERVAL = 0.2

# DVC names the stage to the commands that it starts.
_STAGE = "DVC_STAGE"

#: Process that started the script ``pipeline/python``, which notes it: the stage may come to life
#: after that process has died.
STARTED_BY = "EPOCHS_LEFT_STARTED_BY"


def end_with_dvc() -> None:
    """End this process soon after the DVC that started it, however that ends.

    Without effect on a process that a person started, which may outlive its shell.
    """
    if _STAGE in os.environ:
        line = _line_to_dvc()
        line[0] = int(os.environ.get(STARTED_BY, line[0]))
        _end_unless(lambda: _line_to_dvc() == line)


def end_with_parent(parent: int) -> None:
    """End this process soon after its parent, whose id is ``parent``, however that ends."""
    _end_unless(lambda: os.getppid() == parent)


def _end_unless(is_needed: Callable[[], bool]) -> None:
    def watch() -> None:
        while is_needed():
            time.sleep(INTERVAL)
        os._exit(1)  # nobody is left to say anything to

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()


def _line_to_dvc() -> list[int]:
    """Return the ids of the parent, its parent and so on up to DVC.

    There is more than DVC where a shell (fish, an old dash) waits for its command instead of
    becoming it. Such a shell has the stage's name in its environment, and DVC has not. Elsewhere
    than on Linux, which shows it, the line is the parent alone.
    """
    line = [os.getppid()]
    while _runs_this_stage(line[-1]):
        line.append(_parent_of(line[-1]))
    return line


def _runs_this_stage(process: int) -> bool:
    try:
        environment = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{_STAGE}={os.environ[_STAGE]}") in environment.split(b"\0")


def _parent_of(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])
