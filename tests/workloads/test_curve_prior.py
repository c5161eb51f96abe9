"""The sweep of the curve prior, its settings, and whether goals can be drawn from its curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from epochs_left.config import parse_settings
from epochs_left.dynamics.curve_prior import NOISE_BASES, CurveShape
from epochs_left.dynamics.schedules import SCHEDULES, is_schedule
from epochs_left.errors import UsageError
from epochs_left.prediction.goals import extra_goals
from epochs_left.simulation.curves import CurveEngine
from epochs_left.workloads.curve_prior import OPTIMIZERS, CurvePrior, CurvePriorSettings

Build = Callable[..., CurvePriorSettings]
ROOT_SEED = 3
SHAPE = [field.name for field in fields(CurveShape)]


@pytest.fixture(scope="module")
def build(small_params: dict[str, Any]) -> Build:
    def build(**overrides: Any) -> CurvePriorSettings:
        values = {**small_params["curve_prior"], "runs": 2_000, **overrides}
        return parse_settings(CurvePriorSettings, values, "curve_prior")

    return build


@pytest.fixture(scope="module")
def settings(build: Build) -> CurvePriorSettings:
    return build(max_epochs=[10, 500], runs_per_lineage=1)


@pytest.fixture(scope="module")
def plan(settings: CurvePriorSettings) -> pd.DataFrame:
    return CurvePrior().plan(settings, ROOT_SEED).to_pandas()


def kind(schedules: pd.Series) -> pd.Series:
    """Return the kinds of schedules: steps of one's own are steps."""
    return schedules.str.partition(":")[0]


@pytest.fixture(scope="module")
def own(plan: pd.DataFrame) -> pd.DataFrame:
    """The drops of those runs whose steps are their own: shares as a tuple, and the factor."""
    found = plan["lr_schedule"].str.extract(r"^step:([\d.,]+)x([\d.]+)$").dropna()
    shares = found[0].map(lambda text: tuple(map(float, text.split(","))))
    return pd.DataFrame({"shares": shares, "factor": found[1].astype(float)})


@pytest.mark.parametrize(
    ("column", "setting"),
    [("optimizer", "optimizers"), ("lr_schedule", "lr_schedules"), ("noise_base", "noise_bases")],
)
def test_draws_have_the_shares_of_the_settings(
    plan: pd.DataFrame, settings: CurvePriorSettings, column: str, setting: str
) -> None:
    weights = getattr(settings, setting)
    found = Counter(kind(plan[column]))
    for name, weight in weights.items():
        assert found[name] / len(plan) == pytest.approx(weight / sum(weights.values()), abs=0.01)


def test_a_share_of_the_steps_has_one_to_three_drops_anywhere(
    plan: pd.DataFrame, settings: CurvePriorSettings, own: pd.DataFrame
) -> None:
    steps = (kind(plan["lr_schedule"]) == "step").sum()
    assert len(own) / steps == pytest.approx(settings.own_steps_share, abs=0.05)
    counts = own["shares"].map(len).value_counts(normalize=True)
    assert set(counts.index) == {1, 2, 3}
    np.testing.assert_allclose(counts, 1 / 3, atol=0.08)
    shares = np.concatenate(own["shares"].tolist())
    assert stats.kstest(shares, "uniform").statistic < 0.05
    assert shares.min() >= 0.02
    assert shares.max() <= 0.98
    assert all(list(of_run) == sorted(of_run) for of_run in own["shares"])


def test_factors_of_own_steps_are_log_uniform_up_to_rounding(
    settings: CurvePriorSettings, own: pd.DataFrame
) -> None:
    low, high = settings.own_steps_factor
    assert own["factor"].between(low, high).all()
    for edge in np.floor(100 * np.geomspace(low, high, 6)[1:-1]) / 100 + 0.005:
        expected = np.log(edge / low) / np.log(high / low)
        assert (own["factor"] < edge).mean() == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_steps_or_all_are_one_s_own(build: Build, share: float) -> None:
    plan = CurvePrior().plan(build(runs=300, own_steps_share=share), ROOT_SEED).to_pandas()
    steps = plan["lr_schedule"][kind(plan["lr_schedule"]) == "step"]
    assert len(steps) > 30
    assert (steps != "step").mean() == share
    assert plan["lr_schedule"].map(is_schedule).all()


