"""Features as the columns of a linear model: bounded, standardised, none that others imply."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.regressors._transforms import BoundToTraining

#: Least share of a column's variance that the columns before it leave unexplained: less is a
#: variance inflation of a million and more. Float32 features that follow from others leave 1e-14.
TOLERANCE = 1e-6
#: Spread of a constant column, over its largest value, that is rounding alone.
_ROUNDING = 1e-12


def standardised(X: FloatArray, weight: FloatArray) -> FloatArray:
    """Return features as `regressors.log_linear` sees them: bounded, filled, standardised.

    Parameters
    ----------
    X
        Features, shape ``(n, p)``; what is missing becomes the median.
    weight
        Weight of each row in mean and variance, shape ``(n,)``.

    Returns
    -------
    Columns of weighted mean 0 and variance 1, constant ones 0, shape ``(n, p)``, float64.
    """
    bounded = BoundToTraining().fit_transform(X)
    deviation = bounded - np.average(bounded, axis=0, weights=weight)
    # Not StandardScaler: its weighted variance of a constant column may come out below 0.
    spread = np.sqrt(np.average(deviation**2, axis=0, weights=weight))
    varies = spread > _ROUNDING * np.abs(bounded).max(axis=0)
    scaled: FloatArray = np.divide(
        deviation,
        spread,
        out=np.zeros_like(deviation),
        where=np.broadcast_to(varies, deviation.shape),
    )
    return scaled


def independent(X: FloatArray, weight: FloatArray) -> BoolArray:
    """Say which columns to keep, from left to right: what the kept ones imply is left out.

    Gaussian elimination of the Gram matrix in the order of the columns, so that of two columns that
    say the same the first stays, whatever the rounding. Constant columns are left out.

    Parameters
    ----------
    X
        Columns of weighted mean 0 and variance 1 (or 0), shape ``(n, p)``.
    weight
        Weight of each row, shape ``(n,)``.

    Returns
    -------
    Mask of the columns, shape ``(p,)``.
    """
    gram = (X * (weight / weight.sum())[:, None]).T @ X
    kept = np.zeros(X.shape[1], dtype=np.bool_)
    for j in range(X.shape[1]):
        if gram[j, j] > TOLERANCE:
            kept[j] = True
            gram = gram - np.outer(gram[:, j], gram[j] / gram[j, j])
    return kept
