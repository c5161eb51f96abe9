"""Intervals for a family of runs that was not in training, from the families that were.

A new family is a new group of groups, and conformal prediction over K families supports no central
level above 1 - 2 / (K + 1): nothing is proved here. What can be told is how far off each family was
predicted by models that had not seen it, and the worst of them is taken. How often that covers a
further family is measured in ``held_out_families.json``: one that is stranger than all the others
are to each other is covered less often than promised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochs_left.arrays import FloatArray, Labels
from epochs_left.statistics.conformal import LEVELS, Offsets


def unseen_family_offsets(
    residual: FloatArray,
    family: Labels,
    weight: FloatArray,
    levels: Sequence[float] = LEVELS,
) -> Offsets:
    """Return offsets that hold on each family when it is left out, for a grid of levels.

    Each side gets half of 1 - level: the lower offset is the smallest of the families' quantiles of
    (1 - level) / 2, the upper one the largest of (1 + level) / 2.

    Parameters
    ----------
    residual
        Actual minus predicted on the log(1 + R) scale by a model that saw nothing of the row's
        family, shape ``(n,)``.
    family
        Family of each row, shape ``(n,)``.
    weight
        Weight of each row within its family, shape ``(n,)``.
    levels
        Increasing levels in (0, 1).

    Returns
    -------
    ``(levels, lower, upper)``, parallel arrays, as of `conformal.conformal_offsets`.
    """
    wanted = np.asarray(levels, dtype=np.float64)
    tails = np.concatenate([(1 - wanted) / 2, (1 + wanted) / 2])
    of_family = np.stack(
        [
            _quantiles(residual[rows], weight[rows], tails)
            for rows in (family == name for name in np.unique(family))
        ]
    )
    lower, upper = of_family[:, : wanted.size], of_family[:, wanted.size :]
    return wanted, lower.min(axis=0), upper.max(axis=0)


def _quantiles(values: FloatArray, weight: FloatArray, shares: FloatArray) -> FloatArray:
    """Smallest value at which the cumulative share of the weight reaches each share."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    index = np.searchsorted(reached, shares - 1e-12)
    return np.asarray(values[order][np.minimum(index, values.size - 1)])
