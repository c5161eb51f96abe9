"""Learning-rate schedules as multipliers of the base rate, constant within an epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from epochs_left.arrays import FloatArray

#: Epochs as a share of the horizon -> multiplier of the base learning rate; both of shape (n,).
Schedule = Callable[[FloatArray], FloatArray]

_STEP_FACTOR = 0.1  # He et al. 2016, section 4.2: divided by 10 ...
_STEP_AT = (0.5, 0.75)  # ... at 50 % and 75 % of training
_COOL_DOWN = 0.2  # trapezoid: share of the horizon in which the rate falls
_WARM_UP = 0.3  # one-cycle: share of the horizon in which the rate rises; PyTorch's pct_start
_WARM_UP_FROM = 1 / 25  # one-cycle: first rate over the highest; PyTorch's div_factor


def constant(progress: FloatArray) -> FloatArray:
    """Return 1."""
    return np.ones_like(progress)


def cosine(progress: FloatArray) -> FloatArray:
    """Fall by half a cosine from 1 to 0 at the horizon (Loshchilov and Hutter 2017, eq. 5)."""
    half: FloatArray = (1 + np.cos(np.pi * np.clip(progress, 0, 1))) / 2
    return half


def linear(progress: FloatArray) -> FloatArray:
    """Fall by a straight line from 1 to 0 at the horizon (the usual one of Hugging Face)."""
    return 1 - np.clip(progress, 0, 1)


def step(progress: FloatArray) -> FloatArray:
    """Fall to a tenth at half of the horizon, to a hundredth at three quarters (He et al. 2016)."""
    drops = np.sum([progress >= share for share in _STEP_AT], axis=0)
    factor: FloatArray = np.power(_STEP_FACTOR, drops)
    return factor


def trapezoid(progress: FloatArray) -> FloatArray:
    """Stay at 1, fall by a straight line to 0 over the last fifth of the horizon.

    Stable and decay phase of "warm-up, stable, decay" (Hu et al. 2024, arXiv:2404.06395).
    """
    falling: FloatArray = np.clip((1 - progress) / _COOL_DOWN, 0, 1)
    return falling


def one_cycle(progress: FloatArray) -> FloatArray:
    """Rise by a cosine over the first 30 % of the horizon, fall to 0 (Smith and Topin 2018)."""
    rise = cosine(1 - progress / _WARM_UP)
    fall = cosine((progress - _WARM_UP) / (1 - _WARM_UP))
    warming = _WARM_UP_FROM + (1 - _WARM_UP_FROM) * rise
    return np.where(progress < _WARM_UP, warming, fall)


#: Schedules by name.
SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "step": step,
    "one_cycle": one_cycle,
    "trapezoid": trapezoid,
}


def learning_rates(schedule: str, lr: float, horizon: int) -> FloatArray:
    """Return the learning rate of the epoch that starts after 0, 1, ... ``horizon`` passes.

    Parameters
    ----------
    schedule
        A name in ``SCHEDULES`` (KeyError for any other).
    lr
        Base learning rate, the highest that the schedule reaches.
    horizon
        Passes that the run is meant to last.

    Returns
    -------
    Shape ``(horizon + 1,)``; the last is that of a pass beyond the horizon.
    """
    # The middle of the coming epoch, so that neither its first nor its last step is the measure.
    progress = (np.arange(horizon + 1) + 0.5) / horizon
    return lr * SCHEDULES[schedule](progress)
