"""Feature groups: one file each, found by name, tagged with the view they belong to.

A group is one function. Its argument names say which inputs it needs (`trajectories.INPUTS`); it
returns one array of shape ``(R, E)`` (or one that broadcasts to it) for every feature in ``units``.
A causal group computes the value at epoch t from epochs 0..t alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.registry import Registry
from epochs_left.schema import View
from epochs_left.trajectories import (
    INPUTS,
    MAY_BE_MISSING,
    ORACLE_INPUTS,
    STATE_INPUTS,
    Trajectories,
)

#: What a feature that overflows is set to; float32 holds its square root's square.
FINITE_LIMIT = 1e30

Compute = Callable[..., Mapping[str, FloatArray]]


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """A function that computes one or more features of every epoch."""

    name: str
    view: View
    units: Mapping[str, str]
    requires: tuple[str, ...]
    compute: Compute
    summary: str
    baseline: bool

    @property
    def probed(self) -> bool:
        """Whether it needs the model and its data at a state, which no log has."""
        return bool(STATE_INPUTS.keys() & set(self.requires))


FEATURE_GROUPS: Registry[FeatureGroup] = Registry("feature group", __name__)


def feature_group(
    *, view: View, units: Mapping[str, str], baseline: bool = False
) -> Callable[[Compute], Compute]:
    """Register a function as a feature group under the function's name.

    Parameters
    ----------
    view
        ``View.CAUSAL`` groups may not ask for an input of the oracle view (ValueError).
    units
        Unit of each feature that the function returns, by feature name.
    baseline
        True for what only a baseline regressor may be given, which asks for it by name.
    """

    def register(compute: Compute) -> Compute:
        name = str(compute.__name__)
        requires = tuple(inspect.signature(compute).parameters)
        unknown = sorted(set(requires) - set(INPUTS))
        if unknown:
            raise ValueError(f"feature group {name!r} asks for unknown inputs {unknown}")
        if view is View.CAUSAL and ORACLE_INPUTS & set(requires):
            raise ValueError(f"causal feature group {name!r} asks for oracle inputs")
        summary = (inspect.getdoc(compute) or "").partition("\n")[0]
        group = FeatureGroup(
            name=name,
            view=view,
            units=dict(units),
            requires=requires,
            compute=compute,
            summary=summary,
            baseline=baseline,
        )
        FEATURE_GROUPS.add(name, group)
        return compute

    return register


def groups_of_view(view: View, wanted: str | Iterable[str] = "all") -> list[FeatureGroup]:
    """Return the groups that a view may use: causal ones for both, oracle ones for oracle alone."""
    groups = [group for _, group in FEATURE_GROUPS.select(wanted)]
    return [group for group in groups if group.view is View.CAUSAL or view is View.ORACLE]


def compute_features(
    runs: Trajectories,
    groups: Iterable[FeatureGroup],
    *,
    names: Iterable[str] | None = None,
    cells: IntArray | None = None,
) -> dict[str, FloatArray]:
    """Compute the features of ``groups`` for a block of runs.

    Parameters
    ----------
    names
        Features that are wanted; None: all.
    cells
        Positions ``run * E + epoch`` of the cells that are wanted, shape ``(n,)``; None: all.

    Returns
    -------
    float32 arrays of shape ``(R, E)``, or ``(n,)`` for cells, by feature name: NaN in the padding
    and where a required input was not measured, finite elsewhere (a value that overflows is
    +-``FINITE_LIMIT``).

    Raises
    ------
    ValueError
        If a group returns other features than it declares.
    """
    padding = ~runs.observed
    wanted = None if names is None else set(names)
    features: dict[str, FloatArray] = {}
    for group in groups:
        if wanted is not None and not wanted & group.units.keys():
            continue
        values = _values(group, runs)
        if wanted is not None:
            values = {name: column for name, column in values.items() if name in wanted}
        hidden = padding | _missing(group, runs)
        features |= _whole(values, hidden) if cells is None else _at(cells, values, hidden)
    return features


def _whole(values: Mapping[str, FloatArray], hidden: BoolArray) -> dict[str, FloatArray]:
    """Return features of all cells, NaN where ``hidden``, shape ``(R, E)``."""
    is_hidden = hidden.any()
    features = {}
    for name, column in values.items():
        features[name] = np.broadcast_to(_finite(column), hidden.shape).astype(np.float32)
        if is_hidden:
            features[name][hidden] = np.nan
    return features


def _at(
    cells: IntArray, values: Mapping[str, FloatArray], hidden: BoolArray
) -> dict[str, FloatArray]:
    """Return features of some cells, all at once: cells may be few, and then it is calls that cost.

    As `_whole` otherwise.
    """
    shape = hidden.shape
    taken = np.array(
        [
            (column if column.shape == shape else np.broadcast_to(column, shape)).take(cells)
            for column in values.values()
        ]
    )
    columns = _finite(taken).astype(np.float32)
    columns[:, hidden.take(cells)] = np.nan
    return dict(zip(values, columns, strict=True))


def _missing(group: FeatureGroup, runs: Trajectories) -> BoolArray:
    """Return the cells at which an input of the group is not known, shape ``(R, E)`` or less."""
    found = np.array([[not runs.inputs.keys() >= set(group.requires)]])
    for name in MAY_BE_MISSING & set(group.requires) & runs.inputs.keys():
        unknown = np.isnan(runs.inputs[name])
        found = found | (unknown if unknown.ndim == 2 else unknown.any(axis=2))
    return found


def _values(group: FeatureGroup, runs: Trajectories) -> Mapping[str, FloatArray]:
    if any(name not in runs.inputs for name in group.requires):
        return {name: np.full((1, 1), np.nan) for name in group.units}
    # Padding is NaN and diverged runs overflow: both are dealt with above, once for all groups.
    with np.errstate(all="ignore"):
        values = group.compute(**{name: runs.inputs[name] for name in group.requires})
    if set(values) != set(group.units):
        odd = sorted(set(values) ^ set(group.units))
        raise ValueError(f"feature group {group.name!r} does not return what it declares: {odd}")
    return values


def _finite(values: FloatArray) -> FloatArray:
    """Return the values within +-`FINITE_LIMIT`, which NaN counts as."""
    bounded: FloatArray = np.maximum(np.fmin(values, FINITE_LIMIT), -FINITE_LIMIT)
    return bounded
