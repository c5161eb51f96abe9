"""Compiled arithmetic of ResNets, forward and backward, a lane at a time.

An activation is stored as (chunk, channel, row, column, example in the chunk): `simd.WIDTH`
examples side by side are one vector, so that a convolution is a sum of scaled vectors without a
border, and a normalisation is elementwise. The last chunk is filled with copies of the last
example; no statistic and no gradient counts them.

All activations of a lane, and what the backward pass wants of them, lie in one array of scratch.
A row of the table of layers says where; `layout` writes it. Blocks are those of He et al.
2016: out = relu(norm(conv2(relu(norm(conv1(x))))) + shortcut(x)).
"""

from __future__ import annotations

import numpy as np

from epochs_left.compiled import compiled
from epochs_left.simulation.compiled_resnet.convolutions import (
    backpropagate_input,
    backpropagate_kernel,
    convolve,
)
from epochs_left.simulation.compiled_resnet.layout import (
    ACTIVATION,
    CHANNELS_OUT,
    CLASSES,
    CONV1,
    CONV2,
    G0,
    G1,
    G2,
    HEIGHT_OUT,
    INPUT,
    LINEAR,
    POOLED,
    ROWS_A_BLOCK,
    SCORES,
    SHORTCUT,
    SIZE,
    SUMS,
    WIDTH_OUT,
)
from epochs_left.simulation.compiled_resnet.norms import backpropagate_norm, normalise
from epochs_left.simulation.compiled_resnet.simd import (
    WIDTH,
    add,
    broadcast,
    fma,
    load,
    mul,
    splat,
    store,
    total,
)

_ZERO = np.float32(0)


@compiled
def train_lanes(params, state, examples, index, layout, scratch, losses, grads):  # type: ignore[no-untyped-def]
    """Write mean loss ``(K,)`` and gradient ``(K, n_params)`` of each lane's batch.

    ``examples`` are images ``(N, pixels)`` and targets ``(N,)``, ``index`` the batches ``(K, B)``,
    ``layout`` the tables of layers and of the head; running statistics are updated.
    """
    images, targets = examples
    layers, head = layout
    for lane in range(index.shape[0]):
        batch = index[lane]
        _place_images(images, batch, layers[0, INPUT], scratch)
        _forward(params[lane], state[lane], layout, scratch, batch.size)
        losses[lane] = _mean_loss(targets, batch, head, scratch)
        _backward(params[lane], layout, scratch, batch.size, grads[lane])


@compiled
def evaluate_lanes(params, state, images, layout, scratch, scores):  # type: ignore[no-untyped-def]
    """Write class scores of all images ``(K, N, C)`` in evaluation mode; ``layout`` of a chunk."""
    layers, head = layout
    for start in range(0, images.shape[0], WIDTH):
        batch = np.arange(start, min(start + WIDTH, images.shape[0]))
        _place_images(images, batch, layers[0, INPUT], scratch)
        for lane in range(params.shape[0]):
            _forward(params[lane], state[lane], layout, scratch, batch.size)
            for k in range(head[CLASSES]):
                for i in range(batch.size):
                    scores[lane, start + i, k] = scratch[head[SCORES] + k * WIDTH + i]


@compiled
def _place_images(images, batch, place, scratch):  # type: ignore[no-untyped-def]
    """Copy the images of a batch, examples innermost."""
    pixels = images.shape[1]
    for start in range(0, batch.size, WIDTH):
        for i in range(WIDTH):
            image = batch[min(start + i, batch.size - 1)]
            for pixel in range(pixels):
                scratch[place + start * pixels + pixel * WIDTH + i] = images[image, pixel]


@compiled
def _forward(params, state, layout, scratch, n):  # type: ignore[no-untyped-def]
    """Compute all activations of ``n`` examples, up to the class scores."""
    layers, head = layout
    n_chunks = (n + WIDTH - 1) // WIDTH
    for row in range(layers.shape[0]):
        if layers[row, SIZE] > 0:
            convolve(params, layers[row], scratch, n_chunks)
        if (row - 1) % ROWS_A_BLOCK != SHORTCUT:
            normalise(params, state, layers[row], head, scratch, n)
    _classify(params, layers[-1], head, scratch, n_chunks)


@compiled
def _classify(params, layer, head, scratch, n_chunks):  # type: ignore[no-untyped-def]
    """Average over the places of the last layer, then class scores."""
    channels, places = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    classes = head[CLASSES]
    for chunk in range(n_chunks):
        pooled = head[POOLED] + chunk * channels * WIDTH
        for c in range(channels):
            start = layer[ACTIVATION] + (chunk * channels + c) * places * WIDTH
            sums = splat(_ZERO)
            for place in range(start, start + places * WIDTH, WIDTH):
                sums = add(sums, load(scratch, place))
            store(scratch, pooled + c * WIDTH, mul(sums, splat(np.float32(1 / places))))
        for k in range(classes):
            score = broadcast(params, head[LINEAR] + channels * classes + k)
            for c in range(channels):
                weight = broadcast(params, head[LINEAR] + c * classes + k)
                score = fma(weight, load(scratch, pooled + c * WIDTH), score)
            store(scratch, head[SCORES] + (chunk * classes + k) * WIDTH, score)


