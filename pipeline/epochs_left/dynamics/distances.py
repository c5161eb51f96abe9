"""Distances between parameter vectors (seed 003 section 3.1), along the last axis."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray


def l1_distance(current: FloatArray, other: FloatArray) -> FloatArray:
    """Return ``sum_i |current_i - other_i|``; arrays ``(..., P)`` that broadcast."""
    result: FloatArray = np.abs(current - other).sum(axis=-1)
    return result


def l2_distance(current: FloatArray, other: FloatArray) -> FloatArray:
    """Return ``sqrt(sum_i (current_i - other_i)^2)``; arrays ``(..., P)`` that broadcast."""
    result: FloatArray = np.sqrt(np.square(current - other).sum(axis=-1))
    return result


def chebyshev_distance(current: FloatArray, other: FloatArray) -> FloatArray:
    """Return ``max_i |current_i - other_i|``; arrays ``(..., P)`` that broadcast."""
    result: FloatArray = np.abs(current - other).max(axis=-1)
    return result


def cosine_distance(current: FloatArray, other: FloatArray) -> FloatArray:
    """Return ``1 - cos(current, other)`` in [0, 2]; 1 where a vector is zero.

    Computed from the difference of the unit vectors, ``|u - v|^2 / 2``, which keeps its digits
    where the angle is small; ``1 - u.v`` would lose them.
    """
    squared = np.square(_unit(current) - _unit(other)).sum(axis=-1) / 2
    undefined = _is_zero(current) | _is_zero(other)
    return np.where(undefined, 1.0, squared)


def block_means(values: FloatArray, block_of_param: IntArray, n_blocks: int) -> FloatArray:
    """Average parameters within their blocks.

    Parameters
    ----------
    values
        Shape ``(..., P)``.
    block_of_param
        Block of each parameter, shape ``(P,)``, values below ``n_blocks``.
    n_blocks
        Number of blocks; one without parameters averages to 0.

    Returns
    -------
    Shape ``(..., n_blocks)``.
    """
    membership = block_of_param[:, None] == np.arange(n_blocks)[None, :]
    counts = np.maximum(membership.sum(axis=0), 1)
    means: FloatArray = np.einsum("...p,ps->...s", values, membership / counts)
    return means


def _unit(vectors: FloatArray) -> FloatArray:
    norm = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return vectors / np.where(norm == 0, 1.0, norm)


def _is_zero(vectors: FloatArray) -> BoolArray:
    result: BoolArray = np.logical_not(np.any(vectors, axis=-1))
    return result
