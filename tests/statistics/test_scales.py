"""Laws of the scales of remaining epochs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochs_left.statistics.scales import MAX_REMAINING, SCALES

#: Scales on which there is no end to the epochs remaining, and one that ends at the horizon.
UNBOUNDED = sorted(name for name, scale in SCALES.items() if not scale.bounded)
SHARE = SCALES["share_ahead"]
names = st.sampled_from(UNBOUNDED)
epochs = st.integers(0, 10**8)
finite = st.floats(allow_nan=False, allow_infinity=False)
#: (remaining, remaining, ahead) of two rows with the same horizon, neither of which is beyond it.
within = epochs.flatmap(lambda ahead: st.tuples(*2 * [st.integers(0, ahead)], st.just(ahead)))


def test_the_scales_have_their_own_names_and_one_of_them_ends_at_the_horizon() -> None:
    assert set(SCALES) == {"epochs", "log", "log_ratio", "share_ahead"}
    assert all(name == scale.name for name, scale in SCALES.items())
    assert [name for name, scale in SCALES.items() if scale.bounded] == ["share_ahead"]


@given(names, epochs, epochs)
def test_inverse_undoes_forward(name: str, remaining: int, elapsed: int) -> None:
    scale = SCALES[name]
    R, t = np.array([remaining]), np.array([elapsed])
    assert scale.inverse(scale.forward(R, t), t) == pytest.approx(remaining, rel=1e-9, abs=1e-9)


@given(names, finite, epochs)
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
def test_elapsed_and_ahead_may_be_one_number_and_inputs_stay_untouched(name: str) -> None:
    R, t, ahead = np.arange(5.0), np.array(3), np.array(9)
    scale = SCALES[name]
    value = scale.forward(R, t, ahead)
    back = scale.inverse(value, t, ahead)
    np.testing.assert_allclose(back, R, atol=1e-12)
    np.testing.assert_array_equal(R, np.arange(5.0))
    assert value is not R


@pytest.mark.parametrize("name", sorted(SCALES))
def test_float32_predictions_are_inverted_in_float64(name: str) -> None:
    value = np.array([1.5, 700.0], dtype=np.float32)
    assert SCALES[name].inverse(value, np.array([1, 1]), np.array([9, 9])).dtype == np.float64


@given(names, epochs, epochs, epochs)
def test_without_a_horizon_it_does_not_matter_where_it_lies(
    name: str, remaining: int, elapsed: int, ahead: int
) -> None:
    R, t, A = (np.array([x]) for x in (remaining, elapsed, ahead))
    value = SCALES[name].forward(R, t)
    assert SCALES[name].forward(R, t, A) == value
    assert SCALES[name].inverse(value, t, A) == SCALES[name].inverse(value, t)


def share(remaining: float, ahead: float) -> float:
    """Return the value of one row at epoch 0."""
    return float(SHARE.forward(np.array([remaining]), np.zeros(1), np.array([ahead]))[0])


def of_share(value: float, ahead: float) -> float:
    """Return the epochs remaining of one value at epoch 0."""
    return float(SHARE.inverse(np.array([value]), np.zeros(1), np.array([ahead]))[0])


@given(within)
def test_shares_are_undone_up_to_the_horizon(case: tuple[int, int, int]) -> None:
    remaining, _, ahead = case
    assert of_share(share(remaining, ahead), ahead) == pytest.approx(remaining, rel=1e-9, abs=1e-6)


@given(within)
def test_more_epochs_of_as_many_ahead_are_a_larger_share(case: tuple[int, int, int]) -> None:
    one, other, ahead = case
    assert np.sign(share(one, ahead) - share(other, ahead)) == np.sign(one - other)


@given(finite, finite, epochs)
def test_any_share_lies_between_now_and_the_horizon_and_a_larger_one_is_no_sooner(
    one: float, other: float, ahead: int
) -> None:
    first, last = (of_share(value, ahead) for value in sorted((one, other)))
    assert 0 <= first <= last <= ahead


@given(within)
def test_what_is_left_after_the_end_is_the_mirrored_share(case: tuple[int, int, int]) -> None:
    remaining, _, ahead = case
    assert share(ahead - remaining, ahead) == pytest.approx(-share(remaining, ahead), abs=1e-9)


@given(within, epochs)
def test_shares_do_not_depend_on_the_epochs_elapsed(
    case: tuple[int, int, int], elapsed: int
) -> None:
    R, _, A = (np.array([float(x)]) for x in case)
    later = SHARE.forward(R, np.array([elapsed]), A)
    assert later == share(*map(float, case[::2]))
    assert SHARE.inverse(later, np.array([elapsed]), A) == of_share(float(later[0]), case[2])


@pytest.mark.parametrize(
    ("remaining", "ahead", "odds"), [(0, 0, 1), (5, 10, 1), (0, 10, 0.5 / 10.5), (7, 10, 7.5 / 3.5)]
)
def test_known_shares(remaining: int, ahead: int, odds: float) -> None:
    assert share(remaining, ahead) == pytest.approx(math.log(odds))
    assert of_share(math.log(odds), ahead) == pytest.approx(remaining, abs=1e-12)


def test_beyond_the_horizon_shares_end_at_it() -> None:
    assert of_share(share(14, 10), 10) == 10
    assert of_share(0.0, -1) == 0  # the horizon has passed


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_a_share_of_nothing_known_is_refused(direction: str) -> None:
    with pytest.raises(ValueError, match="'share_ahead' needs the epochs ahead"):
        getattr(SHARE, direction)(np.ones(2), np.ones(2))


def test_a_row_of_no_known_horizon_has_no_share_and_the_others_keep_theirs() -> None:
    R, t, ahead = np.array([3.0, 3.0]), np.zeros(2), np.array([9.0, np.nan])
    value = SHARE.forward(R, t, ahead)
    assert np.isnan(value).tolist() == [False, True]
    assert np.isnan(SHARE.inverse(np.zeros(2), t, ahead)).tolist() == [False, True]
    assert value[0] == share(3, 9)
