"""What all adapters share, without any framework (3 s)."""

from __future__ import annotations

import importlib
import json
import logging
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epochs_left.live.adapters._frameworks import framework
from epochs_left.live.adapters._optimizers import agreed_rate, optimizer_settings, torch_rates
from epochs_left.live.adapters._pass_mean import PassMean
from epochs_left.live.adapters._stopping import StopRule
from epochs_left.live.adapters._tracked_run import TrackedRun
from epochs_left.live.eta import Eta
from epochs_left.live.tracker import EtaTracker
from epochs_left.prediction.predictor import Predictor

known = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "known_losses.py")))
PACKAGE_ROOT = Path(__file__).parents[2] / "pipeline"
ADAPTERS = {"lightning": "lightning", "huggingface": "transformers", "keras": "keras"}
ETA = Eta(
    epoch=10,
    epochs_remaining=20.0,
    lower=12.0,
    upper=50.0,
    p_converges=0.5,
    status="ok",
    reason="",
    level=0.9,
    unit="epoch",
    seconds_remaining=None,
    seconds_lower=None,
    seconds_upper=None,
    model_id="m",
)
DIVERGED = replace(ETA, status="diverged", p_converges=0.0, epochs_remaining=None, lower=None)
UNKNOWN = replace(DIVERGED, status="insufficient_history", p_converges=None)
REACHED = replace(ETA, status="already_converged", epochs_remaining=0.0, lower=0.0, p_converges=1.0)


def run_of(predictor: Predictor, ticks: Any, target: float = 1e-3, **options: Any) -> TrackedRun:
    asked = {"metric": "loss", "stop_if": None, "on_eta": None, "clock": ticks()} | options
    return TrackedRun(target, model_bundle=predictor, **asked)


class TestStopRules:
    @pytest.mark.parametrize("p", [0.0, 0.049, 0.051, 0.5, 1.0])
    def test_never_stops_below_one_minus_its_probability_alone(self, p: float) -> None:
        rule = StopRule.parsed("never converges at .95")
        assert (rule.reason(replace(ETA, p_converges=p)) is not None) is (p < 0.05)

    @pytest.mark.parametrize("lower", [0.0, 29.9, 30.0, 30.1])
    def test_too_long_counts_from_the_start_of_the_run(self, lower: float) -> None:
        rule = StopRule.parsed("takes longer than 40 epochs at 0.9")
        assert rule.level == pytest.approx(0.8)
        assert (rule.reason(replace(ETA, lower=lower)) is not None) is (lower > 30)

    @pytest.mark.parametrize(
        "text", ["never converges at .95", "takes longer than 5 epochs at .95"]
    )
    def test_what_is_unknown_or_reached_is_never_stopped_and_what_diverged_is(
        self, text: str
    ) -> None:
        rule = StopRule.parsed(text)
        assert rule.reason(UNKNOWN) is None
        assert rule.reason(REACHED) is None
        reason = rule.reason(DIVERGED)
        assert reason is not None
        assert reason.startswith(f"stopped at epoch 10, as stop_if={text!r}: diverged")
        assert "\n" not in reason

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "never",
            "never converges",
            "never converges at 95 %",
            "never converges at 1.5",
            "never converges at .0",
            "Never converges at .95",
            "never converges at .95 ",
            "takes longer than epochs at .95",
            "takes longer than -4 epochs at .95",
            "takes longer than 4 steps at .95",
            "takes longer than 4 epochs at .5",
            "slower than 40 epochs",
        ],
    )
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"stop_if: expected .*; write"):
            StopRule.parsed(text)


