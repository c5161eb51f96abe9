"""Regressors: one file each, found by name; a subpackage is a kind, and a stage of the pipeline.

A regressor is a function from a random seed to an unfitted scikit-learn estimator, with the scale
on which it is fitted (`statistics.scales`). Every transform sits inside the estimator's pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.base import RegressorMixin

from epochs_left.registry import Registry
from epochs_left.regressors._tuning import Settings, Tuned
from epochs_left.schema import View

Build = Callable[[int], RegressorMixin]

#: The kind of regressors that every model has to beat.
BASELINES = "baselines"


@dataclass(frozen=True, kw_only=True)
class RegressorSpec:
    """How to build one regressor, and what it is fitted on.

    Attributes
    ----------
    kind
        Name of the subpackage that it lies in.
    views
        The views that it is fitted in; baselines know nothing of the end.
    build
        Makes the estimator with settings that are good in general.
    candidates
        Settings that `tuned` chooses from; none if there is nothing to choose.
    cheaper
        Settings under which it compares them.
    censored
        Whether it learns from censored rows too: it is then fitted with ``fit_weighted(...,
        upper=upper)`` on rows of runs that did not converge as well, ``y`` the epochs that are
        known to remain at least and ``upper`` infinite.
    adaptive
        Whether its intervals are learnt to be as wide as a row is hard; else they are the same for
        every row. A fit a fold: worth it for what people use.
    """

    name: str
    kind: str
    title: str
    scale: str
    columns: tuple[str, ...] | None
    views: tuple[View, ...]
    build: Build
    candidates: tuple[Settings, ...] = ()
    cheaper: Settings | None = None
    censored: bool = False
    adaptive: bool = False

    def tuned(self, random_state: int) -> RegressorMixin:
        """Return the unfitted estimator that chooses its settings inside the training rows."""
        estimator = self.build(random_state)
        if not self.candidates:
            return estimator
        return Tuned(estimator, self.candidates, self.cheaper, log=self.scale == "epochs")

    def settled(self, candidate: int) -> RegressorSpec:
        """Return the same with one of its candidates alone, so that nothing is left to choose."""
        return replace(self, candidates=self.candidates[candidate : candidate + 1])

    @property
    def baseline(self) -> bool:
        """Whether it is something that every model has to beat."""
        return self.kind == BASELINES

    @property
    def folder(self) -> Path:
        """Where its bundles and predictions lie, below ``models``."""
        return Path(self.kind, self.name)


REGRESSORS: Registry[RegressorSpec] = Registry("regressor", __name__)


def regressor(
    *,
    title: str,
    scale: str,
    columns: tuple[str, ...] | None = None,
    views: Sequence[View] = tuple(View),
    candidates: Sequence[Settings] = (),
    cheaper: Settings | None = None,
    censored: bool = False,
    adaptive: bool = False,
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
    views
        Views that it is fitted in; of a baseline the causal one alone.
    candidates
        Settings, as for ``set_params``, that nested tuning chooses from; the first one is taken
        unless another is clearly better.
    cheaper
        Settings that make a fit cheap while the candidates are compared.
    censored
        Whether the estimator's ``fit`` takes upper bounds of the targets.
    adaptive
        Whether its intervals depend on the row.
    """

    def register(build: Build) -> Build:
        name, kind = str(build.__name__), build.__module__.rsplit(".", 2)[-2]
        spec = RegressorSpec(
            name=name,
            kind=kind,
            title=title,
            scale=scale,
            columns=columns,
            views=(View.CAUSAL,) if kind == BASELINES else tuple(views),
            build=build,
            candidates=tuple(candidates),
            cheaper=cheaper,
            censored=censored,
            adaptive=adaptive,
        )
        REGRESSORS.add(name, spec)
        return build

    return register
