"""Peak memory of the simulate stage with once and four times the runs: it must not grow.

Each measurement is a process of its own with one worker, so that its peak is that of the worker.
Shards have the same size in both; what grows with the runs is the plan alone.

    python benchmarks/memory.py    # some minutes; --check exits 1 if a peak grows by over a quarter
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

#: Family -> runs and other settings of the smaller measurement.
CASES = {
    "neuron": {"runs": 10_000},
    "mlp": {"runs": 120, "max_epochs": 40, "runs_per_shard": 24, "max_steps_per_epoch": 16},
    "resnet": {"runs": 16, "max_epochs": 3, "runs_per_shard": 8},
    "char_lm": {"runs": 16, "max_epochs": 3, "runs_per_shard": 8},
}
ALLOWED_GROWTH = 1.25

MEASURE = """
import json, resource, sys
from pathlib import Path
from epochs_left.config import parse_settings
from epochs_left.simulation.runner import Execution, simulate_family
from epochs_left.storage.params import load_params
from epochs_left.workloads import WORKLOADS

family, overrides, folder = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
values = {**load_params(Path("pipeline/params.yaml"))[family], **overrides}
settings = parse_settings(WORKLOADS[family].settings_type, values, family)
simulate_family(
    family, settings, 1, folder=folder / family, work_root=folder / "work", execution=Execution()
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(family: str, overrides: dict[str, int]) -> float:
    """Peak resident memory of simulating a family, MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", MEASURE, family, json.dumps(overrides), folder]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a peak grows")
    arguments = parser.parse_args()
    grown = []
    print(f"{'':12}{'runs':>10}{'1x':>8}{'4x':>8}  MB")
    for family, values in CASES.items():
        once = peak(family, values)
        four = peak(family, {**values, "runs": 4 * values["runs"]})
        print(f"{family:12}{values['runs']:>10,}{once:>8.0f}{four:>8.0f}")
        if four > ALLOWED_GROWTH * once:
            grown.append(family)
    if arguments.check and grown:
        sys.exit(f"memory grows with the runs: {', '.join(grown)}")


if __name__ == "__main__":
    main()