class TestSettings:
    def test_all_groups_have_to_agree(self) -> None:
        groups = [{"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.1, "weight_decay": 0.1}]
        assert optimizer_settings("AdamW", groups) == {"lr": 0.1, "optimizer": "adamw"}

    def test_of_a_schedule_the_first_rate_counts(self) -> None:
        assert optimizer_settings("Adam", [{"lr": 1e-5, "initial_lr": 0.1}])["lr"] == 0.1

    @pytest.mark.parametrize(
        ("group", "name"),
        [
            ({"momentum": 0.0}, "sgd"),
            ({"momentum": 0.9}, "momentum"),
            ({"momentum": 0.9, "nesterov": True}, "nesterov"),
        ],
    )
    def test_momentum_is_called_as_in_the_training_data(
        self, group: dict[str, Any], name: str
    ) -> None:
        assert optimizer_settings("SGD", [group])["optimizer"] == name

    @pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), None, "auto", [1, 2]])
    def test_what_a_tracker_refuses_is_not_passed_on(self, rate: Any) -> None:
        found = optimizer_settings("SGD", [{"lr": rate}])
        assert found == {"optimizer": "sgd"}
        assert EtaTracker(0.1, **found)


class TestRates:
    @pytest.mark.parametrize("rate", [0.0, 0.1, np.float64(0.1), np.array(0.1)])
    def test_a_rate_in_which_all_groups_of_all_optimizers_agree_is_told(self, rate: Any) -> None:
        one, two = (SimpleNamespace(param_groups=[{"lr": rate}] * n) for n in (1, 2))
        assert agreed_rate(torch_rates(one, two)) == float(rate)

    @pytest.mark.parametrize(
        "rates",
        [[], [0.1, 0.2], [0.1, None], [None], ["auto"], [-0.1], [float("nan")], [float("inf")]],
    )
    def test_another_one_is_none(self, rates: list[Any]) -> None:
        groups = [{"lr": rate} for rate in rates]
        assert agreed_rate(torch_rates(SimpleNamespace(param_groups=groups))) is None

    @pytest.mark.parametrize("optimizer", [None, object()])
    def test_an_optimizer_of_which_nothing_is_known_has_none(self, optimizer: Any) -> None:
        assert agreed_rate(torch_rates(optimizer)) is None


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_of_a_pass_is_the_weighted_mean_wherever_it_is_interrupted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=9), rng.integers(1, 5, size=9)
    mean = PassMean()
    for value, weight in zip(values, weights, strict=True):
        again = PassMean()
        again.restore(json.loads(json.dumps(mean.state())))
        again.add(value, float(weight))
        mean = again
    assert mean.take() == pytest.approx(np.average(values, weights=weights))
    assert mean.take() is None


