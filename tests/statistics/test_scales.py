"""Laws of the scales of remaining epochs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.statistics.scales import MAX_REMAINING, SCALES

names = st.sampled_from(sorted(SCALES))
epochs = st.integers(0, 10**8)


def test_the_three_scales_have_their_own_names() -> None:
    assert set(SCALES) == {"epochs", "log", "log_ratio"}
    assert all(name == scale.name for name, scale in SCALES.items())


@given(names, epochs, epochs)
def test_inverse_undoes_forward(name: str, remaining: int, elapsed: int) -> None:
    scale = SCALES[name]
    R, t = np.array([remaining]), np.array([elapsed])
    assert scale.inverse(scale.forward(R, t), t) == pytest.approx(remaining, rel=1e-9, abs=1e-9)


@given(names, st.floats(allow_nan=False, allow_infinity=False), epochs)
def test_inverse_of_any_finite_value_is_finite_and_not_negative(
    name: str, value: float, elapsed: int
) -> None:
    remaining = SCALES[name].inverse(np.array([value]), np.array([elapsed]))[0]
    assert 0 <= remaining <= MAX_REMAINING


@given(names, epochs, epochs, epochs)
def test_more_epochs_remaining_is_a_larger_value(name: str, a: int, b: int, elapsed: int) -> None:
    values = SCALES[name].forward(np.array([a, b]), np.array([elapsed, elapsed]))
    assert np.sign(values[0] - values[1]) == np.sign(a - b)


@given(epochs, epochs, epochs)
def test_residuals_of_log_ratio_equal_those_of_log(actual: int, predicted: int, t: int) -> None:
    residuals = [
        SCALES[name].forward(np.array([actual]), np.array([t]))
        - SCALES[name].forward(np.array([predicted]), np.array([t]))
        for name in ("log", "log_ratio")
    ]
    assert residuals[0] == pytest.approx(residuals[1], abs=1e-9)


def test_known_values() -> None:
    R, t = np.array([99.0]), np.array([9.0])
    assert SCALES["epochs"].forward(R, t) == 99.0
    assert SCALES["log"].forward(R, t) == pytest.approx(np.log(100))
    assert SCALES["log_ratio"].forward(R, t) == pytest.approx(np.log(10))


@pytest.mark.parametrize("name", sorted(SCALES))
def test_elapsed_may_be_one_number_and_inputs_stay_untouched(name: str) -> None:
    R = np.arange(5.0)
    scale = SCALES[name]
    value = scale.forward(R, np.array(3))
    back = scale.inverse(value, np.array(3))
    np.testing.assert_allclose(back, R, atol=1e-12)
    np.testing.assert_array_equal(R, np.arange(5.0))
    assert value is not R


@pytest.mark.parametrize("name", sorted(SCALES))
def test_float32_predictions_are_inverted_in_float64(name: str) -> None:
    value = np.array([1.5, 700.0], dtype=np.float32)
    assert SCALES[name].inverse(value, np.array([1, 1])).dtype == np.float64
