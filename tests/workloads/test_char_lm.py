"""The char_lm family: its tensors, windows of a text, its settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from epochs_left.config import parse_settings
from epochs_left.errors import UsageError
from epochs_left.schema import MAX_STORED_PARAMS
from epochs_left.storage.datasets import load_text
from epochs_left.workloads import Source, TaskData
from epochs_left.workloads.char_lm import (
    CONTEXT,
    VOCABULARY,
    CharLm,
    CharLmSettings,
    layers_and_width,
    windows_of,
)

Build = Callable[..., CharLmSettings]
ROOT_SEED = 5
#: Mappings of which an override may name some entries.
PARTLY = {"fixed", "lr"}


@pytest.fixture(scope="module")
def settings_of(small_params: dict[str, Any]) -> Build:
    """Build settings of the family, with overrides."""

    def build(**overrides: Any) -> CharLmSettings:
        values = dict(small_params["char_lm"])
        for name, value in overrides.items():
            values[name] = {**values[name], **value} if name in PARTLY else value
        return parse_settings(CharLmSettings, values, "char_lm")

    return build


# Tensors


def n_params(layers: int, width: int) -> int:
    """Parameters by the sizes of the literature's formulas."""
    embeddings = (VOCABULARY + CONTEXT) * width
    norms = (2 * layers + 1) * 2 * width
    attention, perceptron = 4 * width**2, 8 * width**2
    return embeddings + norms + layers * (attention + perceptron) + width * VOCABULARY