class TestRuns:
    def fed(self, run: TrackedRun, values: NDArray[np.float64], first: int = 1) -> list[Any]:
        return [run.update(v, epoch) for epoch, v in enumerate(values.tolist(), start=first)]

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("cut", [1, 7, 19])
    def test_a_resumed_run_answers_as_if_nothing_had_happened(
        self, curve: Any, small: Predictor, ticks: Any, seed: int, cut: int
    ) -> None:
        losses = curve(seed, n=20)
        whole, before, after = (run_of(small, ticks) for _ in range(3))
        for run in (whole, before):
            run.start(horizon=20, settings={"lr": 0.1})
        expected = self.fed(whole, losses)
        self.fed(before, losses[:cut])
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        after.start(horizon=20, settings={"lr": 0.1})
        found = self.fed(after, losses[cut:], cut + 1)
        assert found == expected[cut:], "seconds as well: the pause does not count"
        assert after.state_dict() == whole.state_dict()

    @pytest.mark.parametrize("cut", [1, 2, 4, 5])
    def test_a_resumed_run_is_told_the_learning_rates_of_its_past(
        self, of_plateaus: Predictor, ticks: Any, cut: int
    ) -> None:
        asked = {**known.PLATEAU, "stop_if": "takes longer than 9 epochs at .95"}
        whole, before, after = (run_of(known.follower(of_plateaus), ticks, **asked) for _ in "abc")
        for run in (whole, before):
            run.start(horizon=None, settings={})
        expected, _ = self.told(whole, known.DROPS), self.told(before, known.DROPS[:cut])
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        after.start(horizon=None, settings={})
        assert self.told(after, known.DROPS, cut) == expected[cut:]
        assert after.state_dict() == whole.state_dict()
        assert after.stop_reason == whole.stop_reason
        known.assert_follows(expected, known.DROPS)

    def told(self, run: TrackedRun, rates: list[float], first: int = 0) -> list[Any]:
        """Return the answers after each epoch from ``first`` on."""
        found = []
        for i in range(first, len(rates)):
            run.update(known.pass_means(i + 1)[-1], i + 1, lr=rates[i])
            found.append(run.eta)
        return found

    def test_a_state_without_learning_rates_is_that_of_a_run_that_was_not_told_them(
        self, of_plateaus: Predictor, ticks: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As version 1 wrote it: a user resumes after an update of the package."""
        before, after = (run_of(known.follower(of_plateaus), ticks, **known.PLATEAU) for _ in "ab")
        before.start(horizon=None, settings={})
        self.told(before, known.DROPS[:4])
        kept = before.state_dict()
        old = {**kept, "version": 1, "curve": [row[:3] for row in kept["curve"]]}
        with caplog.at_level(logging.WARNING, "epochs_left"):
            after.load_state_dict(json.loads(json.dumps(old)))
            after.start(horizon=None, settings={})
            found = self.told(after, known.DROPS, 4)
        assert caplog.messages == []
        assert known.rates_of(after.state_dict()) == [None] * 4 + known.DROPS[4:]
        known.assert_follows(found, [None] * 4 + known.DROPS[4:])

    def test_a_longer_horizon_is_another_question_about_the_same_past(
        self, curve: Any, of_plateaus: Predictor, ticks: Any
    ) -> None:
        losses = curve(1, n=12)
        options: dict[str, Any] = {"target": None, "plateau": 0.05}
        short, long = (run_of(of_plateaus, ticks, **options) for _ in range(2))
        short.start(horizon=12, settings={})
        self.fed(short, losses[:11])
        long.load_state_dict(short.state_dict())
        long.start(horizon=40, settings={})
        fresh = run_of(of_plateaus, ticks, **options)
        fresh.start(horizon=40, settings={})
        assert long.update(losses[11], 12) == self.fed(fresh, losses)[-1]

    def test_going_back_to_an_earlier_epoch_forgets_what_came_after(
        self, curve: Any, small: Predictor, ticks: Any
    ) -> None:
        run = run_of(small, ticks)
        run.start(horizon=None, settings={})
        self.fed(run, curve(0, n=9))
        run.update(0.7, 4)
        assert [epoch for epoch, *_ in run.state_dict()["curve"]] == [1, 2, 3, 4]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_divergence_survives_a_checkpoint(
        self, small: Predictor, ticks: Any, value: float
    ) -> None:
        before, after = (run_of(small, ticks, stop_if="never converges at .95") for _ in range(2))
        before.start(horizon=None, settings={})
        before.update(1.0, 1)
        assert before.stop_reason is None
        before.update(value, 2)
        assert before.stop_reason is not None
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        after.start(horizon=None, settings={})
        after.update(0.5, 3)
        assert after.eta is not None
        assert after.eta.status == "diverged"

    def test_a_rule_on_time_looks_at_intervals_of_its_own_level(
        self, curve: Any, small: Predictor, ticks: Any
    ) -> None:
        text = "takes longer than 30 epochs at .6"
        run = run_of(small, ticks, stop_if=text)
        run.start(horizon=None, settings={})
        judge = EtaTracker(1e-3, model_bundle=small, level=2 * 0.6 - 1)
        found, expected = [], []
        for epoch, loss in enumerate(curve(3, n=20), start=1):
            run.update(loss, epoch)
            found.append(run.stop_reason)
            expected.append(StopRule.parsed(text).reason(judge.update(loss)))
        assert found == expected
        assert set(found) != {None}
        assert run.eta is not None
        assert run.eta.level == 0.9

    def test_what_the_user_says_goes_before_what_the_framework_knows(
        self, small: Predictor, ticks: Any
    ) -> None:
        run = run_of(small, ticks, horizon=7, lr=0.5)
        run.start(horizon=99, settings={"lr": 0.1, "batch_size": 8.0})
        assert run._tracker is not None
        asked = run._tracker.state_dict()["asked"]
        assert (asked["horizon"], asked["settings"]) == (7, {"lr": 0.5, "batch_size": 8.0})

    def test_a_metric_that_cannot_be_tracked_is_said_once_and_trains_on(
        self, small: Predictor, ticks: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = run_of(small, ticks, 0.9, mode="max", metric="acc")
        run.start(horizon=None, settings={})
        with caplog.at_level(logging.WARNING, "epochs_left"):
            for epoch, value in enumerate((97.0, 98.0, "high"), start=1):
                assert run.update(value, epoch) == {}
        assert len(caplog.messages) == 1
        assert "above the ceiling 1" in caplog.messages[0]

    @pytest.mark.parametrize(
        "state",
        [
            {},
            {"version": 1, "metric": "acc", "curve": [], "mean": [0, 0]},
            {"version": 9, "metric": "loss", "curve": [], "mean": [0, 0]},
            {"version": 1, "metric": "loss", "curve": [[1]], "mean": [0, 0]},
            {"version": 1, "metric": "loss", "curve": [], "mean": 3},
            {"version": 2, "metric": "loss", "curve": [[1, 1, 1, 1, 1]], "mean": [0, 0]},
        ],
    )
    def test_a_state_that_is_none_is_left_and_said(
        self, small: Predictor, ticks: Any, state: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = run_of(small, ticks)
        with caplog.at_level(logging.WARNING, "epochs_left"):
            run.load_state_dict(state)
        assert "the past of 'loss' is not in the checkpoint" in caplog.text
        assert run.state_dict()["curve"] == []

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({}, ValueError, "expected a target or a plateau, got neither"),
            ({"target": -1.0}, ValueError, "target: expected a number above 0"),
            ({"target": 1.0, "learning_rate": 1}, TypeError, "did you mean 'lr'"),
            ({"target": 1.0, "stop_if": "soon"}, ValueError, "stop_if: expected"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_training(
        self, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        asked = {"target": None, "metric": "loss", "stop_if": None, "on_eta": None} | options
        with pytest.raises(error, match=message):
            TrackedRun(**asked)

    def test_a_plateau_without_any_horizon_is_refused_at_the_start(
        self, of_plateaus: Predictor, ticks: Any
    ) -> None:
        run = run_of(of_plateaus, ticks, target=None, plateau=0.05)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="pass horizon=EPOCHS"):
            run.start(horizon=None, settings={})


@pytest.mark.parametrize(("adapter", "package"), [*ADAPTERS.items(), ("tqdm", "tqdm")])
def test_a_framework_that_is_not_there_is_named_in_one_line(
    adapter: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [package, "pytorch_lightning", f"epochs_left.live.adapters.{adapter}"]:
        for loaded in [name, *(m for m in sys.modules if m.startswith(f"{name}."))]:
            monkeypatch.delitem(sys.modules, loaded, raising=False)
    for absent in (package, "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ImportError, match=f"^{package} is not installed; pip install {package}$"):
        importlib.import_module(f"epochs_left.live.adapters.{adapter}")


def test_a_framework_that_is_broken_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfway.py").write_text("import surely_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        framework("halfway", package="halfway")


def test_the_package_imports_no_framework() -> None:
    code = (
        "import sys; from epochs_left import EtaTracker; import epochs_left.live.adapters; "
        "found = {'torch', 'lightning', 'keras', 'transformers', 'tqdm'} & set(sys.modules); "
        "sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE_ROOT, timeout=300)
