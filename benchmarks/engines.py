"""Speed of the lockstep engine against what a user would otherwise write, one core, one process.

For each workload: model-epochs a second of the engine as it records (losses, norms, KL, parameters,
every epoch), of a plain PyTorch loop of one model, and of torch.func.vmap over as many models as
the engine has lanes; the latter two train alone, with the loss on the training set once an epoch.
Measurements take turns in one run, and the best of the repeats counts: other work on the machine
only ever makes a turn slower.

    python benchmarks/engines.py            # a few minutes
    python benchmarks/engines.py --check    # exit 1 if a ratio to the plain loop misses its goal
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import torch
from _plain_char_lm import Transformer, char_lm_flops
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from epochs_left.config import parse_settings
from epochs_left.simulation import lanes as lanes_module
from epochs_left.simulation import losses
from epochs_left.simulation.engine import TrainingJob
from epochs_left.simulation.lockstep import LockstepEngine
from epochs_left.simulation.planning import task_data
from epochs_left.storage.params import load_params
from epochs_left.workloads import WORKLOADS, TaskData

PARAMS = Path(__file__).parents[1] / "pipeline" / "params.yaml"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workload to measure."""

    family: str
    task: str
    architecture: str
    batch_size: int
    lanes: int
    epochs: int  # of the engine; the others take as many as fit in a comparable time
    flops: float  # multiply-adds x 2 of forward and backward, a model-epoch
    goal: float | None  # ratio to the plain loop


def mlp_flops(sizes: list[int], n: int) -> float:
    """Three matrix products a layer and step, two for the first layer; and one to evaluate."""
    products = sum(a * b for a, b in pairwise(sizes))
    return 2.0 * n * (4 * products - sizes[0] * sizes[1])


