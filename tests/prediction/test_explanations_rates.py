"""What an explanation says of learning rates that are known so far, ahead, or not at all (2 s)."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.prediction.explanations import Explanation, explain
from epochs_left.prediction.histories import LAST
from epochs_left.prediction.plateaus import PLAN_FEATURES
from epochs_left.storage.bundles import Bundle

helper = runpy.run_path(str(Path(__file__).parent / "rates_predictor.py"))
log_of, answered = helper["log_of"], helper["answered"]


def explained(log: pd.DataFrame, **stated: Any) -> Explanation:
    """Explain the last row of a log."""
    runs, run_names, label_names, _ = helper["read"](log, stated)
    predictor = helper["rates_predictor"]()
    return explain(
        runs,
        Bundle(manifest=predictor.manifest, files={}),
        predictor,
        aim=helper["AIM"],
        at=LAST,
        run_names=run_names,
        label_names=label_names,
    )


BARE = log_of(0).drop(columns="lr")
ENDS_UNKNOWN = log_of(0, lr=np.r_[np.full(40, 0.1), np.nan])


@pytest.mark.parametrize(
    ("log", "stated", "missing", "loss_alone"),
    [
        (BARE, {}, {"lr", "lr_schedule"}, True),
        (BARE, {"lr": 0.1}, {"lr", "lr_schedule"}, True),
        (ENDS_UNKNOWN, {}, {"lr", "lr_schedule"}, True),
        (log_of(0), {}, {"lr_schedule"}, False),
        (log_of(0, lr_schedule="polynomial"), {}, {"lr_schedule"}, False),
        (log_of(0, lr_schedule="cosine"), {}, set(), False),
        (BARE, {"lr_schedule": "cosine"}, set(), False),
        (BARE, {"lr_schedule": "step:0.4"}, set(), False),
    ],
)
def test_rates_that_would_be_used_are_missing_and_those_so_far_are_enough(
    log: pd.DataFrame, stated: dict[str, Any], missing: set[str], loss_alone: bool
) -> None:
    found = explained(log, **stated)
    assert set(found.missing) == missing
    assert all(found.missing.values())
    assert found.loss_alone == loss_alone
    last = answered(log, stated=stated).iloc[-1]
    for name in ("epochs_remaining", "lower", "upper", "p_converges", "reason"):
        assert found.answer[name] == last[name]


@pytest.mark.parametrize("seed", range(3))
def test_without_a_plan_its_features_are_unknown_and_the_others_are_not(seed: int) -> None:
    values = {item.feature: item.value for item in explained(log_of(seed)).contributions}
    planned = explained(log_of(seed, lr_schedule="cosine"))
    known = {item.feature: item.value for item in planned.contributions}
    assert known.keys() == values.keys() > PLAN_FEATURES
    assert {name for name, value in values.items() if math.isnan(value)} == PLAN_FEATURES
    assert not any(map(math.isnan, known.values()))


def test_contributions_of_rates_add_up_to_the_answer() -> None:
    found = explained(log_of(1))
    total = sum(item.contribution for item in found.contributions)
    assert found.value == pytest.approx(found.base + total + found.left_over, rel=1e-9)
    by_group = {name: total for name, total, _ in found.by_group()}
    assert by_group["rates_so_far"] != 0
    assert by_group["plateau_on_rates"] != 0
