"""What the stages share: where they read and write, below the folder that dvc.yaml stands in."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("data/runs")
WORK = Path("data/.work")
DAMAGED = WORK / "damaged"
FEATURES = Path("features")
MODELS = Path("models")
RESULTS = Path("reports/results")
REPORT = Path("reports/index.html")
METRICS = Path("reports/metrics.json")
PICTURES = Path("reports/pictures")

#: The workload family that models are fitted on.
FAMILY = "neuron"
