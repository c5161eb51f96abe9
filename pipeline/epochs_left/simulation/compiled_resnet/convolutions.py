"""Compiled convolutions of a ResNet's layer, forward and backward, without an unfolded copy.

The output, and the gradient by the input, gather at each place what the kernel's taps meet; taps
that fall on the border are left out rather than multiplied by zeros, which saves half of them on
maps of 2 x 2. The gradient by the kernel is a product of two matrices of channels for each tap.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from epochs_left.compiled import compiled
from epochs_left.simulation.compiled_resnet.layout import (
    ADDS,
    CHANNELS_IN,
    CHANNELS_OUT,
    HEIGHT_IN,
    HEIGHT_OUT,
    INPUT,
    KERNEL,
    OUTPUT,
    SIZE,
    STRIDE,
    WIDTH_IN,
    WIDTH_OUT,
)
from epochs_left.simulation.compiled_resnet.simd import (
    PART,
    SIDE,
    WIDTH,
    add_products,
    broadcast,
    empty_tile,
    fma,
    load,
    splat,
    store,
    store_sums,
)

_ZERO = np.float32(0)


@partial(compiled, inline=True)
def _taps(place, size, stride, n_source, backward):  # type: ignore[no-untyped-def]
    """Return which taps of a kernel's side meet the source, and where.

    As (first tap, number of taps, step of the tap, first place in the source, step of the place).
    Backward, ``place`` is one of the convolution's input, and the source its output.
    """
    if backward:
        reach = place + size // 2
        tap = max(reach % stride, reach - stride * (n_source - 1))
        count = (min(size - 1, reach) - tap) // stride + 1
        return tap, count, stride, (reach - tap) // stride, -1
    start = place * stride - size // 2
    tap = max(0, -start)
    return tap, min(size, n_source - start) - tap, 1, start + tap, 1


@compiled
def _gather(weights, scratch, kernel, source, target, mode):  # type: ignore[no-untyped-def]
    """Convolve one chunk; each place of the target gathers what it needs of the source.

    Four channels of the target at a time: their sums stay in registers. Beyond the last channel
    it is computed once more.

    Parameters
    ----------
    kernel
        (Offset in ``weights``, its step by a channel of the target, and of the source, size,
        stride).
    source, target
        (Offset in ``scratch``, channels, rows, columns).
    mode
        (Whether it is the transposed convolution, whether to add to the target).
    """
    first, by_target, by_source, size, stride = kernel
    from_place, n_source, rows, columns = source
    to_place, n_target, height, width = target
    backward, adds = mode
    channel = height * width * WIDTH
    for c in range(0, n_target, SIDE):
        d1, d2, d3 = min(c + 1, n_target - 1), min(c + 2, n_target - 1), min(c + 3, n_target - 1)
        for y in range(height):
            tap_y, n_y, dtap_y, place_y, step_y = _taps(y, size, stride, rows, backward)
            for x in range(width):
                tap_x, n_x, dtap_x, place_x, step_x = _taps(x, size, stride, columns, backward)
                out = to_place + (y * width + x) * WIDTH
                if adds:
                    a0, a1 = load(scratch, out + c * channel), load(scratch, out + d1 * channel)
                    a2 = load(scratch, out + d2 * channel)
                    a3 = load(scratch, out + d3 * channel)
                else:
                    a0 = a1 = a2 = a3 = splat(_ZERO)
                for i in range(n_source):
                    for j in range(n_y):
                        row = (i * rows + place_y + j * step_y) * columns + place_x
                        place = from_place + row * WIDTH
                        tap = first + i * by_source + (tap_y + j * dtap_y) * size + tap_x
                        for _ in range(n_x):
                            value = load(scratch, place)
                            a0 = fma(broadcast(weights, tap + c * by_target), value, a0)
                            a1 = fma(broadcast(weights, tap + d1 * by_target), value, a1)
                            a2 = fma(broadcast(weights, tap + d2 * by_target), value, a2)
                            a3 = fma(broadcast(weights, tap + d3 * by_target), value, a3)
                            place += step_x * WIDTH
                            tap += dtap_x
                store(scratch, out + c * channel, a0)
                store(scratch, out + d1 * channel, a1)
                store(scratch, out + d2 * channel, a2)
                store(scratch, out + d3 * channel, a3)


@compiled
def convolve(params, layer, scratch, n_chunks):  # type: ignore[no-untyped-def]
    """Write a layer's convolution of its input."""
    n_in, n_out, size = layer[CHANNELS_IN], layer[CHANNELS_OUT], layer[SIZE]
    h_in, w_in = layer[HEIGHT_IN], layer[WIDTH_IN]
    h_out, w_out = layer[HEIGHT_OUT], layer[WIDTH_OUT]
    kernel = (layer[KERNEL], n_in * size * size, size * size, size, layer[STRIDE])
    for chunk in range(n_chunks):
        source = layer[INPUT] + chunk * n_in * h_in * w_in * WIDTH
        target = layer[OUTPUT] + chunk * n_out * h_out * w_out * WIDTH
        source_map, target_map = (source, n_in, h_in, w_in), (target, n_out, h_out, w_out)
        _gather(params, scratch, kernel, source_map, target_map, (False, False))


@compiled
def backpropagate_input(params, layer, scratch, n_chunks, delta, out):  # type: ignore[no-untyped-def]
    """Turn the gradient by a convolution's output, at ``delta``, into that by its input."""
    n_in, n_out, size = layer[CHANNELS_IN], layer[CHANNELS_OUT], layer[SIZE]
    h_in, w_in = layer[HEIGHT_IN], layer[WIDTH_IN]
    h_out, w_out = layer[HEIGHT_OUT], layer[WIDTH_OUT]
    kernel = (layer[KERNEL], size * size, n_in * size * size, size, layer[STRIDE])
    for chunk in range(n_chunks):
        source = delta + chunk * n_out * h_out * w_out * WIDTH
        target = out + chunk * n_in * h_in * w_in * WIDTH
        source_map, target_map = (source, n_out, h_out, w_out), (target, n_in, h_in, w_in)
        _gather(params, scratch, kernel, source_map, target_map, (True, layer[ADDS]))


@partial(compiled, inline=True)
def _span(shift, stride, n_in, n_out):  # type: ignore[no-untyped-def]
    """Return the first output whose place, shifted, is in the input, the end, and that place."""
    first = max(0, (stride - 1 - shift) // stride)
    return first, min(n_out, (n_in - 1 - shift) // stride + 1), first * stride + shift


@partial(compiled, inline=True)
def _four(start, first, n, step):  # type: ignore[no-untyped-def]
    """Return where four channels from ``first`` of ``n`` are; beyond the last it is repeated."""
    return (
        start + first * step,
        start + min(first + 1, n - 1) * step,
        start + min(first + 2, n - 1) * step,
        start + min(first + 3, n - 1) * step,
    )


@compiled
def backpropagate_kernel(layer, scratch, n_chunks, delta, sums, grad):  # type: ignore[no-untyped-def]
    """Write the gradient by a kernel, given that by the output at ``delta``."""
    n_in, n_out, size = layer[CHANNELS_IN], layer[CHANNELS_OUT], layer[SIZE]
    taps = size * size
    spans = np.empty((2, size, 3), dtype=np.int64)
    for i in range(size):
        shift = i - size // 2
        # an item at a time: numba takes seconds to compile the assignment of a tuple
        spans[0, i, 0], spans[0, i, 1], spans[0, i, 2] = _span(
            shift, layer[STRIDE], layer[HEIGHT_IN], layer[HEIGHT_OUT]
        )
        spans[1, i, 0], spans[1, i, 1], spans[1, i, 2] = _span(
            shift, layer[STRIDE], layer[WIDTH_IN], layer[WIDTH_OUT]
        )
    for c in range(0, n_out, SIDE):
        for i in range(0, n_in, SIDE):
            for down in range(size):
                for right in range(size):
                    spanned = (spans[0, down], spans[1, right])
                    tile = _tile_of(layer, scratch, n_chunks, delta, (c, i), spanned)
                    store_sums(tile, scratch, sums + (down * size + right) * SIDE * SIDE)
            for row in range(min(SIDE, n_out - c)):
                for column in range(min(SIDE, n_in - i)):
                    at = layer[KERNEL] + ((c + row) * n_in + i + column) * taps
                    for tap in range(taps):
                        grad[at + tap] = scratch[sums + (tap * SIDE + row) * SIDE + column]


@partial(compiled, inline=True)
def _tile_of(layer, scratch, n_chunks, delta, channels, spans):  # type: ignore[no-untyped-def]
    """Return sum over places and examples of delta(channel) input(channel, place shifted)."""
    n_in, n_out, stride = layer[CHANNELS_IN], layer[CHANNELS_OUT], layer[STRIDE]
    top, bottom, above = spans[0]
    left, right, before = spans[1]
    w_in, w_out = layer[WIDTH_IN], layer[WIDTH_OUT]
    out_channel = layer[HEIGHT_OUT] * w_out * WIDTH
    in_channel = layer[HEIGHT_IN] * w_in * WIDTH
    r0, r1, r2, r3 = _four(delta, channels[0], n_out, out_channel)
    c0, c1, c2, c3 = _four(layer[INPUT], channels[1], n_in, in_channel)
    tile = empty_tile()
    for chunk in range(n_chunks):
        for y in range(bottom - top):
            r = chunk * n_out * out_channel + ((top + y) * w_out + left) * WIDTH
            c = chunk * n_in * in_channel + ((above + y * stride) * w_in + before) * WIDTH
            for _ in range(right - left):
                for _ in range(0, WIDTH, PART):
                    tile = add_products(
                        tile,
                        scratch,
                        (r0 + r, r1 + r, r2 + r, r3 + r),
                        (c0 + c, c1 + c, c2 + c, c3 + c),
                    )
                    r += PART
                    c += PART
                c += (stride - 1) * WIDTH
    return tile
