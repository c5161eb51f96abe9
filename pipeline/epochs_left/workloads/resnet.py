"""The resnet family: ResNets of eight layers on small images.

He et al. 2016, section 4.2, with one block a stage and projection shortcuts: three stages of widths
w, 2w and 4w, then average pooling and a linear layer. At width 4, 5,094 parameters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from epochs_left.workloads import Source, TaskData, Tensor, workload
from epochs_left.workloads._limits import check_networks, check_unused
from epochs_left.workloads._networks import NetworkSettings, NetworkWorkload
from epochs_left.workloads._sweep import check_names, check_weights, choose
from epochs_left.workloads._tasks import from_dataset

#: Channels of the images of each task; all have ten classes.
TASKS: dict[str, int] = {"digits": 1, "mnist": 1, "cifar10": 3}
N_CLASSES = 10
NORMS = ("bn", "gn")
MAX_WIDTH = 512

#: Images have as many rows and columns at least: the last of three stages has a quarter of them,
#: and of a single place most taps of a kernel would see nothing.
MIN_SIDE = 8

#: Data sets that come in local files; they have a test split.
_IN_FILES = {"mnist", "cifar10"}
_PREFIX, _COLOUR = "resnet8", "rgb"


@dataclass(frozen=True, kw_only=True)
class ResNetSettings(NetworkSettings):
    """The sweep of the resnet family."""

    widths: Mapping[str, float]
    norms: Mapping[str, float]
    paths: Mapping[str, str]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights("norms", self.norms, NORMS)
        check_weights("widths", self.widths, self.widths)
        check_weights("fixed.activation", {self.fixed.activation: 1}, ("relu",))
        check_names("paths", self.paths, _IN_FILES)
        check_unused("paths", self.paths, self.used_tasks)
        if shape_of(self.fixed.architecture).channels != TASKS[self.fixed.task]:
            raise ValueError(
                f"fixed.architecture must take {TASKS[self.fixed.task]} channels for "
                f"{self.fixed.task}, got {self.fixed.architecture}"
            )
        check_networks(self, ((name, ResNet().tensors(name)) for name in self._architectures()))

    @property
    def known_tasks(self) -> Collection[str]:
        """Digits, MNIST, CIFAR-10."""
        return TASKS

    def _architectures(self) -> Iterator[str]:
        """Yield every architecture that a run may have."""
        yield self.fixed.architecture
        for task in self.tasks:
            yield from (architecture_of(task, w, norm) for w in self.widths for norm in self.norms)


@dataclass(frozen=True)
class Shape:
    """Width, normalisation and input channels of one architecture."""

    width: int
    norm: str
    channels: int

    @property
    def stages(self) -> Iterator[tuple[int, int, int]]:
        """Yield (input channels, output channels, stride) of each stage's block."""
        w = self.width
        yield from ((w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2))


def architecture_of(task: str, width: str, norm: str) -> str:
    """Return the name of a ResNet for a task."""
    colour = f"-{_COLOUR}" if TASKS[task] == 3 else ""
    return f"{_PREFIX}-w{width}-{norm}{colour}"


def shape_of(architecture: str) -> Shape:
    """Return the shape of ``"resnet8-w4-bn"``, with ``"-rgb"`` for colour images.

    Raises
    ------
    ValueError
        For any other name, or a width that group normalisation cannot halve.
    """
    prefix, *parts = architecture.split("-")
    colour = len(parts) == 3 and parts[2] == _COLOUR
    known = prefix == _PREFIX and (len(parts) == 2 or colour) and parts[0][:1] == "w"
    if not known or not parts[0][1:].isdecimal() or parts[1] not in NORMS:
        raise ValueError(f"unknown architecture {architecture!r}; expected e.g. resnet8-w4-bn")
    width = int(parts[0][1:])
    if width % 2 or not 2 <= width <= MAX_WIDTH:
        raise ValueError(
            f"the width must be an even number from 2 to {MAX_WIDTH}, got {width} in {architecture}"
        )
    return Shape(width, parts[1], 3 if colour else 1)


@workload
class ResNet(NetworkWorkload):
    """Plans and initialises the runs of the family."""

    name: ClassVar[str] = "resnet"
    settings_type: ClassVar[type[ResNetSettings]] = ResNetSettings

    def draw_architecture(
        self, settings: ResNetSettings, task: str, point: tuple[float, float]
    ) -> tuple[str, str]:
        """Return width and normalisation; the activation is always ReLU."""
        width, norm = choose(settings.widths, point[0]), choose(settings.norms, point[1])
        return architecture_of(task, width, norm), "relu"

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return convolutions (outputs, inputs, rows, columns), normalisations and the classifier.

        The order is that of the forward pass; a block's shortcut comes last.
        """
        shape = shape_of(architecture)
        found = [*_convolution("stem", shape.channels, shape.width, 3)]
        for number, (n_in, n_out, stride) in enumerate(shape.stages, start=1):
            found += _convolution(f"stage{number}.conv1", n_in, n_out, 3)
            found += _convolution(f"stage{number}.conv2", n_out, n_out, 3)
            if stride > 1:
                # without a normalisation of its own: the block's output is normalised by conv2's
                found += _convolution(f"stage{number}.shortcut", n_in, n_out, 1)[:1]
        n_in = 4 * shape.width
        found += [
            Tensor(
                name="linear.weight",
                shape=(n_in, N_CLASSES),
                kind="weight",
                fan_in=n_in,
                fan_out=N_CLASSES,
            ),
            Tensor(name="linear.bias", shape=(N_CLASSES,), kind="bias"),
        ]
        return tuple(found)

    def sources(self, settings: ResNetSettings) -> Mapping[str, Source]:
        """Return scikit-learn's digits, or a local copy of MNIST or CIFAR-10.

        Of a local copy no more is read than the first images that a task wants.
        """
        return {
            task: Source(
                name=task,
                path=settings.paths.get(task, ""),
                limit=settings.train_examples[task] if task in _IN_FILES else 0,
            )
            for task in sorted(settings.used_tasks)
        }

    def task_data(
        self, task: str, settings: ResNetSettings, source: Any, root_seed: int
    ) -> TaskData:
        """Return the images of a task; ValueError if they are too few or too small."""
        data = from_dataset(source, settings.train_examples[task], root_seed, flat=False)
        side = min(data.inputs.shape[2:])
        if side < MIN_SIDE:
            raise ValueError(
                f"expected images of at least {MIN_SIDE} x {MIN_SIDE} pixels, got a side of "
                f"{side}; take another data set"
            )
        return data


def _convolution(name: str, n_in: int, n_out: int, size: int) -> list[Tensor]:
    """Return the kernel and the normalisation after it."""
    return [
        Tensor(
            name=f"{name}.weight",
            shape=(n_out, n_in, size, size),
            kind="kernel",
            fan_in=n_in * size * size,
            fan_out=n_out,
        ),
        Tensor(name=f"{name}.norm.scale", shape=(n_out,), kind="scale"),
        Tensor(name=f"{name}.norm.shift", shape=(n_out,), kind="shift"),
    ]
