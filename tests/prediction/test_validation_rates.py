"""What `validate` says of learning rates that a log does not tell (1 s)."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from epochs_left.prediction.layout import ColumnChoice, resolve
from epochs_left.prediction.validation import missing

helper = runpy.run_path(str(Path(__file__).parent / "rates_predictor.py"))
COLUMNS = ["run_id", "epoch", "loss"]
SO_FAR = (
    "without lr_schedule the predictor answers from the loss and the learning rates so far "
    "(column lr): those to come are not known"
)
LOSS_ALONE = (
    "without lr (a column with the learning rate of each epoch) or lr_schedule the predictor "
    "answers from the loss alone, with wider intervals"
)


@pytest.mark.parametrize(
    ("columns", "stated", "sentences"),
    [
        ([], {}, [LOSS_ALONE]),
        (["grad_norm", "momentum"], {}, [LOSS_ALONE]),
        ([], {"lr": 0.1}, [LOSS_ALONE]),
        (["lr"], {}, [SO_FAR]),
        (["learning_rate"], {}, [SO_FAR]),
        (["lr_schedule"], {}, []),
        (["lr", "lr_schedule"], {}, []),
        (["lr"], {"lr_schedule": "cosine"}, []),
        ([], {"lr_schedule": "cosine"}, []),
    ],
)
def test_a_predictor_of_plateaus_misses_rates_and_nothing_else(
    columns: list[str], stated: dict[str, float | str], sentences: list[str]
) -> None:
    """And what is said is what happens to a log of that kind."""
    layout = resolve([*COLUMNS, *columns], ColumnChoice(stated=stated))
    assert missing(layout, helper["rates_predictor"]()) == sentences
    values = {"grad_norm": 1.0, "momentum": 0.9, "lr_schedule": "cosine"}
    rates = dict.fromkeys(("lr", "learning_rate"), helper["rates_of"](0))
    known = {name: ({**values, **rates})[name] for name in columns}
    log = helper["log_of"](0).drop(columns="lr").assign(**known)
    reasons = helper["answered"](log, stated=stated)["reason"][1:]
    alone = sentences == [LOSS_ALONE]
    assert np.all(reasons == ("predicted from the loss alone" if alone else ""))
