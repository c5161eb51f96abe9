"""Damaged files are set aside, so that nothing reads them and they are made again."""

from __future__ import annotations

import stat
from pathlib import Path


def set_aside(path: Path, folder: Path) -> bool:
    """Move a damaged file into ``folder``, for whoever wants to know what happened to it.

    DVC's cache may hold the same file by a link. DVC takes what is write-protected there for whole
    without looking, and would put the damaged file back for ever; so the protection goes first.

    Returns
    -------
    Whether it could be done; a file of others stays where it is.
    """
    try:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(folder / "-".join(part for part in path.parts if part != path.anchor))
    except OSError:
        return False
    return True
