"""The mlp family: multilayer perceptrons of depth 1-4 on five small tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from epochs_left.workloads import Source, TaskData, Tensor, workload
from epochs_left.workloads._limits import check_networks
from epochs_left.workloads._networks import NetworkSettings, NetworkWorkload
from epochs_left.workloads._sweep import check_names, check_weights, choose
from epochs_left.workloads._tasks import from_dataset, two_moons, xor_with_noise

#: Inputs and outputs of each task.
TASKS: dict[str, tuple[int, int]] = {
    "xor_noise": (2, 1),
    "two_moons": (2, 1),
    "digits": (64, 10),
    "breast_cancer": (30, 1),
    "diabetes": (10, 1),
}
_GENERATED = {"xor_noise": xor_with_noise, "two_moons": two_moons}

ACTIVATIONS = ("relu", "tanh", "gelu", "abs")

MAX_WIDTH = 4_096


@dataclass(frozen=True, kw_only=True)
class MlpSettings(NetworkSettings):
    """The sweep of the mlp family."""

    widths: Mapping[str, int]
    depths: Mapping[str, float]
    activations: Mapping[str, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights("activations", self.activations, ACTIVATIONS)
        check_weights("depths", self.depths, ("1", "2", "3", "4"))
        check_weights("fixed.activation", {self.fixed.activation: 1}, ACTIVATIONS)
        check_names("widths", self.widths, TASKS)
        missing = sorted(set(self.tasks) - set(self.widths))
        if missing:
            raise ValueError(f"widths lacks the tasks {missing}; add them")
        sizes = layer_sizes(self.fixed.architecture)
        if (sizes[0], sizes[-1]) != TASKS[self.fixed.task]:
            raise ValueError(
                f"fixed.architecture must have {TASKS[self.fixed.task]} inputs and outputs for "
                f"{self.fixed.task}, got {self.fixed.architecture}"
            )
        check_networks(self, ((name, Mlp().tensors(name)) for name in self._architectures()))

    @property
    def known_tasks(self) -> Collection[str]:
        """The five tasks."""
        return TASKS

    def _architectures(self) -> Iterator[str]:
        """Yield every architecture that a run may have."""
        yield self.fixed.architecture
        for task, width in self.widths.items():
            yield from (architecture_of(task, width, int(depth)) for depth in self.depths)


def architecture_of(task: str, width: int, depth: int) -> str:
    """Return the name of a perceptron for a task, all hidden layers of one width."""
    n_in, n_out = TASKS[task]
    return "-".join(map(str, [n_in, *[width] * depth, n_out]))


def layer_sizes(architecture: str) -> list[int]:
    """Return the units of each layer of ``"64-32-32-10"``, inputs first.

    Raises
    ------
    ValueError
        For any other name, or a hidden width that lanes cannot have.
    """
    sizes = [int(part) for part in architecture.split("-") if part.isdecimal()]
    if len(sizes) < 2 or min(sizes) < 1 or "-".join(map(str, sizes)) != architecture:
        raise ValueError(f"unknown architecture {architecture!r}; expected e.g. 64-32-32-10")
    for width in sizes[1:-1]:
        if width % 4 or width > MAX_WIDTH:
            raise ValueError(
                f"hidden widths must be multiples of 4 up to {MAX_WIDTH:,} (matrix products of "
                f"others round by where in memory a lane begins), got {width} in {architecture}"
            )
    return sizes


@workload
class Mlp(NetworkWorkload):
    """Plans and initialises the runs of the family."""

    name: ClassVar[str] = "mlp"
    settings_type: ClassVar[type[MlpSettings]] = MlpSettings

    def draw_architecture(
        self, settings: MlpSettings, task: str, point: tuple[float, float]
    ) -> tuple[str, str]:
        """Return layer sizes and activation; all hidden layers have the task's width."""
        depth = int(choose(settings.depths, point[0]))
        name = architecture_of(task, settings.widths[task], depth)
        return name, choose(settings.activations, point[1])

    def tensors(self, architecture: str) -> tuple[Tensor, ...]:
        """Return weight (inputs, outputs) and bias of each layer."""
        return tuple(
            tensor
            for number, (n_in, n_out) in enumerate(pairwise(layer_sizes(architecture)), start=1)
            for tensor in (
                Tensor(
                    name=f"layer{number}.weight",
                    shape=(n_in, n_out),
                    kind="weight",
                    fan_in=n_in,
                    fan_out=n_out,
                ),
                Tensor(name=f"layer{number}.bias", shape=(n_out,), kind="bias"),
            )
        )

    def sources(self, settings: MlpSettings) -> Mapping[str, Source]:
        """Return scikit-learn's bundled data sets."""
        used = settings.used_tasks - set(_GENERATED)
        return {task: Source(name=task) for task in TASKS if task in used}

    def task_data(self, task: str, settings: MlpSettings, source: Any, root_seed: int) -> TaskData:
        """Return the examples of a task."""
        n_train = settings.train_examples[task]
        if task in _GENERATED:
            return _GENERATED[task](n_train, root_seed)
        return from_dataset(source, n_train, root_seed, flat=True)