def test_a_share_of_the_curves_is_averaged_over_the_pass(
    plan: pd.DataFrame, settings: CurvePriorSettings
) -> None:
    assert plan["averaged"].dtype == bool
    assert plan["averaged"].mean() == pytest.approx(settings.averaged_share, abs=0.01)


@pytest.mark.parametrize(
    "name", ["lr", "hit_share", "noise_floor", "noise_pace", "floor", "scale", "noise"]
)
def test_sizes_are_log_uniform(plan: pd.DataFrame, settings: CurvePriorSettings, name: str) -> None:
    low, high = np.log(getattr(settings, name))
    uniform = (np.log(plan[name]) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").statistic < 0.01


@pytest.mark.parametrize(
    ("column", "setting"),
    [("max_epochs", "max_epochs"), ("n_examples", "steps_per_epoch"), ("n_modes", "modes")],
)
def test_whole_numbers_are_log_uniform_up_to_rounding(
    plan: pd.DataFrame, settings: CurvePriorSettings, column: str, setting: str
) -> None:
    low, high = getattr(settings, setting)
    assert plan[column].between(low, high).all()
    for middle in np.geomspace(low, high, 8)[1:-1]:
        edge = np.floor(middle) + 0.5
        expected = np.log(edge / low) / np.log(high / low)
        assert (plan[column] < edge).mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", ["eigenvalue_power", "excess_power", "noise_memory"])
def test_powers_and_memories_are_uniform(
    plan: pd.DataFrame, settings: CurvePriorSettings, name: str
) -> None:
    low, high = getattr(settings, name)
    assert stats.kstest((plan[name] - low) / (high - low), "uniform").statistic < 0.01


def test_hits_are_uniform_over_what_is_left_of_the_horizon(plan: pd.DataFrame) -> None:
    assert plan["hit_position"].between(0, 1, inclusive="right").all()
    assert stats.kstest(plan["hit_position"], "uniform").statistic < 0.01


@pytest.mark.parametrize("name", ["plateau", "first_drop"])
def test_some_curves_wait_and_most_drop_first(
    plan: pd.DataFrame, settings: CurvePriorSettings, name: str
) -> None:
    column = {"plateau": "plateau_end", "first_drop": "first_drop"}[name]
    with_it = plan[column][plan[column] > 0]
    assert len(with_it) / len(plan) == pytest.approx(getattr(settings, f"{name}_share"), abs=0.01)
    assert with_it.between(*getattr(settings, column)).all()


def test_momentum_is_for_the_heavy_ball_alone(plan: pd.DataFrame) -> None:
    plain = plan["optimizer"] == "sgd"
    assert (plan["momentum"][plain] == 0).all()
    assert (plan["momentum"][~plain] >= 0.5).all()


@pytest.mark.parametrize("per_lineage", [2, 5])
def test_runs_of_a_lineage_share_the_quadratic_alone(build: Build, per_lineage: int) -> None:
    settings = build(runs=400, runs_per_lineage=per_lineage)
    groups = CurvePrior().plan(settings, ROOT_SEED).to_pandas().groupby("lineage_id")
    start = ["n_modes", "eigenvalue_power", "excess_power", "floor", "scale", "first_drop"]
    assert (groups.size() == per_lineage).all()
    assert (groups[start].nunique() == 1).all(axis=None)
    of_run = ["lr", "hit_position", "noise", "noise_pace"]
    assert (groups[of_run].nunique() == per_lineage).all(axis=None)


@pytest.mark.parametrize("shape", ["n_modes", "hit_share", "hit_position", "noise", "noise_pace"])
def test_the_settings_that_a_user_knows_say_nothing_of_the_shape(
    plan: pd.DataFrame, shape: str
) -> None:
    """Or a model would learn a pace from the learning rate that no real run has."""
    values = plan[shape].rank(pct=True)
    for known in ("lr", "momentum", "n_examples", "max_epochs"):
        assert abs(stats.spearmanr(plan[known], values).statistic) < 0.05
    part = pd.cut(values, 8)
    counts = pd.crosstab(kind(plan["lr_schedule"]), part)
    statistic, _, degrees, _ = stats.chi2_contingency(counts)
    assert statistic < degrees + 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize(
    "override",
    [
        {"floor": [1.0e-3, 3.0]},
        {"noise": [1.0e-3, 0.2]},
        {"modes": [1, 100]},
        {"plateau_share": 0.5},
        {"first_drop_share": 0.5},
        {"noise_bases": {"rest": 1, "loss": 2}},
        {"steps_per_epoch": [10, 500]},
        {"momentum": [0.6, 0.98]},
        {"noise_pace": [0.5, 20]},
        {"averaged_share": 0.3},
        {"own_steps_share": 0.3},
        {"own_steps_factor": [0.2, 0.4]},
    ],
)
def test_run_ids_are_equal_exactly_where_all_settings_are(
    build: Build, override: dict[str, Any]
) -> None:
    one = CurvePrior().plan(build(runs=300), ROOT_SEED).to_pandas()
    other = CurvePrior().plan(build(runs=300, **override), ROOT_SEED).to_pandas()
    settings = [name for name in one.columns if name not in {"run_id", "lineage_id"}]
    equal = (one[settings] == other[settings]).all(axis=1)
    np.testing.assert_array_equal(one["run_id"] == other["run_id"], equal)
    assert not equal.all()


def test_a_plan_holds_the_shape_of_every_curve(plan: pd.DataFrame) -> None:
    assert set(SHAPE) <= set(plan.columns)
    assert (plan["batch_size"] < plan["n_examples"]).all()
    assert (plan[["epsilon", "delta", "n_params"]] == 0).all(axis=None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"runs": 0}, "runs must lie in"),
        ({"lr": [0.1]}, "lr must be"),
        ({"lr": [1.0, 0.1]}, "lr must be"),
        ({"floor": [0.0, 1.0]}, "floor must be"),
        ({"max_epochs": [0.5, 10]}, "max_epochs must lie in"),
        ({"modes": [0.2, 10]}, "modes must lie in"),
        ({"hit_share": [0.1, 1.0]}, "hit_share must lie in"),
        ({"plateau_end": [0.1, 1.0]}, "plateau_end must lie in"),
        ({"noise_memory": [0.1, 1.0]}, "noise_memory must lie in"),
        ({"plateau_share": 1.5}, "plateau_share must lie in"),
        ({"first_drop_share": -0.1}, "first_drop_share must lie in"),
        ({"own_steps_share": 1.5}, "own_steps_share must lie in"),
        ({"averaged_share": -0.1}, "averaged_share must lie in"),
        ({"noise_pace": [0.0, 1.0]}, "noise_pace must be"),
        ({"own_steps_factor": [0.0, 0.5]}, "own_steps_factor must be"),
        ({"optimizers": {"adam": 1}}, "unknown names .'adam'. in optimizers"),
        ({"lr_schedules": {"polynomial": 1}}, "unknown names .'polynomial'. in lr_schedules"),
        ({"noise_bases": {"loss": 0}}, "not all 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    build: Build, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(**override)


def test_every_known_choice_can_be_planned(build: Build) -> None:
    settings = build(
        runs=400,
        optimizers=dict.fromkeys(OPTIMIZERS, 1),
        lr_schedules=dict.fromkeys(SCHEDULES, 1),
        noise_bases=dict.fromkeys(NOISE_BASES, 1),
    )
    plan = CurvePrior().plan(settings, 0).to_pandas()
    assert set(plan["optimizer"]) == set(OPTIMIZERS)
    assert set(kind(plan["lr_schedule"])) == set(SCHEDULES)
    assert {"step"} < {name for name in plan["lr_schedule"] if name.startswith("step")}
    assert set(plan["noise_base"]) == set(NOISE_BASES)


@pytest.mark.parametrize("seed", range(3))
def test_goals_drawn_from_the_curves_are_reached_early_late_and_never(
    build: Build, seed: int
) -> None:
    plan = CurvePrior().plan(build(runs=600, max_epochs=[10, 500]), seed)
    (block,) = CurveEngine(plan.to_pylist(), seed).blocks(600)
    ends = np.flatnonzero(np.diff(block.run)) + 1
    losses = np.split(block.columns["loss"].astype(np.float64), ends)
    runs = plan.append_column("outcome", pa.array(["capped"] * 600))
    goals = [goal for goal in extra_goals(runs, losses, 1.0, seed) if goal is not None]
    assert len(goals) == 600
    horizon = plan["max_epochs"].to_numpy()
    for is_plateau in (False, True):
        asked = np.array([np.isnan(goal.target) == is_plateau for goal in goals])
        reached = asked & [goal.reached for goal in goals]
        assert 0.55 < reached.sum() / asked.sum() < 0.9
        at = np.array([goal.epoch for goal in goals])[reached] / horizon[reached]
        thirds = np.histogram(at, bins=[0, 1 / 3, 2 / 3, 1])[0] / at.size
        assert thirds.min() > 0.1
