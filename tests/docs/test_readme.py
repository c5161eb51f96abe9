"""What the README says: its figures and its commands."""

import json
import re
from pathlib import Path

import pytest

from epochs_left.regressors import REGRESSORS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROW = re.compile(r"^\| (?P<title>[^|]+?)(?: \(baseline\))? \| (?P<scores>[-+0-9.()| ]+) \|$", re.M)


def test_scores_are_those_of_the_last_run_of_the_pipeline() -> None:
    metrics = json.loads((ROOT / "reports/metrics.json").read_text())["neuron"]
    names = {spec.title: name for name, spec in REGRESSORS.items()}
    rows = [match for match in ROW.finditer(README) if match["title"] in names]
    assert len(rows) == len(names)
    for row in rows:
        model = f"{names[row['title']]}-causal"
        splits = ("row-wise", "by lineage", "locked test")
        row_wise, *others = [f"{metrics[split][model]:.3f}" for split in splits]
        gain = f"({metrics['row-wise less by lineage'][model]:+.3f})"
        assert row["scores"].split(" | ") == [f"{row_wise} {gain}", *others]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
