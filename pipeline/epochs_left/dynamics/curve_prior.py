"""Synthetic loss curves: noisy quadratics whose spectrum is a power law.

Along eigenvector i of a quadratic, gradient descent shrinks the error by exp(-s lambda_i S), where
S is the sum of the learning rates and s the steps an epoch; the loss goes with its square. Steps of
finite size leave a noise floor that follows the learning rate in force, at a pace of its own (the
noisy quadratic model; Zhang et al. 2019, arXiv:1907.04164). With eigenvalues i^-a and excess losses
i^-b the sum falls as a power law until the smallest eigenvalue is felt, and exponentially from
there on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.signal import lfilter

from epochs_left.arrays import FloatArray

#: The way out of a plateau takes this share of its length on the clock: a corner, slightly round.
_PLATEAU_EDGE = 0.1
#: Largest standard deviation of log loss: noise as large as the range would drown a small loss.
_MAX_RELATIVE_NOISE = 0.3


@dataclass(frozen=True, kw_only=True)
class CurveShape:
    """What determines a curve, up to its learning rates and its random numbers.

    Attributes
    ----------
    n_modes
        Eigenvalues N.
    eigenvalue_power, excess_power
        a and b of lambda_i = i^-a and e_i = i^-b, i = 1 to N.
    hit_share
        The spectrum's excess falls to this share of its initial value ...
    hit_position
        ... when this share of the epochs between plateau and horizon is over, in (0, 1].
    plateau_end
        Share of the horizon at which a plateau before the drop ends; 0: there is none.
    first_drop
        Excess that is gone after the first epoch, in units of the spectrum's initial excess.
    noise_floor
        Excess that stays while the learning rate is the base one, in the same unit.
    noise_pace
        Rate at which the noise floor goes to that of the learning rate in force, 1/epoch at the
        base one; it goes with the learning rate, as the pace of the modes that carry the noise.
    averaged
        Whether the loss is the mean over the pass, as most training loops log it, and not the loss
        at its end.
    floor
        Loss that stays for good, in the same unit.
    scale
        The spectrum's initial excess, in the unit of the loss.
    noise
        Standard deviation of the noise, as a share of what ``noise_base`` names.
    noise_memory
        Correlation of the noise at neighbouring epochs, in [0, 1).
    noise_base
        A name in ``NOISE_BASES``.
    """

    n_modes: int
    eigenvalue_power: float
    excess_power: float
    hit_share: float
    hit_position: float
    plateau_end: float
    first_drop: float
    noise_floor: float
    noise_pace: float
    averaged: bool
    floor: float
    scale: float
    noise: float
    noise_memory: float
    noise_base: str


def excess_share(time: FloatArray, shape: CurveShape) -> FloatArray:
    """Return the share of the spectrum's initial excess that is left.

    Parameters
    ----------
    time
        2 s lambda_1 S, the progress of the fastest mode; shape ``(n,)``.

    Returns
    -------
    sum_i e_i exp(-lambda_i time) / sum_i e_i, shape ``(n,)``.
    """
    modes = np.arange(1, shape.n_modes + 1, dtype=np.float64)
    excess = modes**-shape.excess_power
    decay = np.exp(-np.multiply.outer(time, modes**-shape.eigenvalue_power))
    # a sum of numpy's own: how BLAS adds up depends on the number of its threads
    share: FloatArray = (decay * (excess / excess.sum())).sum(axis=1)
    return share


def time_of_share(share: float, shape: CurveShape) -> float:
    """Return the time at which `excess_share` is ``share``, in (0, 1)."""

    def log_ratio(log_time: float) -> float:
        left = excess_share(np.exp([log_time]), shape)[0]
        return float(np.log(left / share))

    # the fastest mode alone, and the slowest: the sum of all lies between the two
    fastest = np.log(-np.log(share))
    slowest = fastest + shape.eigenvalue_power * np.log(shape.n_modes)
    return float(np.exp(brentq(log_ratio, fastest - 0.1, slowest + 0.1, xtol=1e-9)))


def noiseless_curve(shape: CurveShape, rates: FloatArray, lr: float) -> FloatArray:
    """Return the loss after 0, 1, ... H passes, without noise.

    Parameters
    ----------
    rates
        Learning rate of the pass that follows 0, 1, ... H passes, shape ``(H + 1,)``, positive.
    lr
        Base learning rate.

    Returns
    -------
    Loss, shape ``(H + 1,)``, positive.
    """
    spent = np.concatenate([[0.0], np.cumsum(rates[:-1])])
    delay = _at(spent, shape.plateau_end)
    hit = shape.plateau_end + (1 - shape.plateau_end) * shape.hit_position
    until_hit = _after_plateau(np.array(_at(spent, hit)), delay)
    pace = time_of_share(shape.hit_share, shape) / until_hit
    excess = excess_share(pace * _after_plateau(spent, delay), shape)
    excess += shape.noise_floor * noise_level(rates[:-1] / lr, shape.noise_pace)
    if shape.averaged:
        excess[1:] = (excess[1:] + excess[:-1]) / 2
    excess[0] += shape.first_drop
    return shape.scale * (shape.floor + excess)


def noise_level(rates: FloatArray, pace: float) -> FloatArray:
    """Return the noise floor after 0, 1, ... passes, 1 where the base learning rate has settled.

    Parameters
    ----------
    rates
        Learning rate of each pass, in units of the base one, shape ``(H,)``.
    pace
        `CurveShape.noise_pace`.

    Returns
    -------
    n with n' = pace r (r - n), constant r within a pass, from n = r of the first one; ``(H + 1,)``.
    """
    level = np.empty(rates.size + 1)
    level[0] = rates[0]
    stays = np.exp(-pace * rates)
    for t, rate in enumerate(rates):
        level[t + 1] = rate + (level[t] - rate) * stays[t]
    return level


def _at(values: FloatArray, position: float) -> float:
    """Return the value at a share of the horizon, linear between epochs."""
    horizon = values.size - 1
    return float(np.interp(position * horizon, np.arange(horizon + 1), values))


def _after_plateau(spent: FloatArray, delay: float) -> FloatArray:
    """Return the clock that starts, by a softplus, when S reaches ``delay``."""
    if delay == 0:
        return spent
    edge = _PLATEAU_EDGE * delay
    at_start = np.logaddexp(0, -delay / edge)
    clock: FloatArray = edge * (np.logaddexp(0, (spent - delay) / edge) - at_start)
    return clock


def _of_loss(loss: FloatArray, shape: CurveShape) -> FloatArray:
    del shape
    return loss


def _of_rest(loss: FloatArray, shape: CurveShape) -> FloatArray:
    return loss - shape.scale * shape.floor


def _of_range(loss: FloatArray, shape: CurveShape) -> FloatArray:
    return np.full_like(loss, shape.scale)


#: What the size of the noise is a share of: (noiseless loss, shape) -> loss units.
NOISE_BASES: dict[str, Callable[[FloatArray, CurveShape], FloatArray]] = {
    "loss": _of_loss,
    "rest": _of_rest,  # of the loss above its floor
    "range": _of_range,  # the spectrum's initial excess
}


def with_noise(loss: FloatArray, shape: CurveShape, normal: FloatArray) -> FloatArray:
    """Return the curve with noise, multiplicative so that the loss stays positive.

    Parameters
    ----------
    loss
        Noiseless loss, shape ``(n,)``, positive.
    normal
        Independent standard normal numbers, shape ``(n,)``.
    """
    relative = shape.noise * NOISE_BASES[shape.noise_base](loss, shape) / loss
    size = np.minimum(relative, _MAX_RELATIVE_NOISE)
    noisy: FloatArray = loss * np.exp(size * autoregressive(normal, shape.noise_memory))
    return noisy


def autoregressive(normal: FloatArray, memory: float) -> FloatArray:
    """Return z_t = rho z_{t-1} + sqrt(1 - rho^2) n_t with z_0 = n_0: unit variance throughout.

    Parameters
    ----------
    normal
        Independent standard normal numbers n_t, shape ``(n,)``.
    memory
        rho, in [0, 1).
    """
    shocks = normal * np.sqrt(1 - memory**2)
    shocks[0] = normal[0]
    series: FloatArray = lfilter([1.0], [1.0, -memory], shocks)
    return series
