"""`dynamics.geometry.trajectory_geometry` compiled: one pass over the recorded parameters.

An epoch's parameters come from memory once; the epoch before and what else an epoch needs of its
run (`_STATE`) still lie in cache. Sums run in float64. `_SUMS` lets the compiler split a sum over
vector lanes and fuse multiply and add: this moves the last digits (within 1e-12 of the reference),
and NaN and infinity still propagate, since neither is assumed away (no ``nnan``, no ``ninf``).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.compiled import compiled
from epochs_left.dynamics.geometry import block_edges, check_shapes

_SUMS = {"reassoc", "contract", "nsz"}

#: Vectors of a run that are kept in float64, so that not every epoch converts them.
_STATE = ("start", "last_update", "final")

#: Order of the rows of the kernels' output.
_CAUSAL = (
    "l1_from_start",
    "l2_from_start",
    "chebyshev_from_start",
    "cosine_from_start",
    "param_norm",
    "update_l2",
    "turning_cosine",
    "acceleration",
    "outward_cosine",
)
_ORACLE = ("l1_to_final", "l2_to_final", "chebyshev_to_final", "cosine_to_final", "homing_cosine")
_BLOCKS = ("block_mean", "block_difference", "block_distance")


def trajectory_geometry(
    params: FloatArray,
    lengths: IntArray,
    *,
    final: FloatArray | None = None,
    block_of_param: IntArray,
    n_blocks: int,
) -> dict[str, FloatArray]:
    """Return what `dynamics.geometry.trajectory_geometry` returns, to rounding.

    Arguments, shapes, units and errors are those of the reference.
    """
    edges = block_edges(block_of_param, n_blocks)
    check_shapes(params, lengths, final, edges)
    ends = params[:0] if final is None else final
    n_oracle = 0 if final is None else len(params)
    causal = np.empty((len(_CAUSAL), len(params)))
    oracle = np.empty((len(_ORACLE), n_oracle))
    blocks = np.empty((len(_BLOCKS), n_oracle, n_blocks))
    final_means = np.empty((len(ends), n_blocks))
    inputs = (_read_only(params), lengths.astype(np.int64), _read_only(ends), edges)
    _all_runs(*inputs, causal, oracle, blocks, final_means)
    result: dict[str, FloatArray] = dict(zip(_CAUSAL, causal, strict=True))
    if final is not None:
        result.update(zip(_ORACLE, oracle, strict=True))
        result.update(zip(_BLOCKS, blocks, strict=True))
        result["final_block_mean"] = final_means
    return result


def _read_only(values: FloatArray) -> FloatArray:
    """Return a read-only view, as Arrow's arrays are: numba compiles anew for every kind."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


# numpy's error model: without it each quotient is a branch that may raise, one row at a time.
_quotients = partial(compiled, error_model="numpy")


@partial(compiled, inline=True)
def _order(size):  # type: ignore[no-untyped-def]
    """Bits of a float64 >= 0 as an integer: they order as it does, with NaN above infinity.

    A maximum of integers runs over vector lanes; one of floats, NaN kept, does not.
    """
    return np.float64(size).view(np.int64)


@partial(compiled, inline=True)
def _value(order):  # type: ignore[no-untyped-def]
    return np.int64(order).view(np.float64)


@compiled
def _all_runs(params, lengths, final, edges, causal, oracle, blocks, final_means):  # type: ignore[no-untyped-def]
    state = np.empty((len(_STATE), params.shape[1]))
    has_final = final.shape[0] > 0
    first = 0
    for run in range(lengths.size):
        last = first + lengths[run]
        state[0], state[1] = params[first], 0.0
        if has_final:
            state[2] = final[run]
        for row in range(first, last):
            _causal_sums(params, row, max(row - 1, first), state, causal)
            if has_final:
                _oracle_sums(params, row, state, edges, oracle, blocks)
        _finish_causal(causal[:, first:last])
        if has_final:
            norm = _final_sums(final, run, edges, final_means)
            _finish_oracle(oracle[:, first:last], causal[:, first:last], norm)
        first = last


@partial(compiled, fastmath=_SUMS)
def _causal_sums(params, row, before, state, out):  # type: ignore[no-untyped-def]
    """Write sums to column ``row`` in the order of ``_CAUSAL``; keep this epoch's update."""
    theta, previous = params[row], params[before]
    start, last_update = state[0], state[1]
    total = squares = norm = update_squares = turning = bend = outward = 0.0
    largest = np.int64(0)
    for i in range(theta.size):
        x = np.float64(theta[i])
        away = x - start[i]
        update = x - np.float64(previous[i])
        change = update - last_update[i]
        size = abs(away)
        total += size
        largest = max(largest, _order(size))
        squares += away * away
        norm += x * x
        update_squares += update * update
        turning += update * last_update[i]
        bend += change * change
        outward += update * away
        last_update[i] = update
    out[0, row], out[1, row], out[2, row] = total, squares, _value(largest)
    out[4, row], out[5, row] = norm, update_squares
    out[6, row], out[7, row], out[8, row] = turning, bend, outward


