"""Laws of the tracker (8 s)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epochs_left.errors import ModelError
from epochs_left.live.eta import Eta
from epochs_left.live.history import MAX_EXACT, MAX_KEPT
from epochs_left.live.state import _ANSWER, VERSION
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.answers import answers, last_answer
from epochs_left.prediction.histories import LAST
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.rows import Rows
from epochs_left.prediction.runs import Runs

Follow = Callable[..., list[Eta]]
Draw = Callable[..., NDArray[np.float64]]
SEEDS = range(2)
NUMBERS = ("epochs_remaining", "lower", "upper", "p_converges")
PACKAGE_ROOT = Path(__file__).parents[2] / "pipeline"


def timeless(eta: Eta) -> Eta:
    return replace(eta, seconds_remaining=None, seconds_lower=None, seconds_upper=None)


def batch(
    losses: NDArray[np.float64],
    epochs: NDArray[np.int64],
    predictor: Predictor,
    aim: Aim,
    numbers: dict[str, float],
    labels: dict[str, str],
) -> list[dict[str, Any]]:
    """Answer every row of a log, as `epochs-left predict` does."""
    n = losses.size
    rows = Rows(
        run=np.zeros(n, dtype=int),
        row=np.arange(n) + 1,
        epoch=epochs,
        loss=losses,
        measured=np.ones(n, dtype=bool),
        numbers={name: np.full(n, value) for name, value in numbers.items()},
        labels={name: np.full(n, code) for code, name in enumerate(labels)},
        params=None,
    )
    runs = Runs(rows=rows, starts=np.array([0]), lengths=np.array([n]))
    table = answers(
        runs, predictor, aim=aim, at=None, run_names=["run"], label_names=list(labels.values())
    )
    return list(table.to_pylist())


def assert_alike(live: list[Eta], log: list[dict[str, Any]]) -> None:
    for eta, row in zip(live, log, strict=True):
        assert {name: getattr(eta, name) for name in (*NUMBERS, "status", "reason")} == {
            name: row[name] for name in (*NUMBERS, "status", "reason")
        }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("first", "gap"), [(0, 1), (1, 1), (5, 10)])
def test_live_answers_are_those_of_the_log_row_by_row(
    follow: Follow, curve: Draw, released: Predictor, seed: int, first: int, gap: int
) -> None:
    losses = curve(seed, n=50)
    losses[45:] = 0.9  # after it was reached
    epochs = first + gap * np.arange(50)
    stated = {"lr": 0.1, "batch_size": 32.0, "momentum": 0.9}
    live = follow(
        losses, epochs, model_bundle=released, target=0.02, optimizer="SGD", horizon=80, **stated
    )
    expected = batch(
        losses, epochs, released, Aim(target=0.02, horizon=80), stated, {"optimizer": "SGD"}
    )
    assert_alike(live, expected)
    assert {eta.status for eta in live} >= {"out_of_distribution", "already_converged"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_answer_alone_is_the_last_row_of_the_table(
    curve: Draw, small: Predictor, seed: int
) -> None:
    """Of each beginning of a run, that ends at its target or diverges."""
    losses = curve(seed, n=30)
    losses[25:] = [1e-9, np.nan][seed]
    found = set()
    for n in range(1, 31):
        rows = Rows(
            run=np.zeros(n, dtype=int),
            row=np.arange(n) + 1,
            epoch=np.arange(n),
            loss=losses[:n],
            measured=np.ones(n, dtype=bool),
            numbers={"lr": np.full(n, 0.1)},
            labels={},
            params=None,
        )
        runs = Runs(rows=rows, starts=np.array([0]), lengths=np.array([n]))
        aim = Aim(target=1e-6)
        table = answers(runs, small, aim=aim, at=LAST, run_names=["run"], label_names=[])
        (row,) = table.drop_columns(["run_id", "epoch", "model_id"]).to_pylist()
        assert last_answer(runs, small, aim=aim, label_names=[]) == row
        found.add(row["status"])
    assert {"insufficient_history", ["already_converged", "diverged"][seed]} < found


@pytest.mark.parametrize("seed", SEEDS)
def test_live_plateaus_are_those_of_the_log(
    follow: Follow, curve: Draw, of_plateaus: Predictor, seed: int
) -> None:
    losses, epochs = curve(seed, rate=0.3) + 0.1, np.arange(40)
    live = follow(losses, epochs, model_bundle=of_plateaus, plateau=0.05, horizon=35)
    expected = batch(losses, epochs, of_plateaus, Aim(plateau=0.05, horizon=35), {}, {})
    assert_alike(live, expected)
    assert live[-1].status == "already_converged"


def test_measures_of_a_log_give_the_same_answers_live(
    curve: Draw, small: Predictor, follow: Follow
) -> None:
    losses = curve(1, n=12)
    tracker = EtaTracker(target=1e-3, model_bundle=small, lr=0.1)
    live = [tracker.update(loss=loss, epoch=t, grad_norm=0.5) for t, loss in enumerate(losses)]
    stated = {"lr": 0.1, "grad_norm": 0.5}
    expected = batch(losses, np.arange(12), small, Aim(target=1e-3), stated, {})
    assert_alike(live, expected)
    alone = follow(losses, np.arange(12))
    assert live[-1].epochs_remaining != alone[-1].epochs_remaining


@pytest.mark.parametrize("seed", SEEDS)
def test_later_updates_never_change_earlier_answers(follow: Follow, curve: Draw, seed: int) -> None:
    losses = curve(seed)
    epochs = np.cumsum(np.random.default_rng(seed).uniform(0.5, 2, losses.size))
    whole = follow(losses, epochs)
    garbage = np.concatenate([losses[:20], np.full(20, 7.0)])
    assert follow(garbage, epochs)[:20] == whole[:20]
    assert follow(losses[:20], epochs[:20]) == whole[:20]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("even", [True, False])
def test_another_unit_of_time_scales_the_answer(
    follow: Follow, curve: Draw, seed: int, even: bool
) -> None:
    losses = curve(seed)
    gaps = np.random.default_rng(seed).integers(1, 3, losses.size)
    epochs = np.cumsum(np.ones_like(gaps) if even else gaps)
    for epoch, step in zip(
        follow(losses, epochs), follow(losses, 1024 * epochs, unit="step"), strict=True
    ):
        assert (step.epoch, step.status) == (1024 * epoch.epoch, epoch.status)
        if epoch.epochs_remaining is not None:
            assert step.epochs_remaining == pytest.approx(1024 * epoch.epochs_remaining)
            assert step.lower == pytest.approx(1024 * (epoch.lower or 0))
            assert step.seconds_remaining == pytest.approx(epoch.seconds_remaining)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_metric_that_rises_is_a_loss_below_its_ceiling(
    follow: Follow, curve: Draw, small: Predictor, seed: int
) -> None:
    losses = curve(seed, rate=0.2)
    accuracy = 100 - 100 * losses
    rises = EtaTracker(99.5, mode="max", ceiling=100, model_bundle=small)
    live = [timeless(rises.update(metric=value)) for value in accuracy]
    falls = follow(100 - accuracy, target=0.5)
    assert [eta.as_dict() for eta in live] == [timeless(eta).as_dict() for eta in falls]
    assert "metric has reached" in live[-1].reason


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_ever_negative(follow: Follow, seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = np.exp(rng.normal(0, 3, 60))
    epochs = np.cumsum(rng.exponential(3, 60))
    for eta in follow(losses, epochs, target=1e-6):
        assert all(value >= 0 for value in eta.as_dict().values())
        if eta.epochs_remaining is not None and eta.upper is not None:
            assert eta.lower is not None
            assert eta.lower <= eta.epochs_remaining <= eta.upper


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cut", [0, 1, 2, 17, 39])
def test_a_resumed_tracker_answers_as_if_nothing_had_happened(
    follow: Follow, curve: Draw, small: Predictor, seed: int, cut: int
) -> None:
    losses = curve(seed)
    epochs = np.cumsum(np.random.default_rng(seed).uniform(0.5, 2, 40))
    before, after = (EtaTracker(0.03, model_bundle=small, lr=0.1) for _ in range(2))
    follow(losses[:cut], epochs[:cut], tracker=before)
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
    whole = follow(losses, epochs, target=0.03, lr=0.1)
    resumed = follow(losses[cut:], epochs[cut:], tracker=after)
    assert list(map(timeless, resumed)) == list(map(timeless, whole[cut:]))


def test_counting_goes_on_after_a_resume(curve: Draw, small: Predictor) -> None:
    before, after = (EtaTracker(1e-3, model_bundle=small) for _ in range(2))
    for loss in curve(0, n=5):
        before.update(loss=loss)
    after.load_state_dict(before.state_dict())
    assert after.update(loss=0.5).epoch == 6


def test_a_state_of_another_tracker_is_refused(curve: Draw, small: Predictor) -> None:
    tracker = EtaTracker(1e-3, model_bundle=small, lr=0.1)
    first = tracker.update(loss=1.0)
    state = tracker.state_dict()
    other = EtaTracker(2e-3, model_bundle=small, lr=0.2)
    with pytest.raises(ValueError, match=r"another tracker: target 0\.001, now 0\.002; settings"):
        other.load_state_dict(state)
    for damaged in (
        {**state, "version": VERSION - 1},
        {**state, "version": VERSION + 1},
        {"version": VERSION},
        {**state, "time": [3.0, 2.0]},
        {**state, "values": {}},
        {**state, "motion": {"sizes": [3]}},
        {**state, "settled": {"epoch": 1}},
        {**state, "pace": "fast"},
        {**state, "pace": "12"},
        {**state, "pace": [-3.0]},
        {**state, "pace": [float("nan")]},
        {**state, "epoch": None},
        {**state, "epoch": 0.5},
        {**state, "epoch": float("nan")},
        {**state, "values": {**state["values"], "loss": "1"}},
        {**state, "settled": {"epoch": 1, "answer": dict.fromkeys(_ANSWER, "soon")}},
        [],
    ):
        with pytest.raises(ValueError, match="state"):
            tracker.load_state_dict(damaged)  # type: ignore[arg-type]
    assert tracker.state_dict() == state
    assert tracker.update(loss=0.9).epoch == first.epoch + 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("goal", [{"target": 0.05}, {"plateau": 0.05, "horizon": 30}])
def test_observing_without_answers_leads_to_the_same_answer(
    follow: Follow,
    curve: Draw,
    small: Predictor,
    of_plateaus: Predictor,
    seed: int,
    goal: dict[str, float],
) -> None:
    losses = np.append(curve(seed), 0.9)
    options = goal | {"model_bundle": of_plateaus if "plateau" in goal else small}
    observed = EtaTracker(**options)
    for position, eta in enumerate(follow(losses, **options)):
        fresh = EtaTracker(**options)
        for loss in losses[:position]:
            fresh.observe(loss=loss)
        assert timeless(fresh.update(loss=losses[position])) == timeless(eta)
        assert observed.observe(loss=losses[position]) is None
    assert observed.state_dict()["settled"] is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_loss_that_is_not_finite_says_diverged_and_stays(
    small: Predictor, bad: float, mode: str
) -> None:
    tracker = EtaTracker(0.1, mode=mode, model_bundle=small)
    for value in (0.05, 0.06, 0.07) if mode == "max" else (0.9, 0.8, 0.7):
        tracker.update(loss=value)
    for value in (bad, 0.7, None, 0.01):
        eta = tracker.update(loss=value)
        assert (eta.status, eta.p_converges, eta.epochs_remaining) == ("diverged", 0.0, None)
        assert str(eta).startswith("diverged: the")
    again = EtaTracker(0.1, mode=mode, model_bundle=small)
    again.load_state_dict(tracker.state_dict())
    assert again.update(loss=0.5).status == "diverged"


def test_going_back_in_time_forgets_what_came_after(follow: Follow, curve: Draw) -> None:
    losses = curve(2, n=20)
    straight = follow(losses, np.arange(20))
    detour = np.concatenate([losses[:10], [np.nan, 5.0], losses[5:]])
    epochs = np.concatenate([np.arange(12), np.arange(5, 20)])
    back = follow(detour, epochs)
    assert back[11].status == "diverged"
    assert list(map(timeless, back[12:])) == list(map(timeless, straight[5:]))


def test_an_evaluation_that_did_not_happen_is_no_history(small: Predictor) -> None:
    tracker = EtaTracker(1e-3, model_bundle=small)
    assert str(tracker.update()) == "unknown: no loss at this epoch"
    assert str(tracker.update(loss=1.0)) == "unknown: fewer than 2 epochs with a loss"
    assert tracker.update(loss=0.9).epoch == 3


def test_uneven_evaluations_are_answered_as_the_even_ones_between_them(
    follow: Follow, small: Predictor
) -> None:
    """On a line interpolation is exact: which evaluations were left out does not matter."""
    losses = np.linspace(1, 0.4, 41)
    all_of_them = follow(losses, np.arange(41))[-1]
    kept = np.setdiff1d(np.arange(41), [7, 8, 20, 33])
    for eta in (follow(losses[kept], kept)[-1], follow(losses, 0.1 * np.arange(41))[-1]):
        ratio = eta.epoch / all_of_them.epoch
        assert eta.status == all_of_them.status
        assert eta.epochs_remaining == pytest.approx(ratio * (all_of_them.epochs_remaining or 0))


def test_a_long_history_is_bounded_and_still_predicted(small: Predictor) -> None:
    tracker = EtaTracker(1e-3, model_bundle=small)
    for t in range(MAX_KEPT + 10):
        tracker._history.add(float(t), float(np.exp(-t / 500)), {})
    assert len(tracker._history) <= MAX_KEPT
    eta = tracker.update(loss=float(np.exp(-(MAX_KEPT + 10) / 500)), epoch=MAX_KEPT + 10)
    assert len(tracker._history.curve().runs.rows) <= MAX_EXACT
    assert eta.epochs_remaining is not None
    assert eta.status != "insufficient_history"


def test_a_model_is_measured_and_the_answer_says_so_to_loggers(small: Predictor) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    tracker = EtaTracker(1e-3, model_bundle=small)
    tracker.update(loss=1.0, model=model)
    with torch.no_grad():
        model.bias += 1.0
    tracker.update(loss=0.9, model=model)
    assert tracker.moved is not None
    assert tracker.moved.update_norm == pytest.approx(2**0.5, rel=1e-6)
    assert tracker._history.values["path_length"] == pytest.approx([0.0, 2**0.5], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "expected a target or a plateau, got neither"),
        ({"target": 1.0, "plateau": 0.1}, ValueError, "got both"),
        ({"plateau": 0.1}, ValueError, "pass horizon=EPOCHS"),
        ({"plateau": 1.5, "horizon": 9}, ValueError, r"plateau: expected a share in \(0, 1\)"),
        ({"target": 0.0}, ValueError, "target: expected a number above 0"),
        ({"target": float("nan")}, ValueError, "target: expected"),
        ({"target": 1.0, "mode": "max"}, ValueError, "below the ceiling 1, got 1; pass"),
        ({"target": 1.0, "mode": "up"}, ValueError, "mode: expected 'min' or 'max', got 'up'"),
        ({"target": 1.0, "horizon": 0}, ValueError, "horizon: expected 1 or more"),
        ({"target": 1.0, "level": 90}, ValueError, "level: expected a share"),
        ({"target": 1.0, "lr": 0.0}, ValueError, "lr: expected a number above 0"),
        ({"target": 1.0, "momentum": -1}, ValueError, "momentum: expected a number from 0 on"),
        ({"target": 1.0, "lr": "fast"}, TypeError, "lr: expected a number, got str"),
        ({"target": 1.0, "optimizer": 3}, TypeError, "optimizer: expected a name, got 3"),
        ({"target": 1.0, "learning_rate": 1}, TypeError, "did you mean 'lr'"),
        ({"target": 1.0, "momentun": 1}, TypeError, "did you mean 'momentum'"),
        ({"target": 1.0, "model_bundle": "nowhere"}, ModelError, "no bundle at nowhere"),
        ({"plateau": 0.1, "horizon": 9}, ModelError, "not trained on plateaus"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(
    small: Predictor, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        EtaTracker(**({"model_bundle": small} | options))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"loss": 1.0, "metric": 1.0}, ValueError, "got both"),
        ({"loss": "low"}, TypeError, "loss: expected a number, got str"),
        ({"loss": 0.5, "epoch": -1}, ValueError, "epoch: expected 0 or more, got -1"),
        ({"loss": 0.5, "epoch": float("nan")}, ValueError, "epoch: expected 0 or more"),
        ({"loss": 0.5, "grad_norm": -1.0}, ValueError, "grad_norm: expected 0 or more, got -1"),
        ({"loss": 0.5, "gradnorm": 1.0}, TypeError, "did you mean 'grad_norm'"),
        ({"metric": 97.0}, ValueError, "above the ceiling 1; .* such as ceiling=100"),
        ({"loss": 0.5, "model": 3}, TypeError, r"model: expected one with parameters\(\)"),
    ],
)
def test_a_refused_update_changes_nothing(
    small: Predictor, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    tracker = EtaTracker(0.9, mode="max", model_bundle=small)
    tracker.update(metric=0.5)
    state = tracker.state_dict()
    with pytest.raises(error, match=message):
        tracker.update(**values)
    assert tracker.state_dict() == state


def test_every_answer_is_a_frozen_record(follow: Follow, curve: Draw) -> None:
    eta = follow(curve(0, n=5))[-1]
    assert set(asdict(eta)) >= {*NUMBERS, "epoch", "seconds_remaining", "level", "model_id"}
    with pytest.raises(AttributeError):
        eta.lower = 3.0  # type: ignore[misc]


def test_importing_the_tracker_is_light() -> None:
    script = """
import sys
import epochs_left
before = {*sys.modules}
from epochs_left import Eta, EtaTracker
heavy = {"torch", "pandas", "typer", "rich", "sklearn", "xgboost", "pyarrow", "scipy"}
print(sorted(heavy & {*sys.modules}), "numpy" in before, sorted(heavy & {*dir(epochs_left)}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(PACKAGE_ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[] False []\n"


def test_the_package_has_no_other_names() -> None:
    import epochs_left  # noqa: PLC0415

    assert {"Eta", "EtaTracker", "__version__"} <= set(dir(epochs_left))
    with pytest.raises(AttributeError, match="has no attribute 'Tracker'"):
        epochs_left.Tracker  # noqa: B018
