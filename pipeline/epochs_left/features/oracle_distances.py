"""Distances to the final parameters, seed 003 section 3.1."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_EPSILON = 1e-8  # keeps the log finite at the end of a run; float32 cannot resolve less

_UNITS = {
    "l1_to_final": "parameter units",
    "l2_to_final": "parameter units",
    "cosine_to_final": "1",
    "chebyshev_to_final": "parameter units",
}


@feature_group(
    view=View.ORACLE,
    units={**_UNITS, **{f"log_{name}": f"log({unit})" for name, unit in _UNITS.items()}},
)
def oracle_distances(
    l1_to_final: FloatArray,
    l2_to_final: FloatArray,
    cosine_to_final: FloatArray,
    chebyshev_to_final: FloatArray,
) -> dict[str, FloatArray]:
    """L1, L2, cosine and Chebyshev distance to the final parameters, and their logs."""
    raw = {
        "l1_to_final": l1_to_final,
        "l2_to_final": l2_to_final,
        "cosine_to_final": cosine_to_final,
        "chebyshev_to_final": chebyshev_to_final,
    }
    logs = {f"log_{name}": safe_log(value + _EPSILON) for name, value in raw.items()}
    return {**raw, **logs}
