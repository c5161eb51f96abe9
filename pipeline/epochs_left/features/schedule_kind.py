"""Schedule of the learning rate, known before the run starts: causal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={f"schedule_{name}": "0 or 1" for name in SCHEDULES})
def schedule_kind(lr_schedule: NDArray[Any]) -> dict[str, FloatArray]:
    """Schedule of the learning rate; steps with drops of one's own are steps."""
    kind = np.array([str(name).partition(":")[0] for name in lr_schedule.ravel()])[:, None]
    return {f"schedule_{name}": (kind == name).astype(np.float64) for name in SCHEDULES}
