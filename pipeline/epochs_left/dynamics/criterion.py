"""The convergence criterion, in the one order in which recorders and closed forms check it.

Seed 003 section 2.3: converged when loss < epsilon, or gradient norm < delta, or the cap on epochs
is reached. The last two are not convergence to a solution and have outcomes of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Codes index `schema.OUTCOMES`; a test keeps them in step.
CONVERGED, STUCK, CAPPED, DIVERGED = 0, 1, 2, 3
RUNNING = -1


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Thresholds of the criterion.

    Attributes
    ----------
    epsilon
        A loss below it is converged.
    delta
        A gradient norm below it is a stationary point.
    divergence_loss
        A loss above it is diverged.
    max_epochs
        Cap on epochs.
    """

    epsilon: float
    delta: float
    divergence_loss: float
    max_epochs: int


def outcome_code(
    loss: float,
    grad_norm: float,
    epoch: int,
    epsilon: float,
    delta: float,
    divergence_loss: float,
    max_epochs: int,
) -> int:
    """Return the outcome of a run at ``epoch``, or ``RUNNING``.

    Scalars alone and no branches on types, so that engines compile it as it stands.

    Parameters
    ----------
    loss, grad_norm
        Full-batch loss and L2 norm of its gradient at this epoch.
    epoch
        Passes done; 0 is the initialisation.
    epsilon, delta
        Thresholds of the loss and of the gradient norm; both are strict.
    divergence_loss
        Loss above which a run counts as diverged; so does NaN.
    max_epochs
        Cap on epochs.
    """
    if not (loss <= divergence_loss and math.isfinite(grad_norm)):
        return DIVERGED
    if loss < epsilon:
        return CONVERGED
    if grad_norm < delta:
        return STUCK
    if epoch >= max_epochs:
        return CAPPED
    return RUNNING
