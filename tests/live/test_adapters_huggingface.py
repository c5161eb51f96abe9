"""The Hugging Face callback in the real Trainer (15 s, most of it imports)."""

# ruff: noqa: ARG002, PLC0415

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from epochs_left.prediction.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the framework
known = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "known_losses.py")))
EPOCHS = 6
SETTINGS = {
    "lr": known.LR,
    "lr_schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "optimizer": "sgd",
}


@pytest.fixture(scope="module")
def trainer_of() -> Callable[..., Any]:
    """Make a Trainer."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    import torch

    class Number(torch.nn.Module):
        def __init__(self, bad_step: int | None) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))
            self.steps, self.bad_step = 0, bad_step

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            self.steps += self.training
            loss = (self.w - known.GOAL) ** 2
            return {"loss": loss * float("nan") if self.steps == self.bad_step else loss, "x": x}

    examples = [{"x": torch.zeros(1), "labels": torch.zeros(1)}] * (
        known.BATCHES * known.BATCH_SIZE
    )

    def make(
        folder: Path,
        callbacks: list[Any],
        *,
        bad_step: int | None = None,
        schedule: Any = None,
        **options: Any,
    ) -> Any:
        usual = {"num_train_epochs": EPOCHS, "logging_steps": 3, "save_strategy": "no"}
        arguments = transformers.TrainingArguments(
            str(folder),
            **usual | options,
            per_device_train_batch_size=known.BATCH_SIZE,
            learning_rate=known.LR,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0.0,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_nan_inf_filter=False,
        )
        model = Number(bad_step)
        optimizer = torch.optim.SGD(model.parameters(), lr=known.LR)
        return transformers.Trainer(
            model,
            arguments,
            train_dataset=examples,
            eval_dataset=examples,
            callbacks=callbacks,
            optimizers=(None, None) if schedule is None else (optimizer, schedule(optimizer)),
        )

    return make


@pytest.fixture
def callback(trainer_of: Any, released: Predictor) -> Callable[..., Any]:
    """Make a callback that keeps its answers in ``answers``."""
    from epochs_left.live.adapters.huggingface import EtaCallback

    return known.keeping_answers(EtaCallback, released)


def curve_of(callback: Any) -> dict[float, float]:
    return {epoch: value for epoch, value, *_ in callback.curve["curve"]}


def with_drops(optimizer: Any) -> Any:
    """The rate falls after the last step of an epoch."""
    from torch.optim.lr_scheduler import MultiStepLR

    return MultiStepLR(optimizer, [known.BATCHES * epoch for epoch in known.MILESTONES])


@pytest.mark.parametrize(
    "logs",
    [{"logging_steps": 3}, {"logging_strategy": "epoch"}, {"logging_steps": 100}],
    ids=["across passes", "each pass", "never by itself"],
)
def test_the_answers_are_those_of_a_tracker_of_pass_means(
    tmp_path: Path, trainer_of: Any, callback: Any, released: Predictor, logs: dict[str, Any]
) -> None:
    eta = callback()
    trainer = trainer_of(tmp_path, [eta], **logs)
    trainer.train()
    assert curve_of(eta) == pytest.approx(dict(enumerate(known.pass_means(EPOCHS), 1)), rel=1e-5)
    known.assert_answers(
        eta.answers,
        curve_of(eta),
        model_bundle=released,
        horizon=EPOCHS,
        batch_size=known.BATCH_SIZE,
        **SETTINGS,
    )
    entries = [e for e in trainer.state.log_history if "eta/epochs_remaining" in e]
    assert [entry["epoch"] for entry in entries] == list(range(2, EPOCHS + 1))
    assert [e["eta/upper"] for e in entries] == [answer.upper for answer in eta.answers[1:]]


def test_evaluations_stand_where_they_were_made(
    tmp_path: Path, trainer_of: Any, callback: Any
) -> None:
    eta = callback(metric="eval_loss")
    trainer_of(tmp_path, [eta], eval_strategy="steps", eval_steps=6).train()
    steps = range(6, EPOCHS * known.BATCHES + 1, 6)
    assert curve_of(eta) == pytest.approx(
        {step / known.BATCHES: known.loss_after(step) for step in steps}, rel=1e-5
    )


def test_an_attached_callback_comes_before_those_that_report(
    tmp_path: Path, trainer_of: Any, callback: Any
) -> None:
    import transformers

    seen: list[dict[str, Any]] = []

    class Reporter(transformers.TrainerCallback):  # type: ignore[name-defined, misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            seen.append(dict(logs))

    trainer = trainer_of(tmp_path, [Reporter()], logging_strategy="epoch", num_train_epochs=3)
    callback().attach(trainer)
    trainer.train()
    assert ["eta/p_converges" in logs for logs in seen] == [False, True, True, False]


@pytest.mark.parametrize("anew", [False, True], ids=["kept", "made anew"])
def test_a_run_resumed_for_longer_has_the_past_of_one_that_was_not_interrupted(
    tmp_path: Path, trainer_of: Any, callback: Any, anew: bool
) -> None:
    whole, before, after = (callback() for _ in range(3))
    trainer_of(tmp_path / "whole", [whole]).train()
    options = {"save_strategy": "epoch", "restore_callback_states_from_checkpoint": anew}
    trainer_of(tmp_path / "part", [before], num_train_epochs=3, **options).train()
    checkpoint = tmp_path / "part" / f"checkpoint-{3 * known.BATCHES}"
    kept = json.loads((checkpoint / "trainer_state.json").read_text())["stateful_callbacks"]
    assert len(kept["EtaCallback"]["attributes"]["curve"]["curve"]) == 3
    trainer = trainer_of(tmp_path / "part", [after], **options)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    name = type(after).__name__
    (used,) = (c for c in trainer.callback_handler.callbacks if type(c).__name__ == name)
    assert (used is after) is not anew
    assert curve_of(used) == pytest.approx(curve_of(whole), rel=1e-5)
    assert used.eta.epoch == EPOCHS


@pytest.mark.parametrize("options", [{"logging_steps": 3}, {"logging_steps": 1}])
@pytest.mark.parametrize("metric", ["loss", "eval_loss"])
def test_the_tracker_is_told_the_learning_rate_of_each_epoch(
    tmp_path: Path,
    trainer_of: Any,
    callback: Any,
    of_plateaus: Predictor,
    metric: str,
    options: dict[str, Any],
) -> None:
    predictor = known.follower(of_plateaus)
    eta = callback(**known.PLATEAU, metric=metric, model_bundle=predictor)
    options = {"eval_strategy": "epoch", "schedule": with_drops, **options}
    trainer_of(tmp_path, [eta], **options).train()
    assert known.rates_of(eta.curve) == pytest.approx(known.DROPS)
    assert known.rates_told(eta) == pytest.approx(known.DROPS)
    known.assert_follows(eta.answers, known.DROPS)


def test_a_resumed_run_goes_on_with_the_learning_rates_of_its_past(
    tmp_path: Path, trainer_of: Any, callback: Any, of_plateaus: Predictor
) -> None:
    asked = {**known.PLATEAU, "model_bundle": known.follower(of_plateaus)}
    before, after = callback(**asked), callback(**asked)
    options = {"save_strategy": "epoch", "schedule": with_drops}
    trainer_of(tmp_path, [before], num_train_epochs=4, **options).train()
    checkpoint = tmp_path / f"checkpoint-{4 * known.BATCHES}"
    trainer_of(tmp_path, [after], **options).train(resume_from_checkpoint=str(checkpoint))
    assert known.rates_told(after) == pytest.approx(known.DROPS)
    known.assert_follows(after.answers, known.DROPS)


def test_training_is_stopped_where_that_was_asked_for_alone(
    tmp_path: Path, trainer_of: Any, callback: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import logging

    said: list[str] = []
    monkeypatch.setattr(logging.get_logger("transformers"), "warning", said.append)
    bad = {"bad_step": 2 * known.BATCHES + 1}
    plain = trainer_of(tmp_path, [callback()], **bad)
    stopped = trainer_of(tmp_path, [callback(stop_if="never converges at .95")], **bad)
    plain.train()
    assert said == []
    stopped.train()
    assert (plain.state.epoch, stopped.state.epoch) == (EPOCHS, 3)
    assert said[0].startswith("stopped at epoch 3, as stop_if='never converges at .95': diverged")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("decided", [True, False])
def test_of_several_processes_the_first_predicts_and_all_do_what_it_says(
    callback: Any, monkeypatch: pytest.MonkeyPatch, first: bool, decided: bool
) -> None:
    """Two processes are made up: what is broadcast is replaced by what the first one has."""
    from accelerate import utils

    offered: list[bool] = []

    def broadcast(objects: list[bool]) -> list[bool]:
        offered.extend(objects)
        return [decided]

    monkeypatch.setattr(utils, "broadcast_object_list", broadcast)
    eta = callback(stop_if="never converges at .95")
    args = SimpleNamespace(world_size=2, train_batch_size=2, gradient_accumulation_steps=1)
    state = SimpleNamespace(
        stateful_callbacks={},
        global_step=0,
        num_train_epochs=EPOCHS,
        is_world_process_zero=first,
        log_history=[{}],
    )
    control = SimpleNamespace(should_training_stop=False)
    eta.on_train_begin(args, state, control)
    state.epoch, state.global_step = 1.0, 4
    value = float("nan") if decided else 1.0
    eta.on_log(args, state, control, logs={"loss": value})
    assert offered == [first and decided]
    assert control.should_training_stop is decided
    assert len(eta.answers) == first


@pytest.mark.parametrize(
    ("options", "stated"),
    [
        ({"lr_scheduler_type": "cosine"}, "cosine"),
        ({"lr_scheduler_type": "linear"}, "linear"),
        ({"lr_scheduler_type": "linear", "warmup_steps": 3}, None),
        ({"lr_scheduler_type": "polynomial"}, None),
    ],
)
def test_a_schedule_that_is_known_is_stated(
    tmp_path: Path, options: dict[str, Any], stated: str | None
) -> None:
    transformers = pytest.importorskip("transformers")
    from epochs_left.live.adapters.huggingface import _settings

    args = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], **options)
    assert _settings(args, None).get("lr_schedule") == stated
