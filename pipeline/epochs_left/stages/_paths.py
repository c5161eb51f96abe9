"""What the stages share: where they read and write, below the folder that dvc.yaml stands in."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("data/runs")
WORK = Path("data/.work")
DAMAGED = WORK / "damaged"
BRANCHES = Path("data/branches")
FEATURES = Path("features")
MODELS = Path("models")
CLASSIFIERS = MODELS / "converges"
RESULTS = Path("reports/results")
REPORT = Path("reports/index.html")
METRICS = Path("reports/metrics.json")
#: Results of benchmarks that `dvc repro` does not run: too long for it, or of files not in here.
MEASURED = {"benchmarks": Path("benchmarks/results")}
PICTURES = Path("reports/pictures")
PLOTS = Path("reports/plots")
