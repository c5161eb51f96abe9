"""The bar of tqdm (2 s)."""

from __future__ import annotations

import io
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.predictor import Predictor

known = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "known_losses.py")))


def test_the_bar_shows_what_a_tracker_says(curve: Any, released: Predictor, ticks: Any) -> None:
    pytest.importorskip("tqdm")
    from epochs_left.live.adapters.tqdm import EtaBar  # noqa: PLC0415

    losses, shown = curve(0, n=12), io.StringIO()
    asked = {"model_bundle": released, "clock": ticks()}
    with EtaBar(range(12), target=0.01, asked=asked, file=shown, mininterval=0) as bar:
        found = [bar.track(loss=losses[epoch]) for epoch in bar]
    tracker = EtaTracker(0.01, model_bundle=released, horizon=12, clock=ticks())
    assert found == [tracker.update(loss) for loss in losses]
    assert str(found[-1]) in shown.getvalue()


@pytest.mark.parametrize("total", [None, 30])
def test_the_total_is_the_usual_horizon(released: Predictor, total: int | None) -> None:
    pytest.importorskip("tqdm")
    from epochs_left.live.adapters.tqdm import EtaBar  # noqa: PLC0415

    bar = EtaBar(target=0.1, total=total, disable=True, asked={"model_bundle": released})
    assert bar.tracker.state_dict()["asked"]["horizon"] == total
    assert bar.track(metric=1.0).epoch == 1


def test_the_tracker_of_the_bar_is_told_the_learning_rate_of_each_epoch(
    of_plateaus: Predictor,
) -> None:
    pytest.importorskip("tqdm")
    from epochs_left.live.adapters.tqdm import EtaBar  # noqa: PLC0415

    asked = {**known.PLATEAU, "model_bundle": known.follower(of_plateaus)}
    del asked["target"]
    with EtaBar(range(6), disable=True, asked=asked) as bar:
        losses = known.pass_means(6)
        answers = [bar.track(loss=losses[epoch], lr=known.DROPS[epoch]) for epoch in bar]
    known.assert_follows(answers, known.DROPS)
