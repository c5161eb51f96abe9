"""Time of the cluster bootstrap: R^2, MSE and MAE with BCa intervals on a million rows.

Run with `python benchmarks/bootstrap.py`. Prints the seconds from rows to intervals, on one core,
and those of resampling the rows themselves, extrapolated from a few replicates.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.scores import SUM_SCORES, error_sums

NAIVE_REPLICATES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lineages", type=int, default=2_500)
    parser.add_argument("--replicates", type=int, default=2_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    lineage = np.sort(rng.integers(arguments.lineages, size=arguments.rows))
    actual = rng.exponential(size=arguments.rows) + rng.normal(size=arguments.lineages)[lineage]
    predicted = actual + rng.normal(size=arguments.lineages)[lineage]

    with threadpool_limits(limits=1):
        start = time.perf_counter()
        sums = error_sums(actual, predicted, lineage)
        estimates = bootstrap_sums(sums, SUM_SCORES, n_replicates=arguments.replicates, rng=rng)
        seconds = time.perf_counter() - start
        naive = _seconds_by_rows(actual, predicted, lineage, rng) * arguments.replicates
    for name, estimate in estimates.items():
        print(f"{name}: {estimate.value:.4f} {estimate.interval}")
    print(f"from sums: {seconds:.2f} s; by resampling rows: {naive:.0f} s ({naive / seconds:.0f}x)")


def _seconds_by_rows(
    actual: np.ndarray, predicted: np.ndarray, lineage: np.ndarray, rng: np.random.Generator
) -> float:
    """Seconds a replicate when the rows of each drawn lineage are gathered and scored."""
    ends = np.append(np.flatnonzero(np.diff(lineage, prepend=-1)), lineage.size)
    start = time.perf_counter()
    for _ in range(NAIVE_REPLICATES):
        drawn = rng.integers(ends.size - 1, size=ends.size - 1)
        rows = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in drawn])
        error_sums(actual[rows], predicted[rows], np.zeros(rows.size, dtype=int))
    return (time.perf_counter() - start) / NAIVE_REPLICATES


if __name__ == "__main__":
    main()
