"""Compiled normalisation and ReLU of a ResNet's layer, forward and backward.

Batch normalisation (Ioffe and Szegedy 2015) with PyTorch's conventions: the variance that divides
is biased, the running one is not. Group normalisation: Wu and He 2018. Both keep mean and
1 / sqrt(variance + eps) for every channel and example, so that all else is one arithmetic.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from epochs_left.compiled import compiled
from epochs_left.simulation.compiled_resnet.layout import (
    ACTIVATION,
    CHANNELS_OUT,
    GROUPS,
    HEIGHT_OUT,
    INVERSE,
    MEAN,
    MOMENTS,
    NORM,
    OUTPUT,
    RESIDUAL,
    STATE,
    TRAINING,
    WIDTH_OUT,
)
from epochs_left.simulation.compiled_resnet.simd import (
    WIDTH,
    add,
    broadcast,
    div,
    first,
    fma,
    load,
    mul,
    splat,
    sqrt,
    store,
    sub,
    total,
    where_positive,
)

NORM_EPS = 1e-5  # PyTorch's default of both normalisations
RUNNING_WEIGHT = 0.1  # of a batch in the running statistics; PyTorch's default

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def normalise(params, state, layer, head, scratch, n):  # type: ignore[no-untyped-def]
    """Write relu(norm(convolution) + residual) of a layer of ``n`` examples."""
    residual = layer[RESIDUAL]
    if head[GROUPS]:
        _group_statistics(layer, scratch, n, head[GROUPS])
    elif head[TRAINING]:
        _batch_statistics(layer, scratch, n, state)
    else:
        _running_statistics(layer, scratch, n, state)
    channels, places = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    for at in range(_chunks(n) * channels):
        c = layer[NORM] + at % channels
        mean = load(scratch, layer[MEAN] + at * WIDTH)
        slope = mul(load(scratch, layer[INVERSE] + at * WIDTH), broadcast(params, c))
        shift = broadcast(params, c + channels)
        for place in range(at * places * WIDTH, (at + 1) * places * WIDTH, WIDTH):
            value = fma(sub(load(scratch, layer[OUTPUT] + place), mean), slope, shift)
            if residual >= 0:
                value = add(value, load(scratch, residual + place))
            store(scratch, layer[ACTIVATION] + place, where_positive(value, value))


@partial(compiled, inline=True)
def _chunks(n):  # type: ignore[no-untyped-def]
    return (n + WIDTH - 1) // WIDTH


@compiled
def _keep(layer, scratch, at, mean, variance):  # type: ignore[no-untyped-def]
    """Store mean and 1 / sqrt(variance + eps), vectors, of chunk and channel ``at``."""
    store(scratch, layer[MEAN] + at * WIDTH, mean)
    root = sqrt(add(variance, splat(np.float32(NORM_EPS))))
    store(scratch, layer[INVERSE] + at * WIDTH, div(splat(_ONE), root))


@compiled
def _batch_statistics(layer, scratch, n, state):  # type: ignore[no-untyped-def]
    """Take mean and variance of each channel over the batch; update the running ones."""
    channels, places = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    count = n * places
    for c in range(channels):
        mean = np.float32(_channel_sum(layer, scratch, n, c, _ZERO, False) / count)
        variance = np.float32(_channel_sum(layer, scratch, n, c, mean, True) / count)
        for chunk in range(_chunks(n)):
            _keep(layer, scratch, chunk * channels + c, splat(mean), splat(variance))
        at = layer[STATE] + c
        # of one value it would be infinite, which PyTorch refuses
        unbiased = variance * count / max(count - 1, 1)
        state[at] = (1 - RUNNING_WEIGHT) * state[at] + RUNNING_WEIGHT * mean
        at += channels
        state[at] = (1 - RUNNING_WEIGHT) * state[at] + RUNNING_WEIGHT * unbiased


@compiled
def _channel_sum(layer, scratch, n, c, centre, squared):  # type: ignore[no-untyped-def]
    """Return the sum over the batch of a channel's values, or of their squares about a centre."""
    channels, places = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    sums = splat(_ZERO)
    for chunk in range(_chunks(n)):
        part = splat(_ZERO)
        start = layer[OUTPUT] + (chunk * channels + c) * places * WIDTH
        for place in range(start, start + places * WIDTH, WIDTH):
            if squared:
                value = sub(load(scratch, place), splat(centre))
                part = fma(value, value, part)
            else:
                part = add(part, load(scratch, place))
        sums = add(sums, first(part, n - chunk * WIDTH))
    return total(sums)


@compiled
def _running_statistics(layer, scratch, n, state):  # type: ignore[no-untyped-def]
    channels = layer[CHANNELS_OUT]
    for at in range(_chunks(n) * channels):
        c = layer[STATE] + at % channels
        _keep(layer, scratch, at, broadcast(state, c), broadcast(state, c + channels))


