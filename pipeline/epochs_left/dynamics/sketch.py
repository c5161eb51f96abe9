"""Count-sketch: a short linear image of a long vector that keeps inner products in expectation.

Charikar, Chen and Farach-Colton 2002; as feature hashing Weinberger et al. 2009, whose Lemma 2
gives E<Sx, Sy> = <x, y> and a variance of at most 2 |x|^2 |y|^2 / size. Since it is linear, the
sketch of a difference is the difference of the sketches: distances between epochs follow. Each
bucket of a sketch is the sum of its coordinates, each times its sign.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray, IntArray

# One fixed hash for all runs and versions: sketches are only comparable under the same hash.
_SEED = 20020


def sketch_hashes(n_params: int, size: int) -> tuple[IntArray, FloatArray]:
    """Return the bucket in [0, size) and the sign of each coordinate, both of shape (n_params,).

    A longer vector has the same hashes for its first coordinates.
    """
    rng = np.random.Generator(np.random.Philox(_SEED))
    words = rng.integers(0, 2 * size, n_params)
    return words % size, np.where(words < size, 1.0, -1.0)
