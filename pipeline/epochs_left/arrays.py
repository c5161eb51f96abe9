"""Array types that everything else is written in, and ranges of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

#: Labels of runs or lineages: integer codes (fast) or strings.
Labels = NDArray[Any]


def ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return ``start, start + 1, ...`` of each range, one after another.

    Parameters
    ----------
    starts, lengths
        First number and size of each range, shape ``(n,)``.

    Returns
    -------
    Array of shape ``(sum(lengths),)``.
    """
    offsets = np.cumsum(lengths) - lengths
    spread: IntArray = np.arange(int(lengths.sum())) + np.repeat(starts - offsets, lengths)
    return spread
