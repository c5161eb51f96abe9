"""Trees as scikit-learn prints them: read back, and said in words (about 2 s)."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor, export_text

from epochs_left.features import FEATURE_GROUPS
from epochs_left.reporting import feature_words
from epochs_left.reporting.charts.canvas import MAX_LABEL
from epochs_left.reporting.palette import PALETTE
from epochs_left.reporting.rules import Rule, Split, features, leaves, parsed, question

NAMES = ("log_lr", "log_epochs_on_clock_75%", "share_of_rises", "adam")
TREE = """\
|--- log_elapsed <= 2.398
|   |--- log_elapsed <= 0.693
|   |   |--- value: [1.500]
|   |--- log_elapsed >  0.693
|   |   |--- value: [2.000]
|--- log_elapsed >  2.398
|   |--- adam <= 0.500
|   |   |--- value: [-0.250]
|   |--- adam >  0.500
|   |   |--- log_lr <= -2.303
|   |   |   |--- value: [3.000]
|   |   |--- log_lr >  -2.303
|   |   |   |--- value: [4.000]
"""


def _answer(rule: Rule, row: dict[str, float]) -> float:
    while isinstance(rule, Split):
        rule = rule.yes if row[rule.feature] <= rule.threshold else rule.no
    return rule


def _size(rule: Rule) -> int:
    return _size(rule.yes) + _size(rule.no) if isinstance(rule, Split) else 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_a_printed_tree_answers_as_the_tree_itself(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-4, 5, (300, len(NAMES))).astype(float)  # thresholds print without rounding
    y = X @ rng.normal(size=len(NAMES)) + rng.normal(size=300)
    tree = DecisionTreeRegressor(max_depth=depth, random_state=seed).fit(X, y)
    rule = parsed(export_text(tree, feature_names=list(NAMES), decimals=3))
    assert rule is not None
    assert _size(rule) == tree.get_n_leaves() == len(list(leaves(rule)))
    said = [_answer(rule, dict(zip(NAMES, row, strict=True))) for row in X]
    assert said == pytest.approx(tree.predict(X), abs=5e-4)


def test_conditions_on_one_feature_are_joined_in_its_own_unit() -> None:
    rule = parsed(TREE)
    assert rule is not None
    assert list(leaves(rule)) == [
        (["epochs so far ≤ 1"], 1.5),
        (["epochs so far from 1 to 10"], 2.0),
        (["epochs so far > 10", "optimizer Adam: no"], -0.25),
        (["epochs so far > 10", "optimizer Adam: yes", "learning rate ≤ 0.1"], 3.0),
        (["epochs so far > 10", "optimizer Adam: yes", "learning rate > 0.1"], 4.0),
    ]
    assert features(rule) == ["log_elapsed", "adam", "log_lr"]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (Split("log_lr", math.log(9.06e-4), 0.0, 1.0), "A ≤ 0.00091?"),
        (Split("log_elapsed", math.log1p(31.5), 0.0, 1.0), "A ≤ 31.5?"),
        (Split("adamw", 0.5, 0.0, 1.0), "no A?"),
        (Split("no_such_feature", -2.5, 0.0, 1.0), "A ≤ −2.5?"),
    ],
)
def test_a_question_fits_on_a_branch(split: Split, words: str) -> None:
    assert question("A", split) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no tree",
        "|--- value: [a]",
        "|--- log_lr <= 1.000\n|   |--- value: [1.000]",  # the other side is missing
        TREE.replace("log_lr >  -2.303", "log_lr >  -2.000"),  # another threshold
        TREE.replace("|   |--- adam <= 0.500", "|   |   |--- adam <= 0.500"),  # another depth
    ],
)
def test_what_is_no_tree_is_none(text: str) -> None:
    assert parsed(text) is None


def test_words_name_features_that_there_are() -> None:
    groups = dict(FEATURE_GROUPS.items())
    known = {name for group in groups.values() for name in group.units}
    assert set(feature_words._GROUPS) <= set(groups)
    assert set(feature_words._FEATURES) <= known


def test_groups_fit_on_an_axis_and_have_a_colour() -> None:
    labels = [feature_words.group_label(name) for name in FEATURE_GROUPS]
    assert max(map(len, labels)) <= MAX_LABEL
    assert len(labels) == len(set(labels))
    kinds = {feature_words.group_kind(name) for name in [*FEATURE_GROUPS, "<b>"]}
    assert {feature_words.KIND_COLOURS[kind] for kind in kinds} <= set(PALETTE)


def test_a_name_without_words_is_written_plainly() -> None:
    assert feature_words.feature_label("log_no_such_thing") == "no such thing"
    assert feature_words.group_label("no_such_group") == "no such group"
    assert feature_words.group_summary("no_such_group") == ""
    assert re.match("Share of", feature_words.group_summary("batch"))


@pytest.mark.parametrize(
    ("group", "inputs", "feature", "expected"),
    [
        ("batch", {"batch_size": 25.0, "n_examples": 100.0}, "log_steps", 4.0),
        ("learning_rate", {"lr": 0.03}, "log_lr", 0.03),
        ("weight_decay", {"weight_decay": 0.01}, "log_weight_decay", 0.01),
        ("loss_level", {"loss": 0.5, "target": 0.1, "epoch": 7.0}, "log_elapsed", 7.0),
        ("loss_level", {"loss": 0.5, "target": 0.1, "epoch": 7.0}, "log_gap_to_target", 5.0),
        (
            "model_kind",
            {"n_params": 321.0, "n_examples": 8.0, "activation": "relu"},
            "log_n_params",
            321.0,
        ),
    ],
)
def test_features_turn_back_into_what_they_are_called(
    group: str, inputs: dict[str, float | str], feature: str, expected: float
) -> None:
    arrays = {name: np.full((1, 1), value) for name, value in inputs.items()}
    found = FEATURE_GROUPS[group].compute(**arrays)[feature]
    assert feature_words.natural(feature)(float(np.ravel(found)[0])) == pytest.approx(expected)


def test_no_value_overflows() -> None:
    assert math.isfinite(feature_words.natural("log_lr")(1e9))
    assert math.isfinite(feature_words.natural("log_elapsed")(1e9))
