"""Tables of figures in the README."""

from __future__ import annotations

from typing import Any

import pytest

from epochs_left.errors import DataError
from epochs_left.regressors import REGRESSORS
from epochs_left.reporting.readme import family_table, score_table, with_tables

SPLITS = ("row-wise", "row-wise less by lineage", "by lineage", "locked test")
METRICS = {
    split: {f"{name}-causal": 0.1 * i + 0.01 * k for k, (name, _) in enumerate(REGRESSORS.items())}
    for i, split in enumerate(SPLITS)
}
PAGE = """# Page

<!-- scores -->
| an old table |

Between.

<!-- families -->
| another one |
|---|
| row |

After.
"""


def entry(view: str, split: str, estimate: float, **others: Any) -> dict[str, Any]:
    usual = {"scope": "all", "scale": "log", "weighting": "run", "metric": "r2"}
    interval = {"lower": estimate - 0.1, "upper": estimate + 0.1, "n_runs": 1234}
    what = {"model": "xgboost", "view": view, "split": split, "estimate": estimate}
    return {**what, **usual, **interval, **others}


def results() -> dict[str, Any]:
    scores = [
        entry("causal", "by lineage", 0.7),
        entry("causal", "row-wise", 0.8),
        entry("oracle", "by lineage", 0.75),
        entry("oracle", "row-wise", 0.85),
        entry("causal", "row-wise", 0.034, metric="r2_gap"),
        entry("oracle", "row-wise", -0.002, metric="r2_gap"),
        entry("causal", "by lineage", 0.1, scope="with momentum"),
        entry("causal", "by lineage", 0.2, model="linear"),
    ]
    return {
        "mlp": {
            "scores": scores,
            "ceiling": {"ceiling": {"estimate": 0.99, "lower": 0.9, "upper": 1.0}},
        }
    }


def test_models_stand_by_their_score_and_baselines_below() -> None:
    rows = score_table(METRICS).splitlines()[2:]
    assert len(rows) == len(REGRESSORS.items())
    baseline = ["(baseline)" in row for row in rows]
    assert baseline == sorted(baseline)
    for part in (False, True):
        grouped = [
            float(row.split(" | ")[2])
            for row, is_one in zip(rows, baseline, strict=True)
            if is_one == part
        ]
        assert grouped == sorted(grouped, reverse=True)


def test_a_family_has_the_scores_of_the_whole() -> None:
    row = family_table(results()).splitlines()[2]
    assert row == (
        "| mlp | 1,234 | 0.700 (0.600-0.800) | 0.800 (+0.034) | 0.750 (0.650-0.850) "
        "| 0.850 (-0.002) | 0.990 (0.900-1.000) |"
    )


def test_both_tables_are_replaced_and_nothing_else() -> None:
    page = with_tables(PAGE, METRICS, results())
    assert score_table(METRICS) in page
    assert family_table(results()) in page
    assert "old" not in page
    assert "another" not in page
    for kept in ("# Page", "Between.", "After."):
        assert kept in page
    assert with_tables(page, METRICS, results()) == page


def test_a_page_without_the_mark_is_refused() -> None:
    with pytest.raises(DataError, match="<!-- families -->"):
        with_tables(PAGE.replace("<!-- families -->\n", ""), METRICS, results())
