"""What the live tracker costs: an update without a model, and what a model adds to it.

An update is one of `EtaTracker` with the released predictor, after so many evaluations; a look at
the model is what passing it adds; the epoch beside it is that of a plain PyTorch ResNet on digits.
One process, one thread; time of computing, since others use the machine too, and the fastest
quarter of the turns: other work only ever makes a turn slower.

    python benchmarks/live.py            # a minute
    python benchmarks/live.py --check    # exit 1 if a goal is missed
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from engines import CASES, PARAMS, loss_of, plain_resnet
from torch import nn

from epochs_left import EtaTracker
from epochs_left.config import parse_settings
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.simulation.planning import task_data
from epochs_left.storage.params import load_params
from epochs_left.workloads import WORKLOADS

#: Epochs that a run is meant to last in the cases of a plateau.
HORIZON = 10_000
#: Goals: milliseconds of an update by the number of evaluations before it, and the share of an
#: epoch of the smallest ResNet that a look at it takes. With a schedule stated, or rates told, the
#: features of these are computed too, which may take as long again.
UPDATE_MS = {20: 5.0, 200: 5.0, 1000: 10.0, 5000: 10.0}
WITH_SETTINGS_MS = 10.0
LOOK_SHARE = 0.01
ASKED = {
    "a target": {"target": 1e-3},
    "a target and settings": {
        "target": 1e-3, "horizon": 1000, "lr": 0.1, "momentum": 0.9, "batch_size": 64,
        "n_examples": 1408, "optimizer": "momentum", "activation": "relu", "weight_decay": 0.0,
        "architecture": "resnet8-w4-bn", "lr_schedule": "cosine",
    },
    "a plateau": {"plateau": 0.01, "horizon": HORIZON},
    "a plateau and rates": {"plateau": 0.01, "horizon": HORIZON},
    "a plateau and a schedule": {
        "plateau": 0.01, "horizon": HORIZON, "lr": 0.1, "lr_schedule": "cosine",
    },
    "a plateau, both of these": {
        "plateau": 0.01, "horizon": HORIZON, "lr": 0.1, "lr_schedule": "cosine",
    },
}  # fmt: skip
#: Cases in which every evaluation comes with its learning rate, which falls as the schedule says.
WITH_RATES = ("a plateau and rates", "a plateau, both of these")


def milliseconds(turn: Callable[[], object], turns: int) -> float:
    """Return the time of computing that a turn takes, the quarter quantile."""
    taken = []
    for _ in range(turns):
        start = time.process_time()
        turn()
        taken.append(time.process_time() - start)
    return 1e3 * float(np.quantile(taken, 0.25))


def update_ms(
    asked: dict[str, object], n_before: int, turns: int, *, with_rates: bool = False
) -> float:
    """Return one update after ``n_before`` evaluations of a noisy power law."""
    rng = np.random.default_rng(0)
    tracker = EtaTracker(**asked)
    rates = learning_rates("cosine", 0.1, HORIZON)
    epochs = iter(range(HORIZON))

    def evaluation() -> dict[str, float]:
        epoch = next(epochs)
        loss = 0.05 + (epoch + 1) ** -0.5 * (1 + 0.02 * rng.normal())
        return {"loss": loss, "lr": float(rates[epoch])} if with_rates else {"loss": loss}

    for _ in range(n_before):
        tracker.observe(**evaluation())
    return milliseconds(lambda: tracker.update(**evaluation()), turns)


def look_ms(model: nn.Module, turns: int) -> float:
    """Return what passing a model adds to taking an evaluation."""
    bare, looking = EtaTracker(1e-3), EtaTracker(1e-3)
    looking.observe(loss=1.0, model=model)
    without = milliseconds(lambda: bare.observe(loss=1.0), turns)
    return milliseconds(lambda: looking.observe(loss=1.0, model=model), turns) - without


def epoch_ms(width: int, turns: int) -> tuple[nn.Module, float]:
    """Return a ResNet on digits and an epoch of training it, evaluation apart."""
    case = next(case for case in CASES if case.architecture == f"resnet8-w{width}-bn")
    settings = parse_settings(
        WORKLOADS["resnet"].settings_type, load_params(PARAMS)["resnet"], "resnet"
    )
    data = task_data("resnet", settings, 1)["digits"]
    torch.manual_seed(0)
    model, loss = plain_resnet(case), loss_of(data)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)

    def epoch() -> None:
        for index in torch.randperm(len(x)).split(case.batch_size):
            optimizer.zero_grad()
            loss(model(x[index]), y[index]).backward()
            optimizer.step()

    epoch()
    return model, milliseconds(epoch, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--turns", type=int, default=40, help="of each; a quarter counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missed = []
    for name, asked in ASKED.items():
        for n_before, plain_goal in UPDATE_MS.items():
            rates = name in WITH_RATES
            goal = WITH_SETTINGS_MS if rates or "lr" in asked else plain_goal
            found = update_ms(asked, n_before, arguments.turns, with_rates=rates)
            print(f"{name:24} after {n_before:>5,} {found:7.2f} ms  goal {goal:g}")
            missed += [f"{name} after {n_before:,}"] if found > goal else []
    for width in (4, 8):
        model, epoch = epoch_ms(width, 6)
        found = look_ms(model, arguments.turns)
        share = found / epoch
        print(
            f"a look at a ResNet of width {width}: {found:.3f} ms, {share:.2%} of an epoch of "
            f"{epoch:.0f} ms  goal {LOOK_SHARE:.0%}"
        )
        missed += [f"a look at width {width}"] if share > LOOK_SHARE else []
    large = nn.Linear(4000, 2500)
    print(f"a look at {10_002_500:,} parameters: {look_ms(large, arguments.turns):.3f} ms")
    if missed and arguments.check:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
