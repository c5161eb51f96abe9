"""How far a row is from everything a model was trained on.

Mahalanobis distance on robustly scaled features with a shrunk covariance (Ledoit & Wolf 2004),
computed on those features alone that a row has, and read against the distances of the training rows
on the same features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray

#: Rows of a reference: enough for 60 features, small enough to travel with a model.
MAX_REFERENCE_ROWS = 2_000
#: Distance 1 is this quantile of the reference's own distances.
THRESHOLD_QUANTILE = 0.995
#: Scaled values beyond this are clipped: a wild value or an infinity stays far, but finite.
MAX_SCALED = 1e6
#: Smallest variance of a direction, as a share of the mean one. A direction without variance in
#: training (a constant feature, an exact sum of others) must neither divide by zero nor be ignored.
VARIANCE_FLOOR = 1e-3
#: With fewer complete rows than this for each column, missing cells of the reference are taken as
#: typical instead.
ROWS_PER_COLUMN = 3
_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class _Geometry:
    """Scaling and whitening for one set of columns."""

    centre: FloatArray
    scale: FloatArray
    whitening: FloatArray
    mean: FloatArray

    def distance(self, rows: FloatArray) -> FloatArray:
        """Return the Mahalanobis distance over the threshold, shape ``(n,)``."""
        deviation = _compressed(rows, self.centre, self.scale)
        deviation -= self.mean
        deviation = deviation @ self.whitening
        squared = np.einsum("ij,ij->i", deviation, deviation)
        return np.asarray(np.sqrt(squared, dtype=np.float64))


@dataclass(frozen=True)
class Novelty:
    """Distances from a reference sample of training rows.

    Parameters
    ----------
    reference
        Training rows, shape ``(n, p)``, float32, NaN where a feature was missing.
    """

    reference: FloatArray
    _geometries: dict[bytes, _Geometry] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, matrix: FloatArray) -> Novelty:
        """Take ``matrix``, shape ``(n, p)``, as the reference.

        Raises
        ------
        ValueError
            Without rows, or with more than ``MAX_REFERENCE_ROWS``: the caller draws the sample.
        """
        n_rows = matrix.shape[0]
        if not 0 < n_rows <= MAX_REFERENCE_ROWS:
            raise ValueError(f"a reference has 1 to {MAX_REFERENCE_ROWS} rows, got {n_rows}")
        return cls(_as_float32(matrix))

    @cached_property
    def _measured(self) -> BoolArray:
        """Columns of which the reference has a value, shape ``(p,)``."""
        return np.asarray(~np.isnan(self.reference).all(axis=0))

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return what `from_arrays` needs: plain arrays, without objects."""
        return {"reference": self.reference}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> Novelty:
        """Rebuild from `to_arrays`; the distances are the same."""
        return cls.fit(arrays["reference"])

    def distance(self, matrix: FloatArray) -> FloatArray:
        """Distance of each row from the reference, in units of the threshold.

        Parameters
        ----------
        matrix
            Rows with the reference's columns, shape ``(n, p)``; NaN where a feature is missing,
            infinities count as far away.

        Returns
        -------
        Array of shape ``(n,)``: above 1 is farther out than ``THRESHOLD_QUANTILE`` of the training
        rows; infinite for a row without any feature.
        """
        distances = np.empty(matrix.shape[0])
        for start in range(0, matrix.shape[0], _BLOCK_ROWS):
            block = _as_float32(matrix[start : start + _BLOCK_ROWS])
            distances[start : start + _BLOCK_ROWS] = self._block_distance(block)
        return distances

    def _block_distance(self, block: FloatArray) -> FloatArray:
        distances = np.empty(block.shape[0])
        for rows, available in _by_pattern(~np.isnan(block)):
            distances[rows] = self._pattern_distance(block[rows], available)
        return distances

    def _pattern_distance(self, rows: FloatArray, available: BoolArray) -> FloatArray:
        columns = available & self._measured
        if not columns.any():
            return np.full(rows.shape[0], np.inf)
        key = columns.tobytes()
        if key not in self._geometries:
            self._geometries[key] = _fit_geometry(self.reference[:, columns])
        return self._geometries[key].distance(rows if columns.all() else rows[:, columns])


def _fit_geometry(rows: FloatArray) -> _Geometry:
    """Geometry of reference rows, shape ``(n, p)``, no column without a value."""
    missing = np.isnan(rows)
    complete = rows[~missing.any(axis=1)]
    if complete.shape[0] >= ROWS_PER_COLUMN * rows.shape[1]:
        rows = complete
    centre = np.nanmedian(rows, axis=0)
    scaled = np.nan_to_num(_compressed(rows, centre, _scale(rows)), nan=0.0)
    covariance = ledoit_wolf(scaled)
    variances, directions = np.linalg.eigh(covariance)
    floor = max(VARIANCE_FLOOR * float(variances.mean()), float(np.finfo(np.float32).tiny))
    whitening = directions / np.sqrt(np.maximum(variances, floor))
    unit = _Geometry(centre, _scale(rows), whitening.astype(np.float32), scaled.mean(axis=0))
    own = unit.distance(np.where(np.isnan(rows), centre, rows))
    threshold = max(float(np.quantile(own, THRESHOLD_QUANTILE)), float(np.finfo(np.float32).eps))
    return replace(unit, whitening=(whitening / threshold).astype(np.float32))


def ledoit_wolf(rows: FloatArray) -> FloatArray:
    """Return the covariance of rows, shrunk towards a multiple of the identity, ``(p, p)``.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
    section 3: with the inner product tr(A B') / p, the share of the shrinkage is the error of the
    sample covariance over its distance from the multiple. As scikit-learn's `ledoit_wolf`, whose
    import takes longer than a short log.
    """
    n, p = rows.shape
    centred = (rows - rows.mean(axis=0)).astype(np.float64)
    sample = centred.T @ centred / n
    mean_variance = np.trace(sample) / p
    distance = np.square(sample).sum() / p - mean_variance**2
    squares = np.square(centred)
    error = ((squares.T @ squares).sum() / n - np.square(sample).sum()) / (p * n)
    share = min(error, distance) / distance if distance > 0 else 0.0
    shrunk: FloatArray = (1 - share) * sample + share * mean_variance * np.eye(p)
    return shrunk


def _scale(rows: FloatArray) -> FloatArray:
    """Interquartile range of each column; the standard deviation, or 1, where that is zero."""
    low, high = np.nanquantile(rows, [0.25, 0.75], axis=0)
    spread = np.where(high > low, high - low, np.nanstd(rows, axis=0))
    return np.where(spread > 0, spread, 1.0).astype(np.float32)


def _compressed(rows: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """Return asinh((x - centre) / scale): linear in the bulk, logarithmic in heavy tails.

    Features span decades; without it a few large training values would hide every smaller oddity.
    """
    scaled = rows - centre
    scaled /= scale
    np.clip(scaled, -MAX_SCALED, MAX_SCALED, out=scaled)
    return np.asarray(np.arcsinh(scaled, out=scaled))


def _as_float32(matrix: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # too large for float32: infinite, and clipped later
        return np.asarray(matrix, dtype=np.float32)


def _by_pattern(available: BoolArray) -> Iterator[tuple[IntArray | slice, BoolArray]]:
    """Yield the rows of each pattern of available columns, with the pattern, shape ``(p,)``."""
    packed = np.packbits(available, axis=1)
    if (packed == packed[:1]).all():
        yield slice(None), available[0]
        return
    _, first, code = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    for pattern, row in enumerate(first):
        yield np.flatnonzero(code == pattern), available[row]
