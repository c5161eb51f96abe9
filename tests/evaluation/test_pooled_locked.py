"""The predictors for all families on locked runs: each is asked for its own kind of goal."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.pooled_locked import pooled_locked
from epochs_left.prediction.plateaus import PLAN_FEATURES, RATES
from epochs_left.prediction.pool import LANDMARK
from epochs_left.prediction.predictor import Predictor
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.scales import SCALES, interval_scale
from epochs_left.storage.bundle_choice import PLATEAU, THRESHOLD
from epochs_left.storage.manifests import BundleManifest, ResidualQuantiles

planted = runpy.run_path(str(Path(__file__).parent / "planted.py"))
KINDS = {"epsilon": THRESHOLD, "threshold": THRESHOLD, "plateau": PLATEAU}
SCALE_OF = {THRESHOLD: "log_ratio", PLATEAU: "share_ahead"}
#: What rows are answered from, by goal: those of a plateau also without the schedule ahead.
KNOWN = {THRESHOLD: ("all", "loss_only"), PLATEAU: ("all", RATES, "loss_only")}
#: A feature that only a stated schedule tells.
AHEAD = "log_clock_ahead"
RUNS = 60
EPOCHS = np.array([0, 4, LANDMARK, 25])
#: Half widths of the intervals on the log(1 + R) scale, by what is known.
WIDTHS = {"all": 0.1, "loss_only": 0.6}


def predictor(goal: str) -> Predictor:
    """Return one that says the feature of its name: on its scale, and blurred, of the loss.

    Without the schedule ahead it says half a unit more.
    """
    scale = SCALE_OF[goal]
    quantiles = {
        name: ResidualQuantiles(levels=(0.9,), lower=(-width,), upper=(width,))
        for name, width in WIDTHS.items()
    }
    manifest = BundleManifest(
        **dict.fromkeys(BundleManifest.__dataclass_fields__, ())
        | {"features": (scale, f"{scale} blurred", "hint", AHEAD), "residual_quantiles": quantiles}
        | {"vocabulary": {}}
    )
    return Predictor(
        manifest=manifest,
        groups=(),
        scale=SCALES[scale],
        time={
            "all": lambda X: X[:, 0].astype(float) + 0.5 * np.isnan(X[:, 3]),
            "loss_only": lambda X: X[:, 1].astype(float),
        },
        converges={"all": lambda X: X[:, 2], "loss_only": lambda X: np.full(len(X), 0.5)},
        quantiles=None,
        novelty=None,
        offsets={name: (-width, width) for name, width in WIDTHS.items()},
    )


def examples(seed: int, *, noise: float = 0.0) -> pd.DataFrame:
    """Draw locked runs towards each kind of goal, with a twin of each that is not locked."""
    rng = np.random.default_rng(seed)
    parts = []
    for kind, goal in KINDS.items():
        run, epoch = np.repeat(np.arange(RUNS), EPOCHS.size), np.tile(EPOCHS, RUNS)
        horizon = rng.integers(60, 5000, RUNS)[run]
        remaining = np.round(rng.uniform(0.05, 0.95, run.size) * (horizon - epoch))
        reached = (rng.random(RUNS) < 0.7)[run]
        values = {
            scale: SCALES[scale].forward(remaining, epoch, horizon - epoch)
            for scale in SCALE_OF.values()
        }
        columns = {
            "run_id": [f"r{number}" for number in run],
            "lineage_id": [f"l{number // 2}" for number in run],
            "target_kind": kind,
            "epoch": epoch,
            "max_epochs": horizon,
            "remaining": np.where(reached, remaining, np.nan),
            "converged": reached,
            "sampled": epoch != LANDMARK,
            "locked": True,
            "hint": reached.astype(float),
            AHEAD: rng.normal(size=run.size),
        }
        for scale, value in values.items():
            off = 0.0 if scale == SCALE_OF[goal] else 3.0
            columns[scale] = value + noise * rng.normal(size=run.size) + off
            columns[f"{scale} blurred"] = value + 0.5 * rng.normal(size=run.size) + off
        parts.append(pd.DataFrame(columns))
    locked = pd.concat(parts, ignore_index=True)
    open_twins = locked.assign(locked=False, remaining=1e6, run_id="open " + locked["run_id"])
    return pd.concat([open_twins, locked], ignore_index=True)


def entries(
    frame: pd.DataFrame, predictors: Mapping[str, Predictor]
) -> dict[tuple[str, str], dict[str, Any]]:
    family = planted["context"](["xgboost"], family="mlp", every_example=frame)
    context = EvaluationContext(
        families={"mlp": family},
        stores={},
        settings=family.settings,
        root_seed=7,
        models_folder=Path("no such folder"),
    )
    vars(context)["pooled_predictors"] = predictors  # where the cached property keeps its value
    found = pooled_locked(context)
    assert {entry["family"] for entry in found} <= {"mlp"}
    return {(entry["target_kind"], entry["availability"]): entry for entry in found}


BOTH = {goal: predictor(goal) for goal in (THRESHOLD, PLATEAU)}


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_of_goal_is_asked_of_its_own_predictor(seed: int) -> None:
    """To it alone the features tell the truth, on its own scale."""
    found = entries(examples(seed), BOTH)
    assert set(found) == {(kind, known) for kind, goal in KINDS.items() for known in KNOWN[goal]}
    for (_, known), entry in found.items():
        coverage = entry["coverage"]["estimate"]
        assert (entry["r2"]["estimate"] > 1 - 1e-9) == (known == "all")
        assert (coverage == 1) == (known == "all")
        assert entry["auc"]["estimate"] == (0.5 if known == "loss_only" else 1.0)
    swapped = entries(examples(seed), {THRESHOLD: BOTH[PLATEAU], PLATEAU: BOTH[THRESHOLD]})
    assert all(swapped[kind, "all"]["coverage"]["estimate"] < 0.5 for kind in KINDS)


@pytest.mark.parametrize("seed", range(3))
def test_from_the_rates_so_far_the_schedule_ahead_is_hidden_and_nothing_else(seed: int) -> None:
    """Intervals are those of everything: the same models answer."""
    assert AHEAD in PLAN_FEATURES
    assert PLAN_FEATURES.isdisjoint({"hint", *SCALE_OF.values()})
    frame = examples(seed)
    found = entries(frame, BOTH)["plateau", RATES]
    unstated = entries(frame.assign(**{AHEAD: np.nan}), BOTH)
    assert found == {**unstated["plateau", "all"], "availability": RATES}
    assert unstated["plateau", RATES] == found
    sooner = frame.assign(share_ahead=frame["share_ahead"] - 0.5)
    assert entries(sooner, BOTH)["plateau", RATES]["r2"]["estimate"] > 1 - 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_coverage_and_width_are_those_of_their_definitions(seed: int) -> None:
    frame = examples(seed, noise=0.1)
    found = entries(frame, BOTH)
    for kind, goal in KINDS.items():
        rows = frame[frame["locked"] & frame["sampled"] & frame["converged"]]
        rows = rows[rows["target_kind"] == kind]
        ahead = (rows["max_epochs"] - rows["epoch"]).to_numpy(float)
        value = rows[SCALE_OF[goal]].to_numpy(np.float32)
        predicted = SCALES[SCALE_OF[goal]].inverse(value, rows["epoch"].to_numpy(float), ahead)
        scale, now = interval_scale(SCALES[SCALE_OF[goal]]), np.zeros(len(rows))
        centre = scale.forward(predicted, now, ahead)
        low, high = (
            np.log1p(scale.inverse(centre + side * WIDTHS["all"], now, ahead)) for side in (-1, 1)
        )
        actual, weight = np.log1p(rows["remaining"]), run_weights(rows["run_id"].to_numpy(str))
        held = np.average((low <= actual) & (actual <= high), weights=weight)
        entry = found[kind, "all"]
        assert entry["coverage"]["estimate"] == pytest.approx(held)
        assert 0.4 < held < 1
        width = np.average(high - low, weights=weight)
        assert entry["log_width"]["estimate"] == pytest.approx(width)
        assert entry["n_runs"] == frame.loc[frame["locked"], "run_id"].nunique()


@pytest.mark.parametrize("goal", [THRESHOLD, PLATEAU])
def test_goals_that_no_predictor_serves_have_no_score(goal: str) -> None:
    frame = examples(0)
    alone = entries(frame, {goal: BOTH[goal]})
    assert {kind for kind, _ in alone} == {kind for kind, of in KINDS.items() if of == goal}
    both = entries(frame, BOTH)
    assert alone == {key: entry for key, entry in both.items() if key in alone}


def test_without_a_predictor_there_is_no_result() -> None:
    assert entries(examples(0), {}) == {}


def test_goals_that_no_run_reaches_have_no_coverage() -> None:
    never = examples(0).assign(converged=False, remaining=np.nan)
    for entry in entries(never, BOTH).values():
        for score in ("r2", "coverage", "log_width", "auc"):
            assert entry[score]["estimate"] is None
