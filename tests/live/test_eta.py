"""Answers in words (0.1 s)."""

from typing import Any

import pytest

from epochs_left.live.eta import Eta, shown_count, shown_duration


def eta(**changes: Any) -> Eta:
    usual: dict[str, Any] = {
        "epoch": 12.0,
        "epochs_remaining": 37.2,
        "lower": 28.6,
        "upper": 51.4,
        "p_converges": 0.97,
        "status": "ok",
        "reason": "",
        "level": 0.9,
        "unit": "epoch",
        "seconds_remaining": 372.0,
        "seconds_lower": 286.0,
        "seconds_upper": 514.0,
        "model_id": "released",
    }
    return Eta(**(usual | changes))


NOTHING: dict[str, Any] = {
    **dict.fromkeys(("epochs_remaining", "lower", "upper", "p_converges")),
    "seconds_remaining": None,
}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "37 epochs left (29-51 at 90 %), 6 min; converges with p = .97"),
        ({"seconds_remaining": None}, "37 epochs left (29-51 at 90 %); converges with p = .97"),
        ({"upper": None, "p_converges": None}, "37 epochs left (29 or more at 90 %), 6 min"),
        ({"p_converges": 0.999}, "37 epochs left (29-51 at 90 %), 6 min; converges with p > .99"),
        ({"p_converges": 0.0}, "37 epochs left (29-51 at 90 %), 6 min; converges with p < .01"),
        (
            {"epochs_remaining": 1.0, "lower": 0.42, "unit": "step", "level": 0.955},
            "1 step left (0.4-51 at 95.5 %), 6 min; converges with p = .97",
        ),
        (
            {"status": "out_of_distribution", "reason": "odd"},
            "37 epochs left (29-51 at 90 %), 6 min; converges with p = .97; "
            "unlike the training runs",
        ),
        (
            {**NOTHING, "status": "insufficient_history", "reason": "fewer than 2"},
            "unknown: fewer than 2",
        ),
        (
            {**NOTHING, "p_converges": 0.0, "status": "diverged", "reason": "the loss is odd"},
            "diverged: the loss is odd",
        ),
        (
            {**NOTHING, "p_converges": 0.0, "reason": "the horizon is over"},
            "not reached: the horizon is over",
        ),
        (
            {"epochs_remaining": 0.0, "status": "already_converged", "reason": "reached"},
            "0 epochs left: reached",
        ),
    ],
)
def test_answers_read_as_sentences(changes: dict[str, Any], text: str) -> None:
    assert str(eta(**changes)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0"),
        (0.44, "0.4"),
        (9.94, "9.9"),
        (9.96, "10"),
        (1234.5, "1,234"),
        (3.4e7, "3.4e+07"),
    ],
)
def test_counts_are_as_exact_as_they_can_be(value: float, text: str) -> None:
    assert shown_count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (95, "2 min"), (5399, "90 min"), (12600, "3.5 h"), (1e6, "12 d")],
)
def test_times_are_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text


def test_loggers_get_what_is_known_alone() -> None:
    assert eta(upper=None, seconds_remaining=None).as_dict() == {
        "eta/epochs_remaining": 37.2,
        "eta/lower": 28.6,
        "eta/p_converges": 0.97,
    }
    assert eta(**NOTHING).as_dict() == {}