@pytest.mark.parametrize(("layers", "width"), [(1, 16), (2, 32), (3, 64)])
def test_a_transformer_has_the_parameters_of_its_formula(layers: int, width: int) -> None:
    architecture = f"{layers}x{width}"
    assert layers_and_width(architecture) == (layers, width)
    assert CharLm().n_params(architecture) == n_params(layers, width)
    names = [tensor.name for tensor in CharLm().tensors(architecture)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("architecture", ["1x16", "2x32"])
def test_every_lane_starts_at_a_multiple_of_a_cache_line(architecture: str) -> None:
    # otherwise a product could round otherwise in another lane
    assert CharLm().n_params(architecture) % 16 == 0
    assert all(tensor.size % 16 == 0 for tensor in CharLm().tensors(architecture))


def test_the_small_model_is_recorded_whole_and_the_large_one_is_not() -> None:
    assert CharLm().n_params("1x16") <= MAX_STORED_PARAMS < CharLm().n_params("2x32")


@pytest.mark.parametrize("name", ["1x16x2", "x16", "1x", "16", "", "0x16", "1x08", "ax16", "1x-16"])
def test_unknown_architectures_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown architecture"):
        layers_and_width(name)


@pytest.mark.parametrize("name", ["1x1040", "49x16", "1000000x16"])
def test_an_architecture_that_is_too_large_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at most 48 layers of at most 1,024 features"):
        layers_and_width(name)


@pytest.mark.parametrize("name", ["1x8", "2x24"])
def test_a_width_that_heads_do_not_divide_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a multiple of 16"):
        layers_and_width(name)


def deviation(scheme: str, n_in: int, n_out: int) -> float:
    """Standard deviation of a weight by the paper of the scheme."""
    variances = {
        "xavier": 2 / (n_in + n_out),
        "he": 2 / n_in,
        "orthogonal": 1 / max(n_in, n_out),
        "uniform": 1 / (3 * n_in),
        "normal": 0.01,
    }
    return math.sqrt(variances[scheme])


@pytest.mark.parametrize("scheme", ["xavier", "he", "orthogonal", "uniform", "normal"])
def test_norms_start_as_the_identity_and_weights_by_their_scheme(scheme: str) -> None:
    runs = pa.table({"lineage_id": ["0" * 16], "architecture": ["2x32"], "init_scheme": [scheme]})
    params = CharLm().initial_params(runs, ROOT_SEED)[0]
    tensors = CharLm().tensors("2x32")
    parts = np.split(params, np.cumsum([tensor.size for tensor in tensors])[:-1])
    for tensor, part in zip(tensors, parts, strict=True):
        if tensor.kind == "weight":
            assert part.std() == pytest.approx(deviation(scheme, *tensor.shape), rel=0.1)
        elif tensor.kind == "embedding":
            assert part.std() == pytest.approx(0.1, rel=0.1)
        else:
            np.testing.assert_array_equal(part, 1.0 if tensor.kind == "scale" else 0.0)


# Windows


def numbered_text(n_blocks: int, seed: int = 0) -> str:
    """A text whose every window says which it is; 36 characters, fewer than there are classes."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (n_blocks, CONTEXT - 6))
    return "".join(f"{i:06d}{''.join(row)}" for i, row in enumerate(letters))


def decoded(tokens: np.ndarray, text: str) -> list[str]:
    """Undo the encoding: classes are ranks by frequency in the first nine tenths."""
    counts = Counter(text[: len(text) - len(text) // 10])
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return ["".join(ranked[token] for token in window) for window in tokens]


@pytest.mark.parametrize("seed", range(3))
def test_windows_do_not_overlap_and_each_target_is_the_next_character(seed: int) -> None:
    text = numbered_text(200, seed)
    data = windows_of(text, 100, 15, seed)
    for inputs, targets in ((data.inputs, data.targets), (data.valid_inputs, data.valid_targets)):
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        windows = [
            window + last[-1]
            for window, last in zip(decoded(inputs, text), decoded(targets, text), strict=True)
        ]
        starts = [text.index(window) for window in windows]
        assert len(set(starts)) == len(starts)
        assert len({start % CONTEXT for start in starts}) == 1


@pytest.mark.parametrize("seed", range(3))
def test_held_out_windows_come_from_another_part_of_the_text(seed: int) -> None:
    text = numbered_text(200, seed)
    data = windows_of(text, 179, 19, seed)
    last = max(text.index(window) for window in decoded(data.targets, text))
    assert last + CONTEXT <= min(text.index(window) for window in decoded(data.valid_inputs, text))


def test_windows_are_a_function_of_text_and_seed() -> None:
    text = numbered_text(200)

    def same(one: TaskData, other: TaskData) -> bool:
        return np.array_equal(one.inputs, other.inputs)

    assert same(windows_of(text, 50, 10, 1), windows_of(text, 50, 10, 1))
    assert not same(windows_of(text, 50, 10, 1), windows_of(text, 50, 10, 2))


def test_rare_characters_share_the_last_class() -> None:
    alphabet = [chr(0x4E00 + i) for i in range(60)]
    weights = np.arange(60, 0, -1) ** 2.0
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(alphabet, 100_000, p=weights / weights.sum()))
    data = windows_of(text, 2_500, 200, 0)
    ranks = {name: i for i, (name, _) in enumerate(Counter(text[:90_000]).most_common())}
    rare = sum(rank >= VOCABULARY - 1 for rank in map(ranks.__getitem__, text)) / len(text)
    assert np.mean(data.inputs == VOCABULARY - 1) == pytest.approx(rare, rel=0.05)
    assert set(np.unique(data.inputs)) == set(range(VOCABULARY))
    assert data.n_outputs == VOCABULARY


def test_a_text_of_few_characters_leaves_classes_unused() -> None:
    data = windows_of("ab" * 2_000, 50, 5, 0)
    assert set(np.unique(data.inputs)) == {0, 1}
    np.testing.assert_array_equal(data.inputs + data.targets, 1)


@pytest.mark.parametrize(
    ("n_train", "n_valid", "message"),
    [
        (180, 19, "first nine tenths .* 180 windows.* or lower train_examples$"),
        (179, 20, "last tenth .* 20 windows.* or lower valid_examples$"),
    ],
)
def test_a_text_that_is_too_short_is_refused(n_train: int, n_valid: int, message: str) -> None:
    text = numbered_text(200)
    windows_of(text, 179, 19, 0)
    with pytest.raises(ValueError, match=message):
        windows_of(text, n_train, n_valid, 0)


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_without_a_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name a longer text"):
        windows_of(text, 1, 1, 0)


def test_a_text_of_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 2 distinct characters .* got 1; name another"):
        windows_of("a" * 4_000, 50, 5, 0)
    with pytest.raises(ValueError, match="at least 2 distinct characters"):
        windows_of("a" * 4_000 + "b", 50, 5, 0)  # the other one is held out


def test_the_text_of_python_is_long_enough_and_the_vocabulary_covers_it(settings_of: Build) -> None:
    settings = settings_of()
    task = settings.fixed.task
    data = CharLm().task_data(task, settings, load_text(), ROOT_SEED)
    assert data.inputs.shape == (settings.train_examples[task], CONTEXT)
    assert data.valid_targets.shape == (settings.valid_examples, CONTEXT)
    assert data.inputs.dtype == np.int64
    assert np.mean(data.inputs == VOCABULARY - 1) < 0.05


# Settings


def test_the_text_of_a_task_is_the_one_that_the_settings_name(settings_of: Build) -> None:
    settings = settings_of(
        tasks={"python_topics": 1, "novel": 1},
        texts={"python_topics": "", "novel": "/texts/novel.txt"},
        train_examples={"python_topics": 256, "novel": 512},
        epsilon={"python_topics": 2.0, "novel": 2.0},
    )
    assert CharLm().sources(settings) == {
        "python_topics": Source(name="text"),
        "novel": Source(name="text", path="/texts/novel.txt"),
    }
    assert CharLm().sources(replace(settings, tasks={"novel": 1.0})).keys() == {
        "python_topics",  # the fixed cohort's
        "novel",
    }


def test_architectures_have_the_shares_of_the_settings(settings_of: Build) -> None:
    plan = CharLm().plan(
        settings_of(runs=2_000, fixed_share=0.0, architectures={"1x16": 3, "2x32": 1}), ROOT_SEED
    )
    small = np.mean(np.array(plan["architecture"].to_pylist()) == "1x16")
    assert small == pytest.approx(0.75, abs=0.02)
    assert set(plan["activation"].to_pylist()) == {"relu"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"architectures": {"1x20": 1}}, "must be a multiple of 16"),
        ({"architectures": {"big": 1}}, "unknown architecture 'big'"),
        ({"architectures": {"1x16": 0}}, "not all 0"),
        ({"fixed": {"architecture": "1x"}}, "unknown architecture '1x'"),
        ({"fixed": {"activation": "gelu"}}, "unknown names .'gelu'. in fixed.activation"),
        ({"fixed": {"task": "novel"}}, "unknown names .'novel'. in fixed.task"),
        ({"train_examples": {"python_topics": 16, "novel": 16}}, "'novel'. in train_examples"),
        ({"epsilon": {"python_topics": 3.8, "novel": 3.8}}, "unknown names .'novel'. in epsilon"),
        (
            {"texts": {"python_topics": "", "novel": "/texts/novel.txt"}},
            "texts names files of .'novel'., which no run is trained on; give them a weight",
        ),
        ({"texts": {"novel": ""}}, "unknown names .'python_topics'. in tasks"),
        ({"valid_examples": 0}, "valid_examples must lie in"),
        ({"train_examples": {"python_topics": 250}}, "must be a multiple of batch size"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings_of: Build, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(**override)
