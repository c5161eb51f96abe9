"""What the sweeps share: low-discrepancy points, weighted choices, log-uniform ranges."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
import pyarrow as pa
from scipy.stats import qmc

from epochs_left.arrays import FloatArray
from epochs_left.seeding import Purpose, Scalar, generator, key_of, seed_sequence

_ROWS_AT_ONCE = 4096


def sobol(n: int, dimensions: int, root_seed: int, *, stream: int) -> FloatArray:
    """Return the first ``n`` points of a scrambled Sobol sequence in [0, 1)^d.

    More points never change earlier ones.
    """
    seed = generator(root_seed, stream, Purpose.SWEEP)
    sampler = qmc.Sobol(dimensions, scramble=True, rng=seed)
    points: FloatArray = sampler.random_base2(max(n - 1, 1).bit_length())[:n]
    return points


def lineage_points(
    n_runs: int, per_lineage: int, dimensions: tuple[int, int], root_seed: int, *, stream: int
) -> tuple[FloatArray, FloatArray]:
    """Return a point for each lineage and one for each run, low-discrepancy jointly.

    One Sobol point holds the coordinates of a lineage and of all its runs. Two sequences, one over
    the lineages and one over the runs, would be locked to each other: their indices share digits,
    and each architecture would meet a few narrow bands of learning rates.

    Parameters
    ----------
    n_runs, per_lineage
        Runs, and runs that share a lineage; the last lineage may have fewer.
    dimensions
        Coordinates of a lineage and of a run.

    Returns
    -------
    Shapes ``(n_lineages, dimensions[0])`` and ``(n_runs, dimensions[1])``.
    """
    of_lineage, of_run = dimensions
    n_lineages = -(-n_runs // per_lineage)
    points = sobol(n_lineages, of_lineage + per_lineage * of_run, root_seed, stream=stream)
    return points[:, :of_lineage], points[:, of_lineage:].reshape(-1, of_run)[:n_runs]


def choose(weights: Mapping[str, float], point: float) -> str:
    """Return the name whose share of the total weight covers ``point`` in [0, 1)."""
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(edges, point * edges[-1], side="right"))]


def log_uniform(point: float, limits: tuple[float, ...]) -> float:
    """Return the value at ``point`` in [0, 1) of a log-uniform range (low, high)."""
    low, high = limits
    return float(low * (high / low) ** point)


def momentum_at(point: float, limits: tuple[float, ...]) -> float:
    """Return a momentum that is log-uniform in 1 - momentum.

    That is what sets the time scale of the averaging.
    """
    return 1 - log_uniform(point, (1 - limits[1], 1 - limits[0]))


def check_weights(name: str, weights: Mapping[str, float], known: Collection[str]) -> None:
    """Raise ValueError unless the weights of a draw are usable and all its names are known."""
    check_names(name, weights, known)
    if min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise ValueError(f"weights of {name} must be 0 or more and not all 0, got {dict(weights)}")


def check_names(name: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError unless all names are known: a typing error would go unnoticed."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"unknown names {unknown} in {name}; known: {sorted(known)}")


def check_limits(name: str, limits: tuple[float, ...], *, most: float = math.inf) -> None:
    """Raise ValueError unless ``limits`` are [low, high] with 0 < low < high <= most."""
    if len(limits) != 2 or not 0 < limits[0] < limits[1] <= most:
        bound = "" if math.isinf(most) else f" <= {most:g}"
        raise ValueError(f"{name} must be [low, high] with 0 < low < high{bound}, got {limits}")


def table_of(rows: Iterator[dict[str, Scalar]]) -> pa.Table:
    """Return a table of rows, made in parts: a dict a row takes ten times the memory."""
    parts = [pa.Table.from_pylist(part) for part in _batched(rows)]
    return pa.concat_tables(parts).combine_chunks()


def _batched(rows: Iterator[dict[str, Scalar]]) -> Iterator[list[dict[str, Scalar]]]:
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        yield part


def order_keys(runs: pa.Table, root_seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Return the 64-bit key of each run's stream of sample orders, shape ``(n_runs, 2)``."""
    keys = [
        seed_sequence(root_seed, key_of(run_id), Purpose.ORDER).generate_state(2)
        for run_id in runs["run_id"].to_pylist()
    ]
    return np.array(keys, dtype=np.uint32).reshape(-1, 2)
