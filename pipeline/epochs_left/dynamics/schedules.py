"""Learning-rate schedules as multipliers of the base rate, constant within an epoch.

A schedule goes by its name: one of `SCHEDULES`, or `step` with drops of one's own, such as
``step:0.3,0.6,0.8x0.2``: to a fifth at 30, 60 and 80 % of the horizon each (a tenth where no factor
is given).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

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
    return drops(progress, _STEP_AT, _STEP_FACTOR)


def drops(progress: FloatArray, shares: Sequence[float], factor: float) -> FloatArray:
    """Fall to ``factor`` of the rate before at each of ``shares`` of the horizon."""
    done = np.sum([progress >= share for share in shares], axis=0)
    multiplier: FloatArray = np.power(factor, done)
    return multiplier


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


_SHARE = r"0?\.\d+"
_OWN_STEPS = re.compile(rf"step:({_SHARE}(?:,{_SHARE})*)(?:x({_SHARE}))?")
#: How the names of schedules with drops of one's own are written.
OWN_STEPS_EXAMPLE = "step:0.3,0.6,0.8x0.2"


def schedule_named(name: str) -> Schedule:
    """Return a schedule; KeyError for a name that is none."""
    own = _OWN_STEPS.fullmatch(name)
    if own is None:
        return SCHEDULES[name]
    shares = [float(share) for share in own[1].split(",")]
    return partial(drops, shares=shares, factor=float(own[2] or _STEP_FACTOR))


def is_schedule(name: str) -> bool:
    """Tell whether a name is that of a schedule."""
    return name in SCHEDULES or _OWN_STEPS.fullmatch(name) is not None


def own_steps(shares: Iterable[float], factor: float) -> str:
    """Return the name of the schedule with these drops, in hundredths."""
    listed = ",".join(f"{share:.2f}" for share in sorted(shares))
    return f"step:{listed}x{factor:.2f}"


def learning_rates(schedule: str, lr: float, horizon: int) -> FloatArray:
    """Return the learning rate of the epoch that starts after 0, 1, ... ``horizon`` passes.

    Parameters
    ----------
    schedule
        A name that `schedule_named` knows (KeyError for any other).
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
    return lr * schedule_named(schedule)(progress)