def resnet_flops(width: int, n: int, side: int = 8) -> float:
    """Convolutions alone, without taps beyond the border: three products to train, one more."""

    def taps(side: int, stride: int) -> int:
        """Pairs of a place of the output and a tap of 3 x 3 that meets the input."""
        return (3 * side // stride - (2 if stride == 1 else 1)) ** 2

    w, half, quarter = width, side // 2, side // 4
    forward = taps(side, 1) * (w + 2 * w * w)
    forward += (2 * taps(side, 2) + 4 * taps(half, 1) + 2 * half**2) * w * w
    forward += (8 * taps(half, 2) + 16 * taps(quarter, 1) + 8 * quarter**2) * w * w
    return 2.0 * n * 4 * forward


CASES = [
    Case(
        family="mlp", task="xor_noise", architecture="2-16-16-1", batch_size=32, lanes=128,
        epochs=300, flops=mlp_flops([2, 16, 16, 1], 256), goal=40.0,
    ),
    Case(
        family="mlp", task="digits", architecture="64-32-32-10", batch_size=32, lanes=128,
        epochs=12, flops=mlp_flops([64, 32, 32, 10], 1408), goal=4.0,
    ),
    Case(
        family="mlp", task="digits", architecture="64-32-32-10", batch_size=128, lanes=128,
        epochs=16, flops=mlp_flops([64, 32, 32, 10], 1408), goal=4.0,
    ),
    Case(
        family="resnet", task="digits", architecture="resnet8-w4-bn", batch_size=64, lanes=16,
        epochs=10, flops=resnet_flops(4, 1408), goal=10.0,
    ),
    Case(
        family="resnet", task="digits", architecture="resnet8-w4-gn", batch_size=64, lanes=16,
        epochs=10, flops=resnet_flops(4, 1408), goal=10.0,
    ),
    Case(
        family="resnet", task="digits", architecture="resnet8-w8-bn", batch_size=64, lanes=16,
        epochs=4, flops=resnet_flops(8, 1408), goal=4.5,
    ),
    Case(
        family="resnet", task="digits", architecture="resnet8-w16-bn", batch_size=64, lanes=8,
        epochs=2, flops=resnet_flops(16, 1408), goal=2.4,
    ),
    Case(
        family="char_lm", task="python_topics", architecture="1x16", batch_size=8, lanes=16,
        epochs=5, flops=char_lm_flops("1x16", 256), goal=None,
    ),
    Case(
        family="char_lm", task="python_topics", architecture="2x32", batch_size=8, lanes=16,
        epochs=2, flops=char_lm_flops("2x32", 256), goal=None,
    ),
]  # fmt: skip


# --- the plain loop -----------------------------------------------------------------------------


def plain_mlp(case: Case) -> nn.Module:
    sizes = [int(size) for size in case.architecture.split("-")]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Block(nn.Module):
    """A basic block of He et al. 2016."""

    def __init__(self, n_in: int, n_out: int, stride: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = norm(n_out), norm(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def plain_resnet(case: Case) -> nn.Module:
    _, width, kind = case.architecture.split("-")
    w = int(width[1:])

    def norm(n: int) -> nn.Module:
        return nn.BatchNorm2d(n) if kind == "bn" else nn.GroupNorm(2, n)

    return nn.Sequential(
        nn.Conv2d(1, w, 3, 1, 1, bias=False), norm(w), nn.ReLU(),
        Block(w, w, 1, norm), Block(w, 2 * w, 2, norm), Block(2 * w, 4 * w, 2, norm),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, 10),
    )  # fmt: skip


def plain_char_lm(case: Case) -> nn.Module:
    return Transformer(case.architecture)


PLAIN = {"mlp": plain_mlp, "resnet": plain_resnet, "char_lm": plain_char_lm}


def loss_of(data: TaskData) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    if data.loss == "binary":
        return lambda out, y: functional.binary_cross_entropy_with_logits(out.squeeze(-1), y)
    return lambda out, y: functional.cross_entropy(out.flatten(0, -2), y.flatten())


def plain_epochs(case: Case, data: TaskData, seconds: float) -> float:
    """Model-epochs a second of one model: nn.Module, autograd, torch.optim.SGD."""
    torch.manual_seed(0)
    model, loss_function = PLAIN[case.family](case), loss_of(data)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)

    def epoch() -> None:
        model.train()
        for index in torch.randperm(len(x)).split(case.batch_size):
            optimizer.zero_grad()
            loss_function(model(x[index]), y[index]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss_function(model(x), y).item()

    return rate(epoch, seconds)


def vmap_epochs(case: Case, data: TaskData, seconds: float) -> float:
    """Model-epochs a second of torch.func.vmap(grad) over the models, batch statistics in BN."""
    torch.manual_seed(0)
    models = [PLAIN[case.family](case) for _ in range(case.lanes)]
    for model in models:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats, module.running_mean, module.running_var = (
                    False, None, None,
                )  # fmt: skip
                module.num_batches_tracked = None
    params, buffers = torch.func.stack_module_state(models)
    base, loss_function = models[0], loss_of(data)

    def loss(params: dict, buffers: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss_function(torch.func.functional_call(base, (params, buffers), (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(loss))
    evaluate = torch.func.vmap(loss, in_dims=(0, 0, None, None))
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
    params = {name: value.detach() for name, value in params.items()}
    velocity = {name: torch.zeros_like(value) for name, value in params.items()}

    def epoch() -> None:
        # the fused attention has no batching rule and would be called model by model
        with sdpa_kernel(SDPBackend.MATH):
            train_all()

    def train_all() -> None:
        orders = torch.stack([torch.randperm(len(x)) for _ in range(case.lanes)])
        for index in orders.split(case.batch_size, dim=1):
            for name, value in gradients(params, buffers, x[index], y[index]).items():
                velocity[name].mul_(0.9).add_(value)
                params[name].sub_(velocity[name], alpha=1e-3)
        with torch.no_grad():
            evaluate(params, buffers, x, y)

    return case.lanes * rate(epoch, seconds)


def rate(epoch: Callable[[], None], seconds: float) -> float:
    epoch()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        epoch()
        done += 1
    return done / (time.perf_counter() - start)


# --- the engine ---------------------------------------------------------------------------------


def engine_of(case: Case, epochs: int, data: TaskData) -> LockstepEngine:
    """All lanes busy to the cap: nothing converges, every lane has momentum SGD."""
    workload = WORKLOADS[case.family]
    values = load_params(PARAMS)[case.family]
    values = {**values, "lanes": case.lanes, "max_epochs": epochs, "runs": case.lanes}
    settings = parse_settings(workload.settings_type, values, case.family)
    rows = [
        {
            **row, "run_id": f"{number:016x}", "task": case.task, "activation": "relu",
            "architecture": case.architecture, "batch_size": case.batch_size, "epsilon": 0.0,
            "lr": 1e-3, "optimizer": "momentum", "momentum": 0.9, "lr_schedule": "constant",
            "weight_decay": 0.0, "weight_decay_mode": "none", "max_epochs": epochs,
        }
        for number, row in enumerate(workload.plan(settings, 1).to_pylist())
    ]  # fmt: skip
    job = TrainingJob(
        runs=pa.Table.from_pylist(rows), settings=settings, root_seed=1, data={case.task: data}
    )
    return LockstepEngine(workload, job)


def engine_epochs(case: Case, data: TaskData) -> float:
    """Model-epochs a second, from the difference of two lengths: start-up is not the question."""
    seconds = []
    for epochs in (1, 1, 1 + case.epochs):  # the first may have to compile
        start = time.perf_counter()
        rows = sum(block.epoch.size for block in engine_of(case, epochs, data).blocks(1))
        seconds.append(time.perf_counter() - start)
        if rows != case.lanes * (epochs + 1):
            raise SystemExit(f"expected every lane to reach the cap, got {rows} rows")
    return case.lanes * case.epochs / (seconds[2] - seconds[1])


def probe_share(case: Case, data: TaskData) -> float:
    """Share of the engine's time that norms, KL and the held-out examples take."""
    spent = [0.0]

    def timed(function: Callable, share: Callable[..., float] = lambda *_: 1.0) -> Callable:
        def wrapped(*args: object) -> object:
            start = time.perf_counter()
            found = function(*args)
            spent[0] += share(*args) * (time.perf_counter() - start)
            return found

        return wrapped

    lanes = lanes_module.Lanes
    kept = (lanes_module._norms, losses.mean_kl, losses.mean_metric, lanes._outputs)
    n_valid = len(data.valid_inputs)
    with_valid = {n_valid, n_valid + len(data.inputs)}  # alone, or with the training examples

    def of_valid(_: object, inputs: torch.Tensor) -> float:
        return n_valid / len(inputs) if len(inputs) in with_valid else 0.0

    lanes_module._norms = timed(kept[0])
    losses.mean_kl, losses.mean_metric = timed(kept[1]), timed(kept[2])
    lanes._outputs = timed(kept[3], of_valid)
    try:
        engine = engine_of(case, case.epochs, data)
        start = time.perf_counter()
        for _ in engine.blocks(1):
            pass
        return spent[0] / (time.perf_counter() - start)
    finally:
        lanes_module._norms, losses.mean_kl, losses.mean_metric, lanes._outputs = kept


def fma_peak() -> float:
    """GFLOP/s of one core: a large matrix product in float32."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return max(2 * 1024**3 * rate(lambda: torch.mm(a, b), 0.2) / 1e9 for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best counts")
    parser.add_argument("--family", help="measure one family alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missed = []
    print(f"one core: {fma_peak():.0f} GFLOP/s in a matrix product of 1024")
    print(f"{'':34}{'engine':>10}{'plain':>9}{'vmap':>9}  ratio  goal  GFLOP/s  probes")
    for case in CASES:
        if arguments.family not in (None, case.family):
            continue
        settings = parse_settings(
            WORKLOADS[case.family].settings_type, load_params(PARAMS)[case.family], case.family
        )
        data = task_data(case.family, settings, 1)[case.task]
        best = {"engine": 0.0, "plain": 0.0, "vmap": 0.0}
        for _ in range(arguments.repeats):
            best["plain"] = max(best["plain"], plain_epochs(case, data, 1.0))
            best["engine"] = max(best["engine"], engine_epochs(case, data))
            best["vmap"] = max(best["vmap"], vmap_epochs(case, data, 1.0))
        ratio = best["engine"] / best["plain"]
        goal = f"{case.goal:.1f}" if case.goal else "-"
        name = f"{case.architecture}, batch {case.batch_size}, K={case.lanes}"
        print(
            f"{name:34}{best['engine']:>10,.1f}{best['plain']:>9,.1f}{best['vmap']:>9,.1f}"
            f"{ratio:>6.1f}x{goal:>6}{best['engine'] * case.flops / 1e9:>9.1f}"
            f"{probe_share(case, data):>8.1%}"
        )
        if case.goal and ratio < case.goal:
            missed.append(name)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:,.0f} MB")
    if arguments.check and missed:
        sys.exit(f"missed the goal: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
