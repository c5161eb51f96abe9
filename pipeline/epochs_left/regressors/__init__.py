"""Regressors: one file each, found by name.

A regressor is a function from a random seed to an unfitted scikit-learn estimator, with the scale
on which it is fitted (`statistics.scales`). Every transform sits inside the estimator's pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sklearn.base import RegressorMixin

from epochs_left.registry import Registry
from epochs_left.schema import View

Build = Callable[[int], RegressorMixin]

#: The stage that fits all baselines, and the folder that it writes.
BASELINES = "baselines"


@dataclass(frozen=True, kw_only=True)
class RegressorSpec:
    """How to build one regressor, and what it is fitted on."""

    name: str
    title: str
    scale: str
    columns: tuple[str, ...] | None
    baseline: bool
    build: Build

    @property
    def views(self) -> tuple[View, ...]:
        """The views that it is fitted in; baselines know nothing of the end."""
        return (View.CAUSAL,) if self.baseline else tuple(View)

    @property
    def folder(self) -> Path:
        """Where its bundles and predictions lie, below ``models``."""
        return Path(BASELINES, self.name) if self.baseline else Path(self.name)


REGRESSORS: Registry[RegressorSpec] = Registry("regressor", __name__)


def regressor(
    *,
    title: str,
    scale: str,
    columns: tuple[str, ...] | None = None,
    baseline: bool = False,
) -> Callable[[Build], Build]:
    """Register a function ``(random_state) -> estimator`` under the function's name.

    Parameters
    ----------
    title
        Name in tables and figures.
    scale
        Scale of the target that the estimator sees, a key of `statistics.scales.SCALES`.
    columns
        The only features that the estimator is given, in this order; None for all of the view.
    baseline
        True for what every model has to beat.
    """

    def register(build: Build) -> Build:
        name = str(build.__name__)
        spec = RegressorSpec(
            name=name,
            title=title,
            scale=scale,
            columns=columns,
            baseline=baseline,
            build=build,
        )
        REGRESSORS.add(name, spec)
        return build

    return register
