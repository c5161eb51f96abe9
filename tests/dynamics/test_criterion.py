"""One order of checks, shared by engines and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.dynamics import criterion
from epochs_left.dynamics.criterion import CAPPED, CONVERGED, DIVERGED, RUNNING, STUCK, outcome_code
from epochs_left.schema import OUTCOMES, Outcome

EPSILON, DELTA, BOUND, CAP = 1e-6, 1e-8, 1e6, 100


def code(loss: float = 1.0, grad_norm: float = 1.0, epoch: int = 0) -> int:
    return outcome_code(loss, grad_norm, epoch, EPSILON, DELTA, BOUND, CAP)


@pytest.mark.parametrize("outcome", Outcome)
def test_codes_index_the_outcomes(outcome: Outcome) -> None:
    assert OUTCOMES[getattr(criterion, outcome.name)] is outcome


def test_running_is_the_index_of_no_outcome() -> None:
    assert RUNNING not in range(len(OUTCOMES))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, RUNNING),
        ({"loss": EPSILON}, RUNNING),
        ({"loss": np.nextafter(EPSILON, 0)}, CONVERGED),
        ({"grad_norm": DELTA}, RUNNING),
        ({"grad_norm": np.nextafter(DELTA, 0)}, STUCK),
        ({"epoch": CAP - 1}, RUNNING),
        ({"epoch": CAP}, CAPPED),
        ({"loss": BOUND}, RUNNING),
        ({"loss": np.nextafter(BOUND, np.inf)}, DIVERGED),
        ({"loss": math.nan}, DIVERGED),
        ({"loss": math.inf}, DIVERGED),
        ({"grad_norm": math.nan}, DIVERGED),
        ({"grad_norm": math.inf}, DIVERGED),
    ],
)
def test_thresholds_are_strict(arguments: dict[str, float], expected: int) -> None:
    assert code(**arguments) == expected


def test_convergence_comes_before_the_stationary_point_and_that_before_the_cap() -> None:
    assert code(loss=0.0, grad_norm=0.0, epoch=CAP) == CONVERGED
    assert code(loss=1.0, grad_norm=0.0, epoch=CAP) == STUCK
    assert code(loss=0.0, grad_norm=math.nan, epoch=CAP) == DIVERGED


@given(
    loss=st.floats(allow_nan=True, allow_infinity=True),
    grad_norm=st.one_of(st.floats(min_value=0), st.just(math.nan)),
    epoch=st.integers(0, 2 * CAP),
)
def test_no_run_goes_on_beyond_the_cap_or_a_bad_number(
    loss: float, grad_norm: float, epoch: int
) -> None:
    found = code(loss, grad_norm, epoch)
    assert found in range(len(OUTCOMES)) or found == RUNNING
    if epoch >= CAP or not (math.isfinite(loss) and math.isfinite(grad_norm)):
        assert found != RUNNING