@compiled
def _mean_loss(targets, batch, head, scratch):  # type: ignore[no-untyped-def]
    """Return the mean cross-entropy; put its gradient by the class scores in their place."""
    classes, n = head[CLASSES], batch.size
    losses = 0.0
    for i in range(n):
        at = head[SCORES] + i // WIDTH * classes * WIDTH + i % WIDTH
        stop = at + classes * WIDTH
        target = at + targets[batch[i]] * WIDTH
        largest = scratch[at]
        for k in range(at, stop, WIDTH):
            largest = max(largest, scratch[k])
        picked = scratch[target] - largest
        sums = _ZERO
        for k in range(at, stop, WIDTH):
            scratch[k] = np.exp(scratch[k] - largest)
            sums += scratch[k]
        losses += np.log(sums) - picked
        share = np.float32(n)
        for k in range(at, stop, WIDTH):
            scratch[k] = (scratch[k] / sums - np.float32(k == target)) / share
    for i in range(n, (n + WIDTH - 1) // WIDTH * WIDTH):
        for k in range(classes):
            scratch[head[SCORES] + (i // WIDTH * classes + k) * WIDTH + i % WIDTH] = _ZERO
    return losses / n


@compiled
def _backpropagate_head(params, layer, head, scratch, n_chunks, grad):  # type: ignore[no-untyped-def]
    """Write the linear layer's gradient, and that by the last activation to the first place."""
    channels, places = layer[CHANNELS_OUT], layer[HEIGHT_OUT] * layer[WIDTH_OUT]
    classes = head[CLASSES]
    for k in range(classes):
        for c in range(channels + 1):
            sums = splat(_ZERO)
            for chunk in range(n_chunks):
                d = load(scratch, head[SCORES] + (chunk * classes + k) * WIDTH)
                if c < channels:
                    d = mul(d, load(scratch, head[POOLED] + (chunk * channels + c) * WIDTH))
                sums = add(sums, d)
            grad[head[LINEAR] + c * classes + k] = total(sums)  # after the weights, the bias
    for at in range(n_chunks * channels):
        chunk, c = at // channels, at % channels
        sums = splat(_ZERO)
        for k in range(classes):
            weight = broadcast(params, head[LINEAR] + c * classes + k)
            d = load(scratch, head[SCORES] + (chunk * classes + k) * WIDTH)
            sums = fma(weight, d, sums)
        sums = mul(sums, splat(np.float32(1 / places)))
        for place in range(at * places * WIDTH, (at + 1) * places * WIDTH, WIDTH):
            store(scratch, head[G0] + place, sums)


@compiled
def _backward(params, layout, scratch, n, grad):  # type: ignore[no-untyped-def]
    """Write the gradient by all parameters; that by the class scores is in their place."""
    layers, head = layout
    n_chunks = (n + WIDTH - 1) // WIDTH
    _backpropagate_head(params, layers[-1], head, scratch, n_chunks, grad)
    # by a block's output, by that of a convolution, by what is between the two convolutions
    outer, delta, inner = head[G0], head[G1], head[G2]
    for block in range(layers.shape[0] - ROWS_A_BLOCK, 0, -ROWS_A_BLOCK):
        conv1, conv2 = layers[block + CONV1], layers[block + CONV2]
        shortcut = layers[block + SHORTCUT]
        _backpropagate_layer(params, conv2, head, scratch, n, (outer, delta), grad)
        backpropagate_input(params, conv2, scratch, n_chunks, delta, inner)
        _backpropagate_layer(params, conv1, head, scratch, n, (inner, delta), grad)
        if shortcut[SIZE] > 0:
            backpropagate_kernel(shortcut, scratch, n_chunks, outer, head[SUMS], grad)
            backpropagate_input(params, shortcut, scratch, n_chunks, outer, inner)
            outer, inner = inner, outer
        backpropagate_input(params, conv1, scratch, n_chunks, delta, outer)
    _backpropagate_layer(params, layers[0], head, scratch, n, (outer, delta), grad)


@compiled
def _backpropagate_layer(params, layer, head, scratch, n, places, grad):  # type: ignore[no-untyped-def]
    """Write the gradient by a layer's parameters, and that by its convolution's output.

    ``places`` is where the gradient by its activation is, and where to write the latter.
    """
    backpropagate_norm(params, layer, head, scratch, n, places, grad)
    n_chunks = (n + WIDTH - 1) // WIDTH
    backpropagate_kernel(layer, scratch, n_chunks, places[1], head[SUMS], grad)
