from __future__ import annotations

import pytest

from epochs_left.reporting import wording
from epochs_left.reporting.ticks import decade_ticks, share_ticks


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (0.956, 2, "0.96"),
        (-0.2, 1, "−0.2"),
        (-0.001, 2, "0.00"),
        (12345.0, 0, "12,345"),
        (None, 2, "–"),
    ],
)
def test_decimals(value: float | None, digits: int, words: str) -> None:
    assert wording.decimal(value, digits) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (351, "351"), (45.0, "45"), (0.01, "0.01"), (1.234, "1.23"), (23.456, "23.5"),
        (1e-6, "1.00 × 10⁻⁶"), (2.5e7, "2.50 × 10⁷"), (-3.5, "−3.5"), (None, "–"),
        (float("nan"), "–"), (0.00123, "0.00123"), (99999, "99,999"),
    ],
)  # fmt: skip
def test_brief_numbers_have_three_digits_at_most_and_no_idle_zeros(
    value: float | None, words: str
) -> None:
    assert wording.brief(value) == words


def test_intervals_are_left_out_where_none_was_made() -> None:
    assert wording.between(0.91, 0.94) == "0.91 to 0.94"
    assert wording.between_percent(0.91, 0.94) == "91 to 94\u202f%"
    assert wording.between_percent(0.914, 0.94, 1) == "91.4 to 94.0\u202f%"
    assert wording.between(None, 0.94) == wording.between_percent(0.9, None) == ""


@pytest.mark.parametrize(
    ("n_bytes", "words"), [(12, "12 B"), (1500, "1.5 kB"), (53_412_345, "53.4 MB"), (None, "–")]
)
def test_sizes(n_bytes: float | None, words: str) -> None:
    assert wording.file_size(n_bytes) == words


def test_a_span_has_its_ends_or_one_figure_where_they_read_alike() -> None:
    assert wording.span([0.5, 0.1, 0.3]) == "0.10 to 0.50"
    assert wording.span([0.501, 0.499]) == "0.50"
    assert wording.span([7]) == "7.00"
    assert wording.span_percent(iter([0.866, 0.991])) == "87 to 99\u202f%"
    assert wording.span_percent([0.5], 1) == "50.0\u202f%"


def test_lists_read_like_sentences() -> None:
    assert [wording.joined(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize("values", [[3, 700], [1], [0.02, 0.5], [10, 10]])
def test_decade_ticks_enclose_the_values(values: list[float]) -> None:
    at = [10 ** tick["at"] for tick in decade_ticks(values)]
    assert at[0] <= min(values)
    assert at[-1] >= max(values)
    assert len(at) > 1


def test_no_positive_value_no_ticks() -> None:
    assert decade_ticks([None, 0.0, -3.0]) == []


def test_share_ticks_reach_the_highest_value() -> None:
    assert [tick["label"] for tick in share_ticks(0.5, high=1.1)][-1] == "150\u202f%"
    assert [tick["label"] for tick in share_ticks(0.2, high=0.6)][-1] == "60\u202f%"
