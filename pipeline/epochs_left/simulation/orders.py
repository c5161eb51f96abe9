"""Sample orders of online training, from a counter-based generator inside the compiled loop.

Philox-4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011). The order of epoch e depends on (run key, e) alone.
"""

from __future__ import annotations

import itertools

import numpy as np
from numba import uint32, uint64

from epochs_left.compiled import compiled

#: The 24 orders of the four XOR examples, shape ``(24, 4)``.
PERMUTATIONS = np.array(list(itertools.permutations(range(4))), dtype=np.int64)

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


@compiled
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Return four random 32-bit words of a 128-bit counter under a 64-bit key (ten rounds)."""
    for _ in range(10):
        p0 = _MULTIPLIERS[0] * uint64(c0)
        p1 = _MULTIPLIERS[1] * uint64(c2)
        c0, c2 = uint32(p1 >> _WORD) ^ c1 ^ k0, uint32(p0 >> _WORD) ^ c3 ^ k1
        c1, c3 = uint32(p1 & _LOW), uint32(p0 & _LOW)
        k0 = uint32(k0 + _WEYL[0])
        k1 = uint32(k1 + _WEYL[1])
    return c0, c1, c2, c3


@compiled
def order_index(epoch, k0, k1):  # type: ignore[no-untyped-def]
    """Return the row of ``PERMUTATIONS`` for an epoch; four epochs share one Philox block."""
    zero = uint32(0)
    words = philox4x32(uint32(epoch >> 2), zero, zero, zero, k0, k1)
    lane = epoch & 3
    word = words[0]
    if lane == 1:
        word = words[1]
    elif lane == 2:
        word = words[2]
    elif lane == 3:
        word = words[3]
    # Multiply and shift: an index in [0, 24) with a bias below 24 / 2^32.
    return (uint64(word) * uint64(24)) >> _WORD


@compiled
def shuffled_orders(keys, epochs, out):  # type: ignore[no-untyped-def]
    """Write the sample order of each lane's epoch: a permutation of 0 to n - 1.

    Fisher and Yates' shuffle (Knuth, TAOCP 2, 3.4.2 P) with Philox words, four a block. The counter
    differs from that of `order_index` in its third word.

    Parameters
    ----------
    keys
        Key of each lane's stream, shape ``(K, 2)``, uint32.
    epochs
        Epoch of each lane, shape ``(K,)``.
    out
        Shape ``(K, n)``, int64.
    """
    n = out.shape[1]
    for lane in range(out.shape[0]):
        order = out[lane]
        for i in range(n):
            order[i] = i
        epoch = uint32(epochs[lane])
        words = (uint32(0), uint32(0), uint32(0), uint32(0))
        for i in range(n - 1, 0, -1):
            if (i & 3) == 3 or i == n - 1:
                words = philox4x32(
                    uint32(i >> 2), epoch, uint32(1), uint32(0), keys[lane, 0], keys[lane, 1]
                )
            part = i & 3
            word = words[0]
            if part == 1:
                word = words[1]
            elif part == 2:
                word = words[2]
            elif part == 3:
                word = words[3]
            # Multiply and shift: an index in [0, i] with a bias below n / 2^32.
            j = np.int64((uint64(word) * uint64(i + 1)) >> _WORD)
            order[i], order[j] = order[j], order[i]
