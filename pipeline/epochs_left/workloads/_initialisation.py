"""Initialisation schemes: (rng, n_out, n_in) -> weights (n_out, n_in), biases (n_out,)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from epochs_left.arrays import FloatArray

Scheme = Callable[[np.random.Generator, int, int], tuple[FloatArray, FloatArray]]


def xavier(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """Glorot and Bengio 2010, normal form: variance 2 / (fan_in + fan_out), zero biases."""
    return rng.normal(0, (2 / (n_in + n_out)) ** 0.5, (n_out, n_in)), np.zeros(n_out)


def he(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """He et al. 2015, fan-in form: variance 2 / fan_in, zero biases."""
    return rng.normal(0, (2 / n_in) ** 0.5, (n_out, n_in)), np.zeros(n_out)


def orthogonal(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """Saxe et al. 2014: orthonormal, Haar-distributed by the sign fix; zero biases."""
    q, r = np.linalg.qr(rng.standard_normal((max(n_out, n_in), min(n_out, n_in))))
    q = q * np.sign(np.diag(r))
    return (q if n_out >= n_in else q.T), np.zeros(n_out)


def fan_in_uniform(
    rng: np.random.Generator, n_out: int, n_in: int
) -> tuple[FloatArray, FloatArray]:
    """LeCun et al. 1998, PyTorch's default: weights and biases uniform in +-1 / sqrt(fan_in)."""
    bound = n_in**-0.5
    return rng.uniform(-bound, bound, (n_out, n_in)), rng.uniform(-bound, bound, n_out)


def fan_in_zero_bias(
    rng: np.random.Generator, n_out: int, n_in: int
) -> tuple[FloatArray, FloatArray]:
    """Weights as `fan_in_uniform`, zero biases."""
    weights, biases = fan_in_uniform(rng, n_out, n_in)
    return weights, np.zeros_like(biases)


_NORMAL_STD = 0.1  # between Xavier's deviation for 64 inputs (.14) and for 256 (.07)


def small_normal(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[FloatArray, FloatArray]:
    """N(0, 0.1^2) for weights and biases, whatever the width."""
    return rng.normal(0, _NORMAL_STD, (n_out, n_in)), rng.normal(0, _NORMAL_STD, n_out)


#: Schemes of the networks by name.
NETWORK_SCHEMES: dict[str, Scheme] = {
    "normal": small_normal,
    "uniform": fan_in_uniform,
    "zero_bias": fan_in_zero_bias,
    "xavier": xavier,
    "he": he,
    "orthogonal": orthogonal,
}


def kernel_weights(
    scheme: str, rng: np.random.Generator, n_out: int, n_in: int, taps: int
) -> FloatArray:
    """Draw the kernel of a convolution, shape ``(n_out, n_in)``.

    Parameters
    ----------
    scheme
        A name in `NETWORK_SCHEMES`.
    n_out, n_in
        Output channels; input channels times taps.
    taps
        Places of the kernel: rows times columns.
    """
    weights, _ = NETWORK_SCHEMES[scheme](rng, n_out, n_in)
    if scheme == "xavier":  # an input reaches n_out times taps outputs
        weights = weights * ((n_in + n_out) / (n_in + n_out * taps)) ** 0.5
    return weights
