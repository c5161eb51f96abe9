"""What a bundle is asked about a log, and what deserves a warning then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from epochs_left.cli.messages import Messages
from epochs_left.errors import ModelError, UsageError
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.histories import At
from epochs_left.prediction.layout import ColumnChoice, OnBad
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.storage.bundle_choice import bundle_folder, goal_of
from epochs_left.storage.bundles import Bundle, load_bundle
from epochs_left.storage.formats import PIPE

#: What a log is called that comes through a pipe.
_STDIN = "stdin"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What `predict` and `explain` are asked alike; the options, checked."""

    source: str
    model: str | None
    target: float | None
    plateau: float | None
    horizon: int | None
    at: At
    level: float
    on_bad: OnBad
    columns: ColumnChoice
    strict: bool
    messages: Messages

    @property
    def name(self) -> str:
        """What the log is called in messages."""
        return _STDIN if self.source == PIPE else self.source

    @property
    def default_run(self) -> str:
        """Name of the run of a log that names none."""
        return _STDIN if self.source == PIPE else Path(self.source).stem

    def loaded(self) -> tuple[Bundle, Predictor, Aim]:
        """Return the bundle, its predictor and what it is asked for, with warnings about them."""
        bundle = load_bundle(bundle_folder(self.model, goal_of(self.plateau)))
        predictor = predictor_of(bundle, level=self.level, jobs=1)
        aim = aim_for(predictor, self.target, self.plateau, self.horizon)
        self.messages.warn_all(about_model(predictor, aim, self.level), strict=self.strict)
        return bundle, predictor, aim


def aim_for(
    predictor: Predictor, target: float | None, plateau: float | None, horizon: int | None
) -> Aim:
    """Return what is asked for: the target or plateau that is named, or the bundle's own target.

    Raises
    ------
    ModelError
        If a plateau is asked for and the bundle was not trained on any, or a loss of one that was
        trained on nothing else.
    UsageError
        If nothing is asked for and the bundle has no target of its own.
    """
    manifest = predictor.manifest
    if plateau is not None and not manifest.of_plateaus:
        raise ModelError(
            f"bundle {manifest.bundle_id} was not trained on plateaus; pass --target LOSS, or "
            "another bundle with -m"
        )
    if target is not None and manifest.of_plateaus:
        raise ModelError(
            f"bundle {manifest.bundle_id} was trained on plateaus alone; pass --plateau SHARE "
            "--horizon EPOCHS, or another bundle with -m"
        )
    if plateau is None and target is None:
        if manifest.target is None:
            plateau_alone = "" if manifest.of_plateaus else "--target LOSS, or "
            raise UsageError(
                f"bundle {manifest.bundle_id} has no target of its own; pass {plateau_alone}"
                "--plateau SHARE --horizon EPOCHS"
            )
        target = manifest.target
    return Aim(target=target, plateau=plateau, horizon=horizon)


def about_model(predictor: Predictor, aim: Aim, level: float) -> list[str]:
    """Return a sentence for each thing about a bundle that makes its answers worse."""
    manifest, found = predictor.manifest, []
    if manifest.target is not None and aim.target not in {None, manifest.target}:
        found.append(
            f"target {aim.target:g}, while {manifest.bundle_id} was trained for "
            f"{manifest.target:g}: expect larger errors"
        )
    if all(any(map(math.isinf, offsets)) for offsets in predictor.offsets.values()):
        found.append(
            f"{manifest.bundle_id} supports no finite interval at level {level:g}: lower is 0 and "
            "upper is empty; pass a lower --level"
        )
    return found
