"""Array types that everything else is written in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

#: Labels of runs or lineages: integer codes (fast) or strings.
Labels = NDArray[Any]