@compiled
def _oracle_sums(params, row, state, edges, out, blocks):  # type: ignore[no-untyped-def]
    """Write sums to column ``row`` in the order of ``_ORACLE``, and the means of the blocks."""
    total = squares = homing = 0.0
    largest = np.int64(0)
    for block in range(edges.size - 1):
        begin, end = edges[block], edges[block + 1]
        mean, difference, distance, square, inward, peak = _block_sums(
            params, row, state, begin, end
        )
        total += distance
        squares += square
        homing += inward
        largest = max(largest, peak)
        share = 1.0 / max(end - begin, 1)
        blocks[0, row, block] = mean * share
        blocks[1, row, block] = difference * share
        blocks[2, row, block] = distance * share
    out[0, row], out[1, row], out[2, row], out[4, row] = total, squares, _value(largest), homing


@partial(compiled, fastmath=_SUMS)
def _block_sums(params, row, state, begin, end):  # type: ignore[no-untyped-def]
    theta, update, final = params[row, begin:end], state[1, begin:end], state[2, begin:end]
    total = difference = distance = squares = homing = 0.0
    largest = np.int64(0)
    for i in range(theta.size):
        x = np.float64(theta[i])
        away = x - final[i]
        size = abs(away)
        total += x
        difference += away
        distance += size
        squares += away * away
        homing -= update[i] * away
        largest = max(largest, _order(size))
    return total, difference, distance, squares, homing, largest


@compiled
def _final_sums(final, run, edges, means):  # type: ignore[no-untyped-def]
    """Write the block means of an end point and return its norm."""
    squares = 0.0
    for block in range(edges.size - 1):
        total, square = _sum_and_squares(final, run, edges[block], edges[block + 1])
        means[run, block] = total / max(edges[block + 1] - edges[block], 1)
        squares += square
    return np.sqrt(squares)


@partial(compiled, fastmath=_SUMS)
def _sum_and_squares(vectors, row, begin, end):  # type: ignore[no-untyped-def]
    part = vectors[row, begin:end]
    total = squares = 0.0
    for i in range(part.size):
        x = np.float64(part[i])
        total += x
        squares += x * x
    return total, squares


@_quotients
def _finish_causal(out):  # type: ignore[no-untyped-def]
    """Turn a run's sums into norms and cosines, in place, shape ``(9, n)``."""
    l2, cosine, norm, update_l2 = out[1], out[3], out[4], out[5]
    turning, acceleration, outward = out[6], out[7], out[8]
    for t in range(l2.size):
        l2[t], norm[t] = np.sqrt(l2[t]), np.sqrt(norm[t])
        update_l2[t], acceleration[t] = np.sqrt(update_l2[t]), np.sqrt(acceleration[t])
    for t in range(l2.size):
        cosine[t] = _cosine_distance(norm[t], norm[0], l2[t])
        outward[t] = _cosine(outward[t], update_l2[t] * l2[t])
    for t in range(1, l2.size):
        turning[t] = _cosine(turning[t], update_l2[t] * update_l2[t - 1])
    update_l2[0] = outward[0] = 0.0
    turning[:2] = acceleration[:2] = 0.0


@_quotients
def _finish_oracle(out, causal, final_norm):  # type: ignore[no-untyped-def]
    """As `_finish_causal`, shape ``(5, n)``."""
    l2, cosine, homing = out[1], out[3], out[4]
    norm, update_l2 = causal[4], causal[5]
    for t in range(l2.size):
        l2[t] = np.sqrt(l2[t])
        cosine[t] = _cosine_distance(norm[t], final_norm, l2[t])
        homing[t] = _cosine(homing[t], update_l2[t] * l2[t])
    homing[0] = 0.0


@partial(_quotients, inline=True)
def _cosine(dot, product):  # type: ignore[no-untyped-def]
    cosine = dot / product
    clipped = 1.0 if cosine > 1.0 else (-1.0 if cosine < -1.0 else cosine)
    return 0.0 if product == 0.0 else clipped


@partial(_quotients, inline=True)
def _cosine_distance(norm, other_norm, l2):  # type: ignore[no-untyped-def]
    product = norm * other_norm
    shrinkage = norm - other_norm
    distance = (l2 * l2 - shrinkage * shrinkage) / (2.0 * product)
    clipped = 2.0 if distance > 2.0 else (0.0 if distance < 0.0 else distance)
    return 1.0 if product == 0.0 else clipped
