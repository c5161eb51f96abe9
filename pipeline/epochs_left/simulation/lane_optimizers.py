"""Update rules for lanes with hyperparameters of their own.

Each agrees with the optimizer of `torch.optim` that it is named after, up to rounding. Operations
are elementwise with one scalar a lane, so that a lane's numbers do not depend on its neighbours.
What stays the same for an epoch is computed once: with few small lanes, the number of operations is
the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ADAM_BETA2 = 0.999  # Kingma and Ba 2015, Algorithm 1
RMSPROP_ALPHA = 0.99  # PyTorch's default
EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class LaneSlice:
    """Adjacent lanes under one rule, for the length of an epoch.

    Attributes
    ----------
    params, grad, first, second
        Parameters, gradient, first and second moment, shape ``(k, P)``, float32; a step reads
        ``grad`` and changes the others in place.
    lr
        Learning rate in force; this and all below have shape ``(k, 1)``, float32 unless said.
    beta1
        Momentum of the heavy ball, or the decay of Adam's first moment.
    beta2
        Decay of the second moment; 0 for the rules without one.
    corrected
        1 where Adam's bias correction applies, else 0.
    coupled, decoupled
        Weight decay added to the gradient, or multiplied with the learning rate.
    steps
        Steps taken before the epoch, float64.
    """

    params: Tensor
    grad: Tensor
    first: Tensor
    second: Tensor
    lr: Tensor
    beta1: Tensor
    beta2: Tensor
    corrected: Tensor
    coupled: Tensor
    decoupled: Tensor
    steps: Tensor

    def decayed_grad(self) -> Callable[[], Tensor]:
        """Return what applies decoupled decay and returns the gradient with the coupled one."""
        shrink = 1 - self.lr * self.decoupled

        def decayed() -> Tensor:
            # With factors 0 and 1 too: whether it is skipped must not depend on the other lanes.
            grad = torch.addcmul(self.grad, self.params, self.coupled)
            self.params.mul_(shrink)
            return grad

        return decayed


#: Takes step number 0, 1, ... of the epoch.
Step = Callable[[int], None]


def heavy_ball(lanes: LaneSlice, n_steps: int) -> Step:
    """Gradient descent, with Polyak's momentum where beta1 > 0.

    Polyak 1964 in PyTorch's form: v <- beta1 v + g; theta <- theta - lr v.
    """
    del n_steps
    decayed, descent = lanes.decayed_grad(), -lanes.lr

    def step(number: int) -> None:
        del number
        torch.addcmul(decayed(), lanes.first, lanes.beta1, out=lanes.first)
        lanes.params.addcmul_(lanes.first, descent)

    return step


def nesterov(lanes: LaneSlice, n_steps: int) -> Step:
    """Nesterov's momentum: v <- beta1 v + g; theta <- theta - lr (g + beta1 v).

    Sutskever, Martens, Dahl and Hinton 2013, in PyTorch's form.
    """
    del n_steps
    decayed, descent = lanes.decayed_grad(), -lanes.lr

    def step(number: int) -> None:
        del number
        grad = decayed()
        torch.addcmul(grad, lanes.first, lanes.beta1, out=lanes.first)
        lanes.params.addcmul_(torch.addcmul(grad, lanes.first, lanes.beta1), descent)

    return step


def adaptive(lanes: LaneSlice, n_steps: int) -> Step:
    """RMSProp (beta1 = 0, no correction), Adam or AdamW.

    Tieleman and Hinton 2012; Kingma and Ba 2015, Algorithm 1; Loshchilov and Hutter 2019.
    """
    taken = lanes.steps + torch.arange(1, n_steps + 1, device=lanes.steps.device).view(-1, 1, 1)
    # 1 - beta^t where the bias is corrected, else 1; shape (n_steps, k, 1)
    bias1 = 1 - lanes.corrected * _power(lanes.beta1, taken)
    bias2 = 1 - lanes.corrected * _power(lanes.beta2, taken)
    descents, scales = (-lanes.lr / bias1).float(), bias2.rsqrt().float()
    decayed, new1, new2 = lanes.decayed_grad(), 1 - lanes.beta1, 1 - lanes.beta2

    def step(number: int) -> None:
        grad = decayed()
        lanes.first.lerp_(grad, new1)
        lanes.second.lerp_(grad.square_(), new2)
        spread = lanes.second.sqrt().mul_(scales[number]).add_(EPS)
        lanes.params.addcmul_(torch.div(lanes.first, spread, out=spread), descents[number])

    return step


def _power(beta: Tensor, steps: Tensor) -> Tensor:
    """Return beta^steps in float64; `torch.pow` rounds otherwise in the tail of a tensor."""
    return torch.exp(steps * torch.log(beta.double()))


#: Prepares the steps of an epoch: (lanes, steps of the epoch) -> step.
LaneRule = Callable[[LaneSlice, int], Step]

#: Optimizer -> (rule, settings of the rule that are not columns of the runs).
RULES: dict[str, tuple[LaneRule, dict[str, float]]] = {
    "sgd": (heavy_ball, {}),
    "momentum": (heavy_ball, {}),
    "nesterov": (nesterov, {}),
    "rmsprop": (adaptive, {"beta2": RMSPROP_ALPHA}),
    "adam": (adaptive, {"beta2": ADAM_BETA2, "corrected": 1.0}),
    "adamw": (adaptive, {"beta2": ADAM_BETA2, "corrected": 1.0}),
}

_ORDER = (heavy_ball, nesterov, adaptive)


def rule_index(optimizer: str) -> int:
    """Return a small integer that lanes are sorted by, so that lanes of one rule are adjacent."""
    return _ORDER.index(RULES[optimizer][0])


def rule_at(index: int) -> LaneRule:
    """Return the rule of a `rule_index`."""
    return _ORDER[index]


def hyper_row(
    optimizer: str, momentum: float, weight_decay: float, weight_decay_mode: str
) -> dict[str, float]:
    """Return the scalars of one lane by their names in `LaneSlice`, without ``lr``."""
    defaults = {"beta2": 0.0, "corrected": 0.0}
    return {
        **defaults,
        **RULES[optimizer][1],
        "beta1": momentum,
        "coupled": weight_decay if weight_decay_mode == "coupled" else 0.0,
        "decoupled": weight_decay if weight_decay_mode == "decoupled" else 0.0,
    }
