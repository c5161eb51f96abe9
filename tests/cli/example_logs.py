"""The logs in data/examples, from the formulas that they come from.

``python tests/cli/example_logs.py`` writes them anew.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochs_left.dynamics.closed_form import unit_loss_and_gradient

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"

#: Name, initial (w1, w2, b), learning rate. `stuck` starts with |w2 - w1| < |b|.
UNITS = (
    ("fast", (0.9, -0.7, 0.3), 0.2),
    ("slow", (0.9, -0.7, 0.3), 0.02),
    ("slower", (-1.4, 0.2, -0.5), 0.01),
    ("stuck", (0.3, 0.4, 1.2), 0.1),
)
EPOCHS = 40
HORIZON = 1000  # epochs that the runs are meant to last at most, as those of the neuron family


def unit_rows(
    name: str, params: tuple[float, ...], lr: float, epochs: int = EPOCHS
) -> Iterator[dict[str, Any]]:
    """Full-batch gradient descent of |w.x + b| on centred XOR, a row an epoch."""
    theta, path, update = np.array(params), 0.0, 0.0
    before = outputs = unit_outputs(theta)
    for epoch in range(epochs):
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient = unit_loss_and_gradient(theta)
            row = {
                "run_id": name,
                "epoch": epoch,
                "loss": float(loss),
                "grad_norm": float(np.linalg.norm(gradient)),
                "update_norm": update,
                "path_length": path,
                "probe_kl": float(np.mean((outputs - before) ** 2) / 2),
                "lr": lr,
                "lr_schedule": "constant",
                "horizon": HORIZON,
                "momentum": 0.0,
                "weight_decay": 0.0,
                "batch_size": 4,
                "n_examples": 4,
                "n_params": 3,
                "optimizer": "sgd",
                "activation": "abs",
                "architecture": "abs-unit",
            }
            yield row | {f"param_{i}": float(value) for i, value in enumerate(theta)}
            theta = theta - lr * gradient
            before, outputs = outputs, unit_outputs(theta)
            update = float(np.linalg.norm(lr * gradient))
            path += update


def unit_outputs(theta: np.ndarray) -> np.ndarray:
    """Return |w.x + b| on the four inputs of XOR."""
    inputs = np.array([(x, y) for x in (-1, 1) for y in (-1, 1)])
    return np.abs(inputs @ theta[:2] + theta[2])


def spectrum_loss(epoch: int, *, floor: float, decay: float) -> float:
    """Loss of gradient descent on a quadratic with the spectrum i^-1.5 and weights i^-1.2."""
    i = np.arange(1, 101)
    return float(floor + (i**-1.2 * np.exp(-2 * decay * i**-1.5 * epoch)).sum())


def foreign_rows() -> Iterator[dict[str, Any]]:
    """Rows as other tools write them: other names, epochs from 1, columns of no use here."""
    for run, decay in (("baseline", 0.5), ("bigger-lr", 2.0)):
        for epoch in range(1, 31):
            loss = spectrum_loss(epoch, floor=0.02, decay=decay)
            yield {
                "run": run,
                "epoch": epoch,
                "train_loss": round(loss, 6),
                "valid_loss": round(loss + 0.05, 6),
            }


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, compression="zstd")
    return buffer.getvalue()


def example_files() -> Mapping[str, bytes]:
    """Return the content of each file by its name."""
    units = [row for name, params, lr in UNITS for row in unit_rows(name, params, lr)]
    one = [{"epoch": row["epoch"], "loss": row["loss"]} for row in unit_rows(*UNITS[1])]
    diverging = list(unit_rows("typo", (0.9, -0.7, 0.3), 1e6, epochs=30))
    keys = ("run_id", "epoch", "loss", "lr")
    return {
        "units.csv": as_csv(units),
        "units.parquet": as_parquet(units),
        "one_run.jsonl": as_jsonl(one),
        "foreign.csv": as_csv(list(foreign_rows())),
        "diverging.csv": as_csv([{key: row[key] for key in keys} for row in diverging]),
    }


if __name__ == "__main__":
    for file_name, content in example_files().items():
        (EXAMPLES / file_name).write_bytes(content)
