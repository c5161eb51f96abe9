from __future__ import annotations

import pytest

from epochs_left.errors import DataError
from epochs_left.prediction.layout import ColumnChoice, resolve

DEFAULT = ColumnChoice()


def test_usual_names_are_found_in_any_order() -> None:
    layout = resolve(["lr", "loss", "note", "param_0", "epoch", "param_1", "run_id"], DEFAULT)
    assert (layout.run, layout.time, layout.metric) == ("run_id", "epoch", "loss")
    assert layout.known == ("lr",)
    assert layout.params == ("param_0", "param_1")
    assert layout.ignored == ("note",)


def test_steps_count_where_there_are_no_epochs() -> None:
    assert resolve(["run_id", "step", "loss"], DEFAULT).time == "step"
    both = resolve(["run_id", "step", "epoch", "loss"], DEFAULT)
    assert both.time == "epoch"
    assert both.ignored == ("step",)


def test_a_chosen_column_plays_one_part_only() -> None:
    layout = resolve(["run_id", "epoch", "loss", "grad_norm"], ColumnChoice(metric="grad_norm"))
    assert layout.metric == "grad_norm"
    assert layout.known == ()
    assert layout.ignored == ("loss",)


def test_other_names_of_optional_columns_are_known() -> None:
    layout = resolve(["step", "loss", "learning_rate", "num_train_epochs", "note"], DEFAULT)
    assert layout.known == ("lr", "horizon")
    assert (layout.written("lr"), layout.written("loss")) == ("learning_rate", "loss")
    assert layout.columns(with_params=False) == [
        "step",
        "loss",
        "learning_rate",
        "num_train_epochs",
    ]
    assert layout.ignored == ("note",)


def test_the_usual_name_goes_before_the_others() -> None:
    layout = resolve(["epoch", "loss", "learning_rate", "lr"], DEFAULT)
    assert (layout.written("lr"), layout.ignored) == ("lr", ("learning_rate",))
    named = resolve(["epoch", "learning_rate"], ColumnChoice(metric="learning_rate"))
    assert named.known == ()


def test_parameters_are_read_only_if_wanted() -> None:
    layout = resolve(["run_id", "epoch", "loss", "params"], DEFAULT)
    assert layout.columns(with_params=False) == ["run_id", "epoch", "loss"]
    assert layout.columns(with_params=True) == ["run_id", "epoch", "loss", "params"]


@pytest.mark.parametrize(
    ("columns", "choice", "message"),
    [
        (
            ["run_id", "epoch", "los"],
            DEFAULT,
            r"^missing columns \['loss'\], found \['los'\]; rename it or pass --metric los$",
        ),
        (
            ["run_id", "Epoch", "loss"],
            DEFAULT,
            r"\['epoch'\], found \['Epoch'\]; rename it or pass --time-column Epoch$",
        ),
        (["run_id", "a", "b"], DEFAULT, r"\['epoch', 'loss'\].*; rename them or pass --time-col"),
        (["epoch", "loss", "job"], ColumnChoice(run="jobs"), r"\['jobs'\].*--run-column job$"),
        (["# epoch", "loss"], DEFAULT, r"pass --time-column '# epoch'$"),
        (["epoch"], DEFAULT, r"\['loss'\], found \['epoch'\]; .* pass --metric NAME$"),
        ([f"c{i}" for i in range(20)], DEFAULT, r"'c7'\] and 12 more; "),
    ],
)
def test_a_missing_column_is_named_with_its_nearest_match(
    columns: list[str], choice: ColumnChoice, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        resolve(columns, choice)
