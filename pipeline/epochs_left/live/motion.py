"""How far a model has moved between two looks at it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from epochs_left.arrays import FloatArray, IntArray

#: Parameters that are looked at; of a larger model a sample, the same each time.
MAX_PARAMS = 2**17
_SEED = 0


class Model(Protocol):
    """What is measured: a ``torch.nn.Module``, or anything with such parameters."""

    def parameters(self) -> Iterable[Any]:
        """Return tensors that have ``numel()``, ``detach()`` and ``reshape()``."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What one look says.

    Attributes
    ----------
    update_norm
        L2 distance from the look before; 0 at the first one, NaN where that was taken back.
    path_length
        Sum of the update norms.
    distance_from_init
        L2 distance from the first look.
    param_norm
        L2 norm of the parameters.
    n_params
        Parameters of the model.
    """

    update_norm: float
    path_length: float
    distance_from_init: float
    param_norm: float
    n_params: int


class Motion:
    """Looks at a model from time to time; keeps its first parameters and the last ones.

    Norms are summed in float64 over float32 snapshots. Of a model with more than `MAX_PARAMS`
    parameters so many are looked at, drawn once with a fixed seed and without replacement, and
    norms are multiplied by the root of how many each stands for: an estimate, whose error is that
    of the mean square of a sample.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._picks: list[Any] = []
        self._start: FloatArray | None = None
        self._last: FloatArray | None = None
        self._path = 0.0

    def look(self, model: Model) -> Moved:
        """Measure a model.

        Raises
        ------
        TypeError
            If it has no parameters.
        ValueError
            If their number is not what it was.
        """
        now = self._snapshot(model)
        start = now if self._start is None else self._start
        update = 0.0 if self._start is None else np.nan
        if self._last is not None:
            update = self._norm(now - self._last)
        self._start, self._last = start, now
        self._path += np.nan_to_num(update)
        return Moved(
            update_norm=update,
            path_length=self._path,
            distance_from_init=self._norm(now - start),
            param_norm=self._norm(now),
            n_params=self.n_params,
        )

    def resume(self, path_length: float) -> None:
        """Take back the looks since the path was ``path_length`` long, NaN for all of them.

        How far the next look is from the one before it is not known then: nobody kept that.
        """
        self._last, self._path = None, 0.0 if np.isnan(path_length) else path_length

    @property
    def n_params(self) -> int:
        """Parameters of the model, 0 before the first look."""
        return sum(self._sizes)

    def state(self) -> dict[str, Any] | None:
        """Return everything for JSON, snapshots in base 64; None before the first look."""
        if self._start is None:
            return None
        snapshots = {"start": self._start, "last": self._last}
        texts = {
            name: None if snapshot is None else base64.b64encode(snapshot.tobytes()).decode()
            for name, snapshot in snapshots.items()
        }
        return {"sizes": self._sizes, "path_length": self._path, **texts}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state, before the first look; ValueError if it is none."""
        if state is None:
            return
        self._sizes, self._path = list(map(int, state["sizes"])), float(state["path_length"])
        texts = [state["start"], *([] if state["last"] is None else [state["last"]])]
        snapshots = [np.frombuffer(base64.b64decode(text), dtype=np.float32) for text in texts]
        if {snapshot.size for snapshot in snapshots} != {min(sum(self._sizes), MAX_PARAMS)}:
            raise ValueError("snapshots of another length than the model")
        self._start = snapshots[0]
        self._last = snapshots[1] if len(snapshots) > 1 else None

    def _snapshot(self, model: Model) -> FloatArray:
        if not callable(getattr(model, "parameters", None)):
            raise TypeError(
                f"model: expected one with parameters(), such as a torch.nn.Module, got "
                f"{type(model).__name__}"
            )
        tensors = list(model.parameters())
        sizes = [int(tensor.numel()) for tensor in tensors]
        if self._sizes and sizes != self._sizes:
            raise ValueError(
                f"model: expected {sum(self._sizes):,} parameters in {len(self._sizes)} tensors as "
                f"before, got {sum(sizes):,} in {len(sizes)}; use one tracker a model"
            )
        if not self._picks:
            self._sizes, self._picks = sizes, _indices(sizes, tensors)
        return _flat(tensors, self._picks)

    def _norm(self, vector: FloatArray) -> float:
        scale = self.n_params / max(vector.size, 1)
        exact = vector.astype(np.float64)
        return float(np.sqrt(scale * np.dot(exact, exact)))


def sample_of(n_params: int) -> IntArray:
    """Return the parameters that are looked at in a model of ``n_params``, ascending."""
    if n_params <= MAX_PARAMS:
        return np.arange(n_params)
    return np.sort(np.random.default_rng(_SEED).choice(n_params, MAX_PARAMS, replace=False))


def _indices(sizes: Sequence[int], tensors: Sequence[Any]) -> list[Any]:
    """Return which elements of each tensor are looked at, on its device; None for all of them."""
    if sum(sizes) <= MAX_PARAMS:
        return [None] * len(sizes)
    import torch  # noqa: PLC0415 - only where there is a model

    ends = np.cumsum(sizes)
    parts = np.split(sample_of(int(ends[-1])), np.searchsorted(sample_of(int(ends[-1])), ends[:-1]))
    return [
        torch.as_tensor(part - (end - size), device=tensor.device)
        for part, end, size, tensor in zip(parts, ends, sizes, tensors, strict=True)
    ]


def _flat(tensors: Sequence[Any], picks: Sequence[Any]) -> FloatArray:
    """Return the elements that are looked at as one vector, float32, a copy."""
    parts = [
        _picked(tensor.detach().reshape(-1), pick)
        for tensor, pick in zip(tensors, picks, strict=True)
    ]
    return np.concatenate([*parts, np.empty(0, dtype=np.float32)])


def _picked(flat: Any, pick: Any) -> FloatArray:
    chosen = flat if pick is None else flat[pick]
    found: FloatArray = chosen.float().cpu().numpy()
    return found
