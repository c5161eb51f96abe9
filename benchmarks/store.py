"""Speed of the run store against the disk: MB/s of float32 rows, written and read back.

Shards as the pipeline writes them (byte-stream split, zstd, page checksums, hash of the rows,
fsync, SHA-256 of the file) and as it reads them (SHA-256 against the manifest, page checksums), of
perceptrons with 3,466 parameters and of neurons with three, from parameters that drift as training
drifts. Beside them the disk alone: the same bytes with write and fsync. Writers and disk take
turns; the best of the repeats counts.

    python benchmarks/store.py    # half a minute; TMPDIR chooses the disk
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.schema import VALIDATED_MEASURES, epochs_schema
from epochs_left.storage.epoch_shards import ShardWriter, file_sha256, read_shard

EPOCHS = 100


def drifting_rows(n_params: int, n_runs: int) -> dict[str, FloatArray]:
    """Columns of runs whose parameters move a thousandth of their size an epoch."""
    rng = np.random.default_rng(0)
    shape = (n_runs, EPOCHS, n_params)
    steps = rng.normal(0, 1e-3, shape).astype(np.float32)
    params = rng.normal(size=(n_runs, 1, n_params)).astype(np.float32) + steps.cumsum(axis=1)
    params = params.reshape(-1, n_params)
    columns = {
        name: rng.lognormal(size=n_runs * EPOCHS).astype(np.float32) for name in VALIDATED_MEASURES
    }
    if n_params > 32:
        return {**columns, "params": params}
    return {**columns, **{f"param_{i}": params[:, i].copy() for i in range(n_params)}}


def write(path: Path, n_params: int, columns: dict[str, FloatArray], blocks: int) -> None:
    n_rows = len(columns["loss"])
    run = np.repeat(np.arange(n_rows // EPOCHS, dtype=np.int32), EPOCHS)
    epoch = np.tile(np.arange(EPOCHS, dtype=np.int32), n_rows // EPOCHS)
    ids = [f"{number:016x}" for number in range(n_rows // EPOCHS)]
    writer = ShardWriter(path, epochs_schema(n_params, VALIDATED_MEASURES))
    for _ in range(blocks):
        writer.write(ids, run, epoch, columns)
    writer.publish()


def read(path: Path) -> None:
    file_sha256(path)
    for rows in read_shard(path):
        rows.params.sum()


def write_raw(path: Path, data: bytes, blocks: int) -> None:
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="turns; the best counts")
    arguments = parser.parse_args()
    print(f"{'':28}{'write':>8}{'read':>8}{'disk':>8}  MB/s of float32; share of the size on disk")
    with tempfile.TemporaryDirectory() as folder:
        path, raw = Path(folder) / "epochs-0000.parquet", Path(folder) / "raw"
        for n_params, n_runs, blocks in ((3466, 12, 12), (3, 2600, 8)):
            columns = drifting_rows(n_params, n_runs)
            block = b"".join(np.ascontiguousarray(values).tobytes() for values in columns.values())
            size = blocks * len(block)
            best = dict.fromkeys(("write", "read", "disk"), float("inf"))
            for _ in range(arguments.repeats):
                turn = {
                    "write": seconds(lambda: write(path, n_params, columns, blocks)),  # noqa: B023
                    "read": seconds(lambda: read(path)),
                    "disk": seconds(lambda: write_raw(raw, block, blocks)),  # noqa: B023
                }
                best = {name: min(best[name], turn[name]) for name in best}
            speeds = "".join(f"{size / best[name] / 1e6:>8.0f}" for name in best)
            share = path.stat().st_size / size
            print(f"{n_params:>6} parameters, {size / 1e6:.0f} MB {speeds}  {share:.0%}")


if __name__ == "__main__":
    main()
