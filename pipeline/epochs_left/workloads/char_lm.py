"""The char_lm family: causal transformers of one or two layers on the characters of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from epochs_left.arrays import IntArray
from epochs_left.config import check_range
from epochs_left.seeding import Purpose, generator
from epochs_left.workloads import Source, TaskData, Tensor, workload
from epochs_left.workloads._limits import check_networks, check_unused
from epochs_left.workloads._networks import NetworkSettings, NetworkWorkload
from epochs_left.workloads._sweep import check_weights, choose

#: Characters of a window; a prediction sees those up to its own position.
CONTEXT = 32

#: Classes: the most frequent characters, and one for all others. In the text that ships with Python
#: the 47 cover 98 %. A multiple of 16, as matrix products like it.
VOCABULARY = 48

#: Features of an attention head.
HEAD_WIDTH = 16

#: Hidden units of a layer's perceptron for each feature (Vaswani et al. 2017, section 3.3).
EXPANSION = 4

MAX_LAYERS, MAX_WIDTH = 48, 1_024

#: Distinct characters of a text at least: with one there is nothing to predict.
MIN_DISTINCT = 2

ACTIVATION = "relu"  # as in Vaswani et al. 2017, eq. 2; gelu takes a tenth more time

_HELD_OUT = 0.1  # share of the text, its end, that the held-out windows come from
_WINDOWS_KEY = 4


@dataclass(frozen=True, kw_only=True)
class CharLmSettings(NetworkSettings):
    """The sweep of the char_lm family."""

    texts: Mapping[str, str]
    valid_examples: int
    architectures: Mapping[str, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("valid_examples", self.valid_examples, 1, 1_000_000)
        check_unused("texts", self.texts, self.used_tasks)
        check_weights("architectures", self.architectures, self.architectures)
        check_weights("fixed.activation", {self.fixed.activation: 1}, (ACTIVATION,))
        names = (*self.architectures, self.fixed.architecture)
        check_networks(self, ((name, CharLm().tensors(name)) for name in names))

    @property
    def known_tasks(self) -> Collection[str]:
        """The texts that have a name."""
        return self.texts


def layers_and_width(architecture: str) -> tuple[int, int]:
    """Return layers and features of ``"2x32"``.

    Raises
    ------
    ValueError
        For any other name, a width that heads of 16 features do not divide, or what is too large.
    """
    parts = [int(part) for part in architecture.split("x") if part.isdecimal()]
    if len(parts) != 2 or min(parts) < 1 or "x".join(map(str, parts)) != architecture:
        raise ValueError(f"unknown architecture {architecture!r}; expected e.g. 2x32")
    if parts[1] % HEAD_WIDTH:
        raise ValueError(
            f"the width of architecture {architecture!r} must be a multiple of {HEAD_WIDTH}"
        )
    if parts[0] > MAX_LAYERS or parts[1] > MAX_WIDTH:
        raise ValueError(
            f"architecture {architecture!r} must have at most {MAX_LAYERS} layers of at most "
            f"{MAX_WIDTH:,} features"
        )
    return parts[0], parts[1]


@workload
class CharLm(NetworkWorkload):
    """Plans and initialises the runs of the family."""

    name: ClassVar[str] = "char_lm"
    settings_type: ClassVar[type[CharLmSettings]] = CharLmSettings

    def draw_architecture(
        self, settings: CharLmSettings, task: str, point: tuple[float, float]
    ) -> tuple[str, str]:
        """Return layers and width, and the family's activation."""
        del task
        return choose(settings.architectures, point[0]), ACTIVATION

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return embeddings, the layers' tensors, the last norm and the output weights.

        Linear maps have no bias: what comes before them is a norm with a shift, or enters the
        residual stream. The output weights are not the token embeddings transposed: so the
        initialisation scheme sets the scale of the scores, and 1x16 stays below 6,000 parameters.
        """
        layers, width = layers_and_width(architecture)
        return (
            Tensor(name="token_embedding", shape=(VOCABULARY, width), kind="embedding"),
            Tensor(name="position_embedding", shape=(CONTEXT, width), kind="embedding"),
            *(
                tensor
                for layer in range(1, layers + 1)
                for tensor in _layer(f"layer{layer}", width)
            ),
            *_norm("norm", width),
            _linear("output.weight", width, VOCABULARY),
        )

    def sources(self, settings: CharLmSettings) -> Mapping[str, Source]:
        """Return the text of each task."""
        return {
            task: Source(name="text", path=settings.texts[task])
            for task in sorted(settings.used_tasks)
        }

    def task_data(
        self, task: str, settings: CharLmSettings, source: Any, root_seed: int
    ) -> TaskData:
        """Return the windows of a text; the target of a position is the character after it."""
        return windows_of(source, settings.train_examples[task], settings.valid_examples, root_seed)


def _layer(name: str, width: int) -> tuple[Tensor, ...]:
    hidden = EXPANSION * width
    return (
        *_norm(f"{name}.attention_norm", width),
        _linear(f"{name}.query_key_value.weight", width, 3 * width),
        _linear(f"{name}.projection.weight", width, width),
        *_norm(f"{name}.perceptron_norm", width),
        _linear(f"{name}.up.weight", width, hidden),
        _linear(f"{name}.down.weight", hidden, width),
    )


def _norm(name: str, width: int) -> tuple[Tensor, Tensor]:
    return (
        Tensor(name=f"{name}.gain", shape=(width,), kind="scale"),
        Tensor(name=f"{name}.shift", shape=(width,), kind="shift"),
    )


def _linear(name: str, n_in: int, n_out: int) -> Tensor:
    return Tensor(name=name, shape=(n_in, n_out), kind="weight", fan_in=n_in, fan_out=n_out)


def windows_of(text: str, n_train: int, n_valid: int, root_seed: int) -> TaskData:
    """Cut a text into windows of `CONTEXT` characters that do not overlap, and draw some of them.

    Training windows come from the first nine tenths, held-out ones from the rest. The vocabulary is
    that of the first part.

    Parameters
    ----------
    text
        Any text; what its characters mean does not matter.
    n_train, n_valid
        Windows to draw from each part.

    Returns
    -------
    Inputs and targets of shape ``(n, CONTEXT)``, int64.

    Raises
    ------
    ValueError
        If the text is too short, or is one character again and again.
    """
    border = len(text) - int(len(text) * _HELD_OUT)
    rng = generator(root_seed, _WINDOWS_KEY, Purpose.DATA)
    train = _drawn(text[:border], n_train, rng, ("first nine tenths", "train_examples"))
    valid = _drawn(text[border:], n_valid, rng, ("last tenth", "valid_examples"))
    classes = _vocabulary(text[:border])
    if len(classes) < MIN_DISTINCT:
        raise ValueError(
            f"expected at least {MIN_DISTINCT} distinct characters in the first nine tenths of the "
            f"text, got {len(classes)}; name another text"
        )
    tokens, valid_tokens = _encoded(train, classes), _encoded(valid, classes)
    return TaskData(
        loss="cross_entropy",
        inputs=tokens[:, :-1],
        targets=tokens[:, 1:],
        valid_inputs=valid_tokens[:, :-1],
        valid_targets=valid_tokens[:, 1:],
        n_outputs=VOCABULARY,
    )


def _drawn(part: str, n: int, rng: np.random.Generator, whence: tuple[str, str]) -> list[str]:
    """Draw windows, each with the character after its last.

    ``whence`` says which part of the text this is, and which setting asks for the windows.
    """
    available = (len(part) - 1) // CONTEXT
    if available < n:
        raise ValueError(
            f"expected at least {n * CONTEXT + 1:,} characters in the {whence[0]} of the text for "
            f"{n} windows, got {len(part):,}; name a longer text or lower {whence[1]}"
        )
    starts = rng.permutation(available)[:n] * CONTEXT
    return [part[start : start + CONTEXT + 1] for start in starts]


def _vocabulary(text: str) -> dict[str, int]:
    """Return the class of each of the most frequent characters; ties go by code point."""
    ranked = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    return {character: i for i, (character, _) in enumerate(ranked[: VOCABULARY - 1])}


def _encoded(windows: list[str], classes: Mapping[str, int]) -> IntArray:
    other = VOCABULARY - 1
    tokens = [[classes.get(character, other) for character in window] for window in windows]
    return np.array(tokens, dtype=np.int64)
