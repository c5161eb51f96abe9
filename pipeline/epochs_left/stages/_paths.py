"""Where the stages read and write, relative to the folder that dvc.yaml stands in."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("data/runs")
WORK = Path("data/.work")
FEATURES = Path("features")
MODELS = Path("models")
RESULTS = Path("reports/results")
REPORT = Path("reports/index.html")
METRICS = Path("reports/metrics.json")
PICTURES = Path("reports/pictures")
