"""Speed of the geometry kernels: GB/s of float32 parameters that one core reads.

Runs of 60 epochs in four blocks, data larger than the caches, with the end points and without;
beside them the numpy reference (on a part of the runs) and a plain read of the same memory, in
turns. Seconds are CPU time, so that other work on the machine counts little; the best repeat
counts. Narrow rows miss the mark: three parameters are 12 bytes, the answers to be written 72, with
an end point 40 more and 96 for four blocks; sums over a handful of numbers leave vector lanes idle.

    python benchmarks/geometry.py            # a minute
    python benchmarks/geometry.py --check    # exits 1 below 4 GB/s from 500 parameters on
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from epochs_left.dynamics import geometry, geometry_kernels

WIDTHS = (3, 17, 500, 3466, 5094)
EPOCHS = 60
N_BLOCKS = 4
BYTES = 1 << 27  # four times the last level of cache of a usual server core
REFERENCE_SHARE = 16  # the reference sees one run in so many
GOAL = 4.0  # GB/s
CHECKED_WIDTH = 500  # parameters; below, the answers are a good part of the bytes


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def speeds(n_params: int, repeats: int) -> dict[str, float]:
    n_runs = BYTES // (4 * n_params * EPOCHS)
    rng = np.random.default_rng(0)
    params = rng.standard_normal((n_runs * EPOCHS, n_params), dtype=np.float32)
    lengths = np.full(n_runs, EPOCHS)
    final = params[EPOCHS - 1 :: EPOCHS].copy()
    blocks = np.arange(n_params) * N_BLOCKS // n_params
    layout: dict[str, Any] = {"block_of_param": blocks, "n_blocks": N_BLOCKS}
    few = max(n_runs // REFERENCE_SHARE, 1)
    kernels = geometry_kernels.trajectory_geometry
    kernels(params[:EPOCHS], lengths[:1], final=final[:1], **layout)  # compiles
    works: dict[str, Callable[[], Any]] = {
        "with final": lambda: kernels(params, lengths, final=final, **layout),
        "without": lambda: kernels(params, lengths, **layout),
        "numpy": lambda: geometry.trajectory_geometry(
            params[: few * EPOCHS], lengths[:few], final=final[:few], **layout
        ),
        "read": params.max,
    }
    turns = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    shares = {"numpy": few / n_runs}
    return {
        name: params.nbytes * shares.get(name, 1.0) / min(turn[name] for turn in turns) / 1e9
        for name in works
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    slow = []
    for n_params in WIDTHS:
        speed = speeds(n_params, arguments.repeats)
        print(f"P = {n_params:4}:", ", ".join(f"{k} {v:.2f}" for k, v in speed.items()), "GB/s")
        if n_params >= CHECKED_WIDTH and min(speed["with final"], speed["without"]) < GOAL:
            slow.append(n_params)
    if arguments.check and slow:
        sys.exit(f"below {GOAL} GB/s at {slow} parameters")


if __name__ == "__main__":
    main()
