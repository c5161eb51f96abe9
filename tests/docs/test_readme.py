"""What the README says: its figures and its commands."""

import json
import re
from pathlib import Path

import pytest

from epochs_left.regressors import REGRESSORS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROW = re.compile(r"^\| (?P<title>[^|]+?)(?: \(baseline\))? \| (?P<scores>[-0-9.| ]+) \|$", re.M)


def test_scores_are_those_of_the_last_run_of_the_pipeline() -> None:
    metrics = json.loads((ROOT / "reports/metrics.json").read_text())["neuron"]
    names = {spec.title: name for name, spec in REGRESSORS.items()}
    rows = [match for match in ROW.finditer(README) if match["title"] in names]
    assert len(rows) == len(names)
    for row in rows:
        model = f"{names[row['title']]}-causal"
        measured = [metrics[split][model] for split in ("row-wise", "by lineage", "locked test")]
        assert row["scores"].split(" | ") == [f"{figure:.3f}" for figure in measured]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
