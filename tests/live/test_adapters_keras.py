"""The Keras callback in the real Keras (10 s, most of it imports)."""

# ruff: noqa: PLC0415

from __future__ import annotations

import csv
import logging
import math
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from epochs_left.prediction.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the framework
known = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "known_losses.py")))
EPOCHS = 6
SETTINGS = {"lr": known.LR, "momentum": 0.0, "optimizer": "sgd"}
NAMES = ("epochs_remaining", "lower", "upper", "p_converges")


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Keras on PyTorch: TensorFlow is its own choice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pytest.importorskip("keras")


@pytest.fixture
def fit(keras: Any) -> Callable[..., Any]:
    """Train with callbacks; return the history."""

    def train(*callbacks: Any, model: Any = None, bad: bool = False, **options: Any) -> Any:
        x = np.ones((known.BATCHES * known.BATCH_SIZE, 1))
        y = known.GOAL * x * (math.nan if bad else 1)
        usual = {"epochs": EPOCHS, "batch_size": known.BATCH_SIZE, "verbose": 0}
        return (model or new_model(keras)).fit(
            x, y, callbacks=list(callbacks), validation_data=(x, y), **usual | options
        )

    return train


def new_model(keras: Any, rate: Any = known.LR) -> Any:
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.layers.Input((1,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    return model


@pytest.fixture
def callback(keras: Any, released: Predictor) -> Callable[..., Any]:
    """Make a callback that keeps its answers in ``answers``."""
    from epochs_left.live.adapters.keras import EtaCallback

    return known.keeping_answers(EtaCallback, released)


def curve_of(callback: Any) -> dict[float, float]:
    return {epoch: value for epoch, value, *_ in callback.state_dict()["curve"]}


def by_callback(keras: Any) -> tuple[Any, Any, list[float]]:
    """A callback sets the rate before each epoch."""
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, _: known.DROPS[epoch])
    return known.LR, schedule, known.DROPS


def on_plateau(keras: Any) -> tuple[Any, Any, list[float]]:
    """No loss is good enough: the rate falls at the end of each epoch but the first."""
    schedule = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=99)
    return known.LR, schedule, [known.LR * factor for factor in (1, 1, 0.1, 0.01, 1e-3, 1e-4)]


def by_step(keras: Any) -> tuple[Any, Any, list[float]]:
    """The optimizer computes the rate from the steps done."""
    steps = 2 * known.BATCHES
    rate = keras.optimizers.schedules.ExponentialDecay(known.LR, steps, 0.1, staircase=True)
    return rate, None, [known.LR * factor for factor in (1, 1, 0.1, 0.1, 0.01, 0.01)]


def test_the_answers_are_those_of_a_tracker_and_lie_in_history_and_file(
    tmp_path: Path, keras: Any, fit: Any, callback: Any, released: Predictor
) -> None:
    eta, file = callback(), tmp_path / "log.csv"
    history = fit(eta, keras.callbacks.CSVLogger(str(file))).history
    assert curve_of(eta) == pytest.approx(dict(enumerate(known.pass_means(EPOCHS), 1)), rel=1e-5)
    known.assert_answers(
        eta.answers, curve_of(eta), model_bundle=released, horizon=EPOCHS, **SETTINGS
    )
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    for name in NAMES:
        told = [getattr(answer, name) for answer in eta.answers]
        expected = pytest.approx([math.nan if v is None else v for v in told], nan_ok=True)
        assert history[f"eta/{name}"] == expected
        assert [float(row[f"eta/{name}"]) for row in rows] == expected


def test_epochs_without_validation_are_no_evaluations(fit: Any, callback: Any) -> None:
    eta = callback(metric="val_loss")
    history = fit(eta, validation_freq=2).history
    assert curve_of(eta) == pytest.approx(
        {t: known.loss_after(known.BATCHES * t) for t in (2, 4, 6)}, rel=1e-5
    )
    assert [math.isnan(v) for v in history["eta/upper"]] == [True] * 3 + [False, True, False]


