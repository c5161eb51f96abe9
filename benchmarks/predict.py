"""Speed and memory of `epochs-left predict`, each measurement a process of its own.

A million rows, 10,000 runs of 100 epochs, with the loss alone and with settings and a schedule, in
Parquet and CSV; beside them the help, a first prediction, and a plain loop that predicts run by run
with the same predictor.

    python benchmarks/predict.py               # two minutes; --check exits 1 below the goals

Rows a second are those of the whole process on the clock; where others use the machine too, the
time of computing (user and system) says more, and both are printed. With --cpu the goals are held
against computing shared evenly by --jobs cores, start-up apart, which no core shares.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

RUNS, EPOCHS = 10_000, 100
TARGET = 0.01
NAIVE_RUNS = 200
#: Goals.
ROWS_A_SECOND, MEMORY_MB, HELP_SECONDS, FIRST_SECONDS = 200_000, 1000, 1.0, 3.0
_CLI = [sys.executable, "-m", "epochs_left.cli"]

NAIVE = """
import json, sys, time
import pyarrow.parquet as pq
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers
from epochs_left.prediction.cells import Names
from epochs_left.prediction.layout import ColumnChoice, OnBad, resolve
from epochs_left.prediction.predictor import predictor_of
from epochs_left.prediction.rows import RowReader
from epochs_left.prediction.runs import in_order
from epochs_left.storage.bundles import load_bundle
from pathlib import Path

log, model, epochs, target, runs = sys.argv[1:]
table, epochs = pq.read_table(log), int(epochs)
predictor = predictor_of(load_bundle(Path(model)), level=0.9, jobs=1)
names, labels = Names(), Names()
reader = RowReader(layout=resolve(table.column_names, ColumnChoice()), on_bad=OnBad.ERROR,
                   with_params=False, run_names=names, label_names=labels, default_run="")
start = time.process_time()
for run in range(int(runs)):
    (rows,) = reader.read([table.slice(run * epochs, epochs)])
    answers(in_order(rows, names.texts), predictor, aim=Aim(target=float(target)), at=None,
            run_names=names.texts, label_names=labels.texts)
print(int(runs) * epochs / (time.process_time() - start))
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process took."""

    clock: float  # s
    computing: float  # s, user and system
    peak: float  # MB


def measure(command: list[str]) -> Cost:
    """Run a command to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    clock = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {said}")
    return Cost(clock=clock, computing=usage.ru_utime + usage.ru_stime, peak=usage.ru_maxrss / 1024)


def tables(runs: int) -> dict[str, pa.Table]:
    """Return logs of exponential decays to floors, with noise: the loss alone, and settings."""
    rng = np.random.default_rng(0)
    lr = 10 ** rng.uniform(-2.5, -0.5, (runs, 1))
    decay = 0.25 * np.exp(-3 * lr * np.arange(EPOCHS)) + rng.choice([0, 0.02, 0.1], (runs, 1))
    loss = decay * np.exp(0.02 * rng.normal(size=decay.shape))
    names = np.array([f"run-{number:05d}" for number in range(runs)])
    columns = {
        "run_id": pa.array(np.repeat(names, EPOCHS)),
        "epoch": pa.array(np.tile(np.arange(EPOCHS), runs)),
        "loss": pa.array(loss.ravel()),
    }
    choices = {
        "momentum": [0.0, 0.9],
        "batch_size": [1, 4, 32],
        "optimizer": ["sgd", "momentum", "nesterov", "adam"],
        "lr_schedule": ["constant", "cosine", "step", "one_cycle"],
        "horizon": [EPOCHS],
    }
    of_run = {"lr": lr[:, 0]} | {name: rng.choice(some, runs) for name, some in choices.items()}
    settings = {name: pa.array(np.repeat(values, EPOCHS)) for name, values in of_run.items()}
    return {"loss alone": pa.table(columns), "settings": pa.table(columns | settings)}


def write(log: pa.Table, path: Path) -> None:
    """Write a log in the format of the extension."""
    if path.suffix == ".csv":
        pa_csv.write_csv(log, path)
    else:
        pq.write_table(log, path, compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    named = "below ./models, or a path"
    parser.add_argument("-m", "--model", default="pooled/threshold", help=named)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--check", action="store_true", help="exit 1 below the goals")
    parser.add_argument("--cpu", action="store_true", help="hold the goals against computing")
    arguments = parser.parse_args()
    model = next(
        path for path in (Path("models") / arguments.model, Path(arguments.model)) if path.exists()
    )
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder), model, arguments.jobs, arguments.runs, cpu=arguments.cpu)
    print(json.dumps(found, indent=2))
    missed = [name for name, (value, low, high) in goals(found).items() if not low <= value <= high]
    if arguments.check and missed:
        sys.exit(f"goals missed: {', '.join(missed)}")


def figures(folder: Path, model: Path, jobs: int, runs: int, *, cpu: bool) -> dict[str, float]:
    """Measure everything; rows a second, seconds, MB."""
    predict = [*_CLI, "predict", "-m", str(model), "--target", str(TARGET), "--force", "-q"]
    short = folder / "short.csv"
    write(tables(1)["loss alone"], short)
    helped = measure([*_CLI, "predict", "--help"])
    first = measure([*predict, "-i", str(short), "-o", str(folder / "short.out.csv")])
    found = {
        "help, s": helped.computing if cpu else helped.clock,
        "first prediction, s": first.computing if cpu else first.clock,
    }
    for kind, log in tables(runs).items():
        for extension in (".parquet", ".csv"):
            path, name = folder / f"log{extension}", f"{kind}, {extension[1:]}"
            write(log, path)
            out = folder / f"out{extension}"
            cost = measure([*predict, "-i", str(path), "-o", str(out), "--jobs", str(jobs)])
            shared = first.computing + max(0.0, cost.computing - first.computing) / jobs
            seconds = shared if cpu else cost.clock
            found[f"{name}: rows/s"] = round(log.num_rows / seconds)
            found[f"{name}: on the clock, s"] = round(cost.clock, 2)
            found[f"{name}: computing, s"] = round(cost.computing, 2)
            found[f"{name}: peak, MB"] = round(cost.peak)
            if extension == ".parquet":
                found[f"{kind}: rows/s of a core, run by run"] = _naive(path, model, runs)
                whole = log.num_rows / max(cost.computing - first.computing, 1e-9)
                ratio = whole / found[f"{kind}: rows/s of a core, run by run"]
                found[f"{kind}: times as fast a core as run by run"] = round(ratio, 1)
    return found


def _naive(log: Path, model: Path, runs: int) -> float:
    arguments = [str(log), str(model), str(EPOCHS), str(TARGET), str(min(NAIVE_RUNS, runs))]
    command = [sys.executable, "-c", NAIVE, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(float(done.stdout))


def goals(found: dict[str, float]) -> dict[str, tuple[float, float, float]]:
    """Return each figure that has a goal, with the bounds that it must lie in."""
    held = {name: (value, 0.0, MEMORY_MB) for name, value in found.items() if "peak" in name}
    for name in ("loss alone, parquet: rows/s", "settings, parquet: rows/s"):
        held[name] = (found[name], ROWS_A_SECOND, np.inf)
    held["help, s"] = (found["help, s"], 0.0, HELP_SECONDS)
    held["first prediction, s"] = (found["first prediction, s"], 0.0, FIRST_SECONDS)
    return held


if __name__ == "__main__":
    main()
