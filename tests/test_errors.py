"""Errors that reach a person."""

from __future__ import annotations

import pytest

from epochs_left.errors import (
    DataError,
    EpochsLeftError,
    InputOutputError,
    IntegrityError,
    ModelError,
    UsageError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UsageError, 2), (DataError, 3), (ModelError, 4), (InputOutputError, 5), (IntegrityError, 6)],
)
def test_each_kind_has_its_exit_code(kind: type[EpochsLeftError], code: int) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, EpochsLeftError)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("los", ", did you mean 'loss'?"),
        ("LOSS", ", did you mean 'loss'?"),
        ("grad_nrom", ", did you mean 'Grad_Norm'?"),
        ("zzz", ""),
    ],
)
def test_the_nearest_name_is_offered(name: str, hint: str) -> None:
    assert did_you_mean(name, ["epoch", "loss", "Grad_Norm"]) == hint


def test_nothing_known_gives_no_hint() -> None:
    assert did_you_mean("loss", []) == ""
