"""Numba compilation with a disk cache that cannot be stale.

Numba's cache of a function looks at that function's own file alone: an edit of a helper or a
constant in another file would go unnoticed, and old machine code would make new data. So the cache
folder is named by a hash of every source that compiled code may come from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numba

_PACKAGE = Path(__file__).resolve().parent

#: Every source that compiled code may come from.
_COMPILED_SOURCES = ("compiled.py", "dynamics", "schema.py", "simulation")


def source_fingerprint(*packages: str) -> str:
    """Return 16 hexadecimal digits that change with any Python source of these subpackages.

    Parameters
    ----------
    packages
        Names relative to ``epochs_left``: a subpackage (``"dynamics"``) or a module
        (``"schema.py"``).
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(packages):
        place = _PACKAGE / name
        sources = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for source in sources:
            digest.update(str(source.relative_to(_PACKAGE)).encode() + b"\0")
            digest.update(source.read_bytes() + b"\0")
    return digest.hexdigest()


def _cache_folder() -> str:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = Path(chosen) if chosen else Path(home).expanduser() / "epochs-left"
    return str(base / f"compiled-{source_fingerprint(*_COMPILED_SOURCES)}")


_CACHE_FOLDER = _cache_folder()


def compiled(function: Callable[..., Any], *, inline: bool = False, **options: Any) -> Any:
    """Compile ``function`` in nopython mode on its first call, cached on disk.

    It runs without the interpreter's lock, so that a watching thread is heard meanwhile.
    ``inline=True`` for scalar helpers of inner loops; further options go to ``numba.njit``.
    """
    inlining: Literal["always", "never"] = "always" if inline else "never"
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _CACHE_FOLDER
    try:
        return numba.njit(cache=True, nogil=True, inline=inlining, **options)(function)
    finally:
        settings.CACHE_DIR = before
