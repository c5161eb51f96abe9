"""The predictability ceiling: the highest R^2 that a causal prediction of remaining epochs reaches.

Let Y = log(1 + R), R the epochs remaining, and S the state of a run at epoch t with its whole past.
No prediction from S explains E[Var(Y | S)], what differs between continuations with other sample
orders, so that R^2 <= 1 - E[Var(Y | S)] / Var(Y) (the law of total variance). A view that knows how
the run ends is not bound by it.

Scored rows are those of runs that converged: given that it did, a run is one more draw from the
continuations of its state that converge. Var(Y | S) is therefore taken over the branches that
converged, which is no approximation, however many were capped or diverged; it cannot be taken where
fewer than two did. How many branches and states that concerns is part of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, Labels
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.scores import mean, mean_sums


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The highest reachable R^2 on the scale log(1 + R), and what it was estimated from.

    Attributes
    ----------
    r2
        1 - within / total, with an interval over states; NaN if there are no states to tell. Of few
        states it is too narrow: with twelve, 95 % intervals held the truth in 89 % of simulations.
    r2_complete
        The same from those states alone whose branches all converged.
    within
        E[Var(Y | S)] over all scored rows, those in full batch with 0.
    total
        Var(Y) over the scored rows.
    n_states
        States behind ``r2``.
    n_incomplete
        States of which some branch did not converge, whether behind ``r2`` or left out.
    n_left_out
        States of which fewer than two branches converged.
    converged_share
        Share of all branches that converged.
    """

    r2: Estimate
    r2_complete: float
    within: float
    total: float
    n_states: int
    n_incomplete: int
    n_left_out: int
    converged_share: float


def within_state_variances(
    remaining: FloatArray, converged: BoolArray, state: Labels
) -> tuple[FloatArray, BoolArray]:
    """Return the unbiased variance of log(1 + R) over the converged branches of each state.

    Parameters
    ----------
    remaining
        Epochs from the state to the branch's end, shape ``(n_branches,)``.
    converged
        Whether that end is convergence, shape ``(n_branches,)``.
    state
        State of each branch, shape ``(n_branches,)``.

    Returns
    -------
    Variances (divisor K - 1), NaN with fewer than two converged branches, and whether all branches
    of the state converged; shape ``(n_states,)``, states in ascending order of their labels.
    """
    names, code = np.unique(state, return_inverse=True)
    of_all = np.bincount(code, minlength=names.size)
    code, y = code[converged], np.log1p(remaining[converged])
    n = np.bincount(code, minlength=names.size)
    centre = np.bincount(code, weights=y, minlength=names.size) / np.maximum(n, 1)
    squares = np.bincount(code, weights=(y - centre[code]) ** 2, minlength=names.size)
    variances: FloatArray = np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan)
    return variances, n == of_all


def log_variance(remaining: FloatArray, weight: FloatArray) -> float:
    """Return the weighted variance of log(1 + R) over scored rows, as `scores.r2` divides by it.

    ``remaining`` in epochs; both of shape ``(n_rows,)``.
    """
    y = np.log1p(remaining)
    return float(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight))


def predictability_ceiling(
    remaining: FloatArray,
    converged: BoolArray,
    state: Labels,
    *,
    total: float,
    random_share: float,
    n_replicates: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Ceiling:
    """Estimate the highest R^2 that a prediction from the state can reach.

    Parameters
    ----------
    remaining, converged, state
        The branches, as in `within_state_variances`; no two states of one lineage, each drawn in
        proportion to the weights of the scored rows.
    total
        Variance of log(1 + R) over the scored rows (`log_variance`), whose R^2 is to be bounded.
    random_share
        Share of the weight of the scored rows that is of runs in minibatches, which the states are
        drawn from, in [0, 1] (ValueError otherwise). The rest, in full batch, has no variance
        within a state; at 0 the ceiling is 1 exactly.
    n_replicates, rng, level
        Of the bootstrap over states. The interval is conditional on ``total``: it bounds the R^2 of
        the same rows.
    """
    if not 0 <= random_share <= 1:
        raise ValueError(f"random_share must lie in [0, 1], got {random_share!r}")
    variances, complete = within_state_variances(remaining, converged, state)
    known = np.isfinite(variances)

    def bounded(chosen: BoolArray) -> Estimate:
        return _ceiling_of(variances[chosen], random_share / total, n_replicates, rng, level)

    return Ceiling(
        r2=bounded(known),
        r2_complete=bounded(known & complete).value,
        within=random_share * _mean(variances[known]) if random_share > 0 else 0.0,
        total=total,
        n_states=int(known.sum()),
        n_incomplete=int((~complete).sum()),
        n_left_out=int((~known).sum()),
        converged_share=_mean(converged.astype(np.float64)),
    )


def _ceiling_of(
    variances: FloatArray, scale: float, n_replicates: int, rng: np.random.Generator, level: float
) -> Estimate:
    """Estimate 1 - scale * mean(variances), with an interval over them."""
    if scale == 0:
        return Estimate(1.0, (1.0, 1.0))
    if not variances.size:
        return Estimate(np.nan, None)
    sums = mean_sums(scale * variances, np.arange(variances.size))
    statistics = {"r2": lambda summed: 1 - mean(summed)}
    return bootstrap_sums(sums, statistics, n_replicates=n_replicates, rng=rng, level=level)["r2"]


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan
