"""The heading towards the final parameters: oracle."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.ORACLE, units={"homing_cosine": "1"})
def oracle_heading(homing_cosine: FloatArray) -> dict[str, FloatArray]:
    """Cosine between the last update and the way to the final parameters."""
    return {"homing_cosine": homing_cosine}
