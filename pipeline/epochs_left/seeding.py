"""Counter-based randomness: every draw depends on what it is for, never on when it is made.

A stream is named by (root seed, key of a run or lineage, purpose, epoch). The same name gives the
same numbers whatever the chunk, the worker or the order of the work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import IntEnum

import numpy as np

Scalar = str | int | float | bool


class Purpose(IntEnum):
    """What a stream of random numbers is for. Values are part of the data's identity."""

    SWEEP = 0
    INITIALISATION = 1
    ORDER = 2
    EPOCH_SAMPLE = 3
    FOLDS = 4
    BOOTSTRAP = 5
    ESTIMATOR = 6
    DATA = 7
    BRANCH = 8
    STATE_SAMPLE = 9
    TARGETS = 10


def content_id(fields: Mapping[str, Scalar]) -> str:
    """Return 16 hexadecimal digits that identify ``fields`` (BLAKE2b of canonical JSON).

    Raises ``ValueError`` for NaN or infinite floats, which JSON cannot carry.
    """
    canonical = json.dumps(dict(fields), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def key_of(identifier: str) -> int:
    """Return the integer behind a hexadecimal id, the key of its random streams."""
    return int(identifier, 16)


def seed_sequence(
    root_seed: int, key: int, purpose: Purpose, epoch: int = 0
) -> np.random.SeedSequence:
    """Return the seed sequence of one stream (numpy.random.SeedSequence with a spawn key).

    ``key`` has up to 64 bits; SeedSequence takes 32-bit words, so it is passed as two.
    """
    spawn_key = (key >> 32, key & 0xFFFFFFFF, int(purpose), epoch)
    return np.random.SeedSequence(root_seed, spawn_key=spawn_key)


def generator(root_seed: int, key: int, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
    """Return a Philox generator for one stream."""
    return np.random.Generator(np.random.Philox(seed_sequence(root_seed, key, purpose, epoch)))
