"""Centred XOR, the task of seed 003 section 2.1."""

from __future__ import annotations

import numpy as np

#: Inputs, shape ``(4, 2)``; X^T X = 4 I with a column of ones for the bias.
XOR_INPUTS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])

#: 1 where the signs differ, else 0; shape ``(4,)``.
XOR_TARGETS = np.array([0.0, 1.0, 1.0, 0.0])

N_EXAMPLES = 4
N_INPUTS = 2
