"""The locked test set: which lineages nothing is fitted or tuned on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from epochs_left.arrays import BoolArray

#: Separates the draw of the locked test set from every other use of the lineage's key.
LOCK_PURPOSE = b"locked test set"


def locked_lineages(lineage_ids: Iterable[str], share: float) -> BoolArray:
    """Say of each lineage whether it belongs to the locked test set.

    A lineage is locked if the BLAKE2b hash of its id, read as a number in [0, 1), is below
    ``share``: its membership depends on no other lineage, so more runs never move an old one.

    Parameters
    ----------
    lineage_ids
        Lineage of each row, or the lineages themselves.
    share
        Expected share of lineages that are locked, in [0, 1] (ValueError otherwise).

    Returns
    -------
    Boolean array in the order of ``lineage_ids``.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share!r}")
    ids, row_of = np.unique(np.asarray(list(lineage_ids), dtype=str), return_inverse=True)
    locked = np.fromiter((_position(str(name)) < share for name in ids), bool, count=ids.size)
    return locked[row_of]


def _position(lineage_id: str) -> float:
    digest = hashlib.blake2b(lineage_id.encode(), digest_size=8, person=LOCK_PURPOSE).digest()
    return int.from_bytes(digest, "big") / 2**64
