"""Curves that were measured at uneven times, on an even grid."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray

#: Share of a step by which rounding may move a point of the grid before the first measurement.
_ROUNDING = 1e-9


def grid_step(time: FloatArray, max_points: int) -> float:
    """Return the median gap between measurements, or the least one that keeps to ``max_points``.

    Parameters
    ----------
    time
        When it was measured, ascending, shape ``(n,)``, n at least 2.
    max_points
        Points that an even grid over the whole time may have, at least 2.
    """
    span = float(time[-1] - time[0])
    return max(float(np.median(np.diff(time))), span / (max_points - 1))


def even_grid(time: FloatArray, step: float) -> FloatArray:
    """Return times ``step`` apart that end with the last measurement, none before the first.

    Parameters
    ----------
    time
        When it was measured, ascending, shape ``(n,)``.
    step
        Distance between two points, above 0, in the unit of ``time``.
    """
    n_steps = int((time[-1] - time[0]) / step + _ROUNDING)
    grid: FloatArray = time[-1] - step * np.arange(n_steps, -1.0, -1.0)
    return grid


def evenly_spaced(time: FloatArray, values: FloatArray, step: float) -> FloatArray:
    """Return ``values`` on `even_grid` by linear interpolation between neighbours in time.

    The last value is the last one measured; NaN beside a point makes it NaN.

    Parameters
    ----------
    time
        When it was measured, ascending, shape ``(n,)``.
    values
        What was measured, shape ``(n,)``.
    step
        As for `even_grid`.
    """
    return np.interp(even_grid(time, step), time, values)