@compiled
def _group_statistics(layer, scratch, n, groups):  # type: ignore[no-untyped-def]
    """Take mean and variance of each example over the channels of a group."""
    width = layer[CHANNELS_OUT] // groups
    places = layer[HEIGHT_OUT] * layer[WIDTH_OUT] * width
    share = np.float32(1 / places)
    for group in range(_chunks(n) * groups):
        start = layer[OUTPUT] + group * places * WIDTH
        mean = variance = splat(_ZERO)
        for place in range(start, start + places * WIDTH, WIDTH):
            mean = add(mean, load(scratch, place))
        mean = mul(mean, splat(share))
        for place in range(start, start + places * WIDTH, WIDTH):
            value = sub(load(scratch, place), mean)
            variance = fma(value, value, variance)
        variance = mul(variance, splat(share))
        for at in range(group * width, (group + 1) * width):
            _keep(layer, scratch, at, mean, variance)


# Backward


@compiled
def backpropagate_norm(params, layer, head, scratch, n, places, grad):  # type: ignore[no-untyped-def]
    """Turn the gradient by a layer's activation into that by its convolution.

    With x the normalised values and d the gradient after ReLU, s the scale:
    dz = (s d - mean(s d) - x mean(s d x)) / sqrt(variance + eps), means over what was normalised
    together. ``places`` is where the gradient is, and where to write; the former becomes d.
    """
    _moments(layer, head[MOMENTS], scratch, n, places[0], grad)
    if head[GROUPS]:
        _group_means(params, layer, head, scratch, n)
    else:
        _batch_means(params, layer, head, scratch, n, grad)
    channels, size = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    for at in range(_chunks(n) * channels):
        left = n - at // channels * WIDTH
        scale = broadcast(params, layer[NORM] + at % channels)
        mean = load(scratch, layer[MEAN] + at * WIDTH)
        inverse = load(scratch, layer[INVERSE] + at * WIDTH)
        moments = head[MOMENTS] + 2 * at * WIDTH
        m0, m1 = load(scratch, moments), load(scratch, moments + WIDTH)
        for place in range(at * size * WIDTH, (at + 1) * size * WIDTH, WIDTH):
            x = mul(sub(load(scratch, layer[OUTPUT] + place), mean), inverse)
            value = sub(mul(scale, load(scratch, places[0] + place)), fma(x, m1, m0))
            store(scratch, places[1] + place, first(mul(value, inverse), left))


@compiled
def _moments(layer, moments, scratch, n, gradient, grad):  # type: ignore[no-untyped-def]
    """Mask the gradient by ReLU; sum d and d x of each channel and example over the places.

    Their sums over all examples are the gradients by shift and scale.
    """
    channels, size = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    for c in range(channels):
        shift = scale = splat(_ZERO)
        for chunk in range(_chunks(n)):
            at = chunk * channels + c
            mean = load(scratch, layer[MEAN] + at * WIDTH)
            inverse = load(scratch, layer[INVERSE] + at * WIDTH)
            m0 = m1 = splat(_ZERO)
            for place in range(at * size * WIDTH, (at + 1) * size * WIDTH, WIDTH):
                d = load(scratch, gradient + place)
                d = where_positive(load(scratch, layer[ACTIVATION] + place), d)
                store(scratch, gradient + place, d)
                m0 = add(m0, d)
                m1 = fma(d, sub(load(scratch, layer[OUTPUT] + place), mean), m1)
            m0, m1 = first(m0, n - chunk * WIDTH), first(mul(m1, inverse), n - chunk * WIDTH)
            store(scratch, moments + 2 * at * WIDTH, m0)
            store(scratch, moments + (2 * at + 1) * WIDTH, m1)
            shift, scale = add(shift, m0), add(scale, m1)
        grad[layer[NORM] + c] = total(scale)
        grad[layer[NORM] + channels + c] = total(shift)


@compiled
def _batch_means(params, layer, head, scratch, n, grad):  # type: ignore[no-untyped-def]
    """Replace the moments by the means over the batch of s d and s d x."""
    channels = layer[CHANNELS_OUT]
    share = np.float32(1 / (n * layer[HEIGHT_OUT] * layer[WIDTH_OUT]))
    for at in range(_chunks(n) * channels):
        c = layer[NORM] + at % channels
        weight = mul(broadcast(params, c), splat(share))
        moments = head[MOMENTS] + 2 * at * WIDTH
        store(scratch, moments, mul(weight, broadcast(grad, c + channels)))
        store(scratch, moments + WIDTH, mul(weight, broadcast(grad, c)))


@compiled
def _group_means(params, layer, head, scratch, n):  # type: ignore[no-untyped-def]
    """Replace the moments by the means over each example's group of s d and s d x."""
    channels, groups = layer[CHANNELS_OUT], head[GROUPS]
    width = channels // groups
    share = np.float32(1 / (width * layer[HEIGHT_OUT] * layer[WIDTH_OUT]))
    for group in range(_chunks(n) * groups):
        m0 = m1 = splat(_ZERO)
        for at in range(group * width, (group + 1) * width):
            weight = mul(broadcast(params, layer[NORM] + at % channels), splat(share))
            moments = head[MOMENTS] + 2 * at * WIDTH
            m0 = fma(weight, load(scratch, moments), m0)
            m1 = fma(weight, load(scratch, moments + WIDTH), m1)
        for at in range(group * width, (group + 1) * width):
            moments = head[MOMENTS] + 2 * at * WIDTH
            store(scratch, moments, m0)
            store(scratch, moments + WIDTH, m1)
