"""Prediction intervals for a new run, from out-of-fold residuals of whole lineages.

Hierarchical conformal prediction (Lee, Barber & Willett, arXiv 2306.06342, Theorem 1): groups are
exchangeable, and so are the rows of a group when one is drawn at random, however they depend on
each other. With K calibration groups, each has the mass 1 / (K + 1), shared among its rows, and the
remaining 1 / (K + 1) lies at infinity, for the new group. The quantile of that distribution at
1 - alpha covers a random row of a new group with probability 1 - alpha or more. Counting rows as
independent would put the correction at 1 / (n + 1) with n rows, and let long runs, whose errors
repeat, speak for all.

Here groups are lineages, and what is to be covered is a random row of a random run: a lineage
counts as many times as it has runs. With groups that are drawn in proportion to their weights w_g
the masses are w_g / (W + w), W their sum, and w / (W + w) at infinity for a new group of weight w
(weighted conformal prediction; Tibshirani, Barber, Candes & Ramdas, arXiv 1904.06019). The weight
of the new group is not known, and is taken as the mean of the others: the mass at infinity is then
1 / (K + 1), the paper's, whatever the weights are.

Two things differ from the papers and are therefore measured (tests, report), not proved: that mean,
and that residuals are out-of-fold ones of K-fold models and not those of one model on a held-out
part. The model that answers has seen more than each of those, so that intervals are a little too
wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochs_left.arrays import FloatArray, Labels

#: Levels at which offsets are kept: percents, and the two that people ask for above .99.
LEVELS: tuple[float, ...] = (*(percent / 100 for percent in range(1, 100)), 0.995, 0.999)

#: Half widths are at least this: quantile regression may call some rows certain. On the log(1 + R)
#: scale it is 1 % of a prediction, in log odds at most a quarter percent of the epochs ahead.
MIN_HALF_WIDTH = 0.01

Offsets = tuple[FloatArray, FloatArray, FloatArray]


def conformal_offsets(
    residual: FloatArray,
    group: Labels,
    weight: FloatArray | None = None,
    levels: Sequence[float] = LEVELS,
) -> Offsets:
    """Offsets of central intervals, for a grid of levels.

    Each side gets half of alpha = 1 - level: the upper offset is the smallest residual at which the
    groups' mass reaches 1 - alpha / 2, and the lower one mirrors it.

    Parameters
    ----------
    residual
        Actual minus out-of-fold prediction on the scale of intervals, shape ``(n,)``.
    group
        Lineage of each row, shape ``(n,)``.
    weight
        What a row counts for, shape ``(n,)``, and a group the sum of its rows; if absent, groups
        count the same and share it equally among their rows.
    levels
        Increasing levels in (0, 1).

    Returns
    -------
    ``(levels, lower, upper)``, parallel arrays. Levels of which one side asks for more mass than
    the K groups have are left out: those above 1 - 2 / (K + 1).
    """
    mass = _mass(group, weight)
    wanted = np.asarray(levels, dtype=np.float64)
    sides = (1 + wanted) / 2
    # The tolerance makes k / (K + 1) reach its own level despite rounding.
    reachable = sides <= mass.sum() + 1e-12
    upper = _mass_quantile(residual, mass, sides[reachable])
    lower = -_mass_quantile(-residual, mass, sides[reachable])
    return wanted[reachable], lower, upper


def offsets_at(level: float, offsets: Offsets) -> tuple[float, float]:
    """Return the lower and upper offset of one level.

    Between grid points the next higher level answers, which covers more; above the last one the
    interval is (-inf, inf), since no finite one is supported by the data.

    Raises
    ------
    ValueError
        If ``level`` is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    levels, lower, upper = offsets
    index = int(np.searchsorted(levels, level))
    if index == len(levels):
        return -np.inf, np.inf
    return float(lower[index]), float(upper[index])


def centre_and_half_width(quantiles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what adaptive intervals are counted in.

    Parameters
    ----------
    quantiles
        Two quantiles of the residual of each row, shape ``(n, 2)``. Quantile regression may cross
        them: the smaller is the lower one.

    Returns
    -------
    Centre and half width between them, each of shape ``(n,)``, the latter at least
    ``MIN_HALF_WIDTH``. An adaptive interval is centre + offset * half width.
    """
    values = np.asarray(quantiles, dtype=np.float64)
    lower, upper = values.min(axis=1), values.max(axis=1)
    return (lower + upper) / 2, np.maximum((upper - lower) / 2, MIN_HALF_WIDTH)


def _mass(group: Labels, weight: FloatArray | None) -> FloatArray:
    """Mass of each row, shape ``(n,)``; what they lack to 1 lies at infinity, for the new group."""
    _, code, n_rows = np.unique(group, return_inverse=True, return_counts=True)
    of_row = 1 / n_rows[code] if weight is None else weight
    n_groups = n_rows.size
    return np.asarray(of_row / of_row.sum() * n_groups / (n_groups + 1))


def _mass_quantile(values: FloatArray, mass: FloatArray, shares: FloatArray) -> FloatArray:
    """Smallest value at which the cumulative mass reaches each share."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(mass[order])
    index = np.searchsorted(reached, shares - 1e-12)
    return np.asarray(values[order][np.minimum(index, values.size - 1)])