def test_a_run_resumed_for_longer_has_the_past_of_one_that_was_not_interrupted(
    tmp_path: Path, keras: Any, fit: Any, callback: Any, released: Predictor
) -> None:
    whole, before, after = callback(), *(callback(state_file=tmp_path / "eta.json") for _ in "ab")
    fit(whole)
    model = new_model(keras)
    fit(before, model=model, epochs=3)
    fit(after, model=model, initial_epoch=3)
    assert curve_of(after) == pytest.approx(curve_of(whole), rel=1e-5)
    known.assert_answers(
        after.answers, curve_of(after), model_bundle=released, horizon=EPOCHS, **SETTINGS
    )
    assert len(after.answers) == 3


@pytest.mark.parametrize("made", [by_callback, on_plateau, by_step])
@pytest.mark.parametrize("first", [True, False])
def test_the_tracker_is_told_the_learning_rate_of_each_epoch(
    keras: Any, fit: Any, callback: Any, of_plateaus: Predictor, made: Any, first: bool
) -> None:
    rate, schedule, rates = made(keras)
    eta = callback(**known.PLATEAU, model_bundle=known.follower(of_plateaus))
    callbacks = [eta, *([schedule] if schedule else [])][:: 1 if first else -1]
    fit(*callbacks, model=new_model(keras, rate))
    assert known.rates_of(eta.state_dict()) == pytest.approx(rates)
    assert known.rates_told(eta) == pytest.approx(rates)
    known.assert_follows(eta.answers, rates)


def test_a_resumed_run_goes_on_with_the_learning_rates_of_its_past(
    tmp_path: Path, keras: Any, fit: Any, callback: Any, of_plateaus: Predictor
) -> None:
    asked = {**known.PLATEAU, "model_bundle": known.follower(of_plateaus)}
    before, after = (callback(**asked, state_file=tmp_path / "eta.json") for _ in "ab")
    rate, schedule, rates = by_callback(keras)
    model = new_model(keras, rate)
    fit(before, schedule, model=model, epochs=4)
    fit(after, schedule, model=model, initial_epoch=4)
    assert known.rates_told(after) == pytest.approx(rates)
    known.assert_follows(after.answers, rates)


def test_a_rate_that_cannot_be_read_costs_nothing_and_nothing_is_said(
    keras: Any, fit: Any, callback: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as that of an optimizer for each layer."""
    model, eta = new_model(keras), callback()
    each = keras.optimizers.MultiOptimizer(lambda _: keras.optimizers.SGD(known.LR))
    model.compile(optimizer=each, loss="mse")
    with caplog.at_level(logging.WARNING, "epochs_left"):
        fit(eta, model=model)
    assert known.rates_of(eta.state_dict()) == [None] * EPOCHS
    assert len(eta.answers) == EPOCHS
    assert caplog.messages == []


def test_another_fit_from_the_start_begins_anew(fit: Any, callback: Any) -> None:
    eta = callback()
    fit(eta)
    fit(eta, epochs=2)
    assert list(curve_of(eta)) == [1, 2]


def test_a_file_that_cannot_be_written_costs_no_training(
    tmp_path: Path, fit: Any, callback: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING, "epochs_left"):
        history = fit(callback(state_file=tmp_path / "file" / "eta.json")).history
    assert len(history["loss"]) == EPOCHS
    assert len(caplog.messages) == 1


def test_training_is_stopped_where_that_was_asked_for_alone(
    fit: Any, callback: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "epochs_left"):
        assert len(fit(callback(), bad=True).epoch) == EPOCHS
        assert caplog.messages == []
        assert len(fit(callback(stop_if="never converges at .95"), bad=True).epoch) == 1
    (said,) = caplog.messages
    assert said.startswith("stopped at epoch 1, as stop_if='never converges at .95': diverged")


def test_a_rate_that_a_schedule_makes_is_not_passed_on(keras: Any) -> None:
    from epochs_left.live.adapters.keras import _settings

    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    assert _settings(keras.optimizers.Adam(schedule)) == {"optimizer": "adam"}
    assert _settings(keras.optimizers.SGD(0.5, momentum=0.9, nesterov=True)) == {
        "lr": 0.5,
        "momentum": 0.9,
        "optimizer": "nesterov",
    }
