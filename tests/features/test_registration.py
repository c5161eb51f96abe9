"""What may be registered as a feature group, and how groups are computed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np
import pytest

from epochs_left import features
from epochs_left.errors import UsageError
from epochs_left.features import (
    FEATURE_GROUPS,
    FINITE_LIMIT,
    Compute,
    FeatureGroup,
    compute_features,
    feature_group,
    groups_of_view,
)
from epochs_left.registry import Registry
from epochs_left.schema import View
from epochs_left.trajectories import ORACLE_INPUTS, Trajectories


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[FeatureGroup]]:
    """An empty registry in the place of the real one."""
    empty: Registry[FeatureGroup] = Registry("feature group", "epochs_left.storage")
    monkeypatch.setattr(features, "FEATURE_GROUPS", empty)
    return empty


def two_runs() -> Trajectories:
    loss = np.array([[4.0, 2.0, 1.0], [3.0, 1.0, np.nan]])
    return Trajectories(lengths=np.array([3, 2]), inputs={"epoch": loss * 0, "loss": loss})


def group_of(function: object, units: dict[str, str]) -> FeatureGroup:
    return FeatureGroup(
        name="made_up",
        view=View.CAUSAL,
        units=units,
        requires=("loss",),
        compute=function,
        summary="Made up.",
        baseline=False,
    )


def test_a_function_becomes_a_group_of_its_name(registry: Registry[FeatureGroup]) -> None:
    @feature_group(view=View.CAUSAL, units={"twice": "loss"})
    def doubled(loss: np.ndarray) -> dict[str, np.ndarray]:
        """Twice the loss.

        More words.
        """
        return {"twice": 2 * loss}

    group = registry["doubled"]
    assert (group.requires, group.summary, group.baseline) == (("loss",), "Twice the loss.", False)
    found = compute_features(two_runs(), [group])["twice"]
    np.testing.assert_array_equal(found, [[8, 4, 2], [6, 2, np.nan]])


@pytest.mark.parametrize("name", sorted(ORACLE_INPUTS))
def test_a_causal_group_cannot_ask_for_what_knows_the_end(
    registry: Registry[FeatureGroup], name: str
) -> None:
    leak = namespace_function(name)
    with pytest.raises(ValueError, match="'leak' asks for oracle inputs"):
        feature_group(view=View.CAUSAL, units={"leak": "1"})(leak)
    feature_group(view=View.ORACLE, units={"leak": "1"})(leak)
    assert list(registry) == ["leak"]


def namespace_function(argument: str) -> Compute:
    """A function ``leak`` of one argument of this name."""

    def leak(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"leak": inputs[argument]}

    kind = inspect.Parameter.KEYWORD_ONLY
    leak.__signature__ = inspect.Signature([inspect.Parameter(argument, kind)])  # type: ignore[attr-defined]
    return leak


@pytest.mark.usefixtures("registry")
def test_unknown_inputs_are_refused() -> None:
    def odd(los: np.ndarray) -> dict[str, np.ndarray]:
        return {"odd": los}

    with pytest.raises(ValueError, match=r"unknown inputs \['los'\]"):
        feature_group(view=View.CAUSAL, units={"odd": "1"})(odd)


def test_views_see_what_they_may() -> None:
    causal, oracle = (
        {group.name for group in groups_of_view(view)} for view in (View.CAUSAL, View.ORACLE)
    )
    assert {"loss_level", "theory"} <= causal < oracle
    assert oracle == set(FEATURE_GROUPS)
    assert oracle - causal == {n for n in oracle if FEATURE_GROUPS[n].view is View.ORACLE}
    assert "oracle_distances" in oracle - causal


def test_groups_are_chosen_by_name() -> None:
    chosen = groups_of_view(View.CAUSAL, ["loss_level", "oracle_distances"])
    assert [group.name for group in chosen] == ["loss_level"]
    with pytest.raises(UsageError, match="did you mean 'loss_level'"):
        groups_of_view(View.CAUSAL, ["loss_levels"])


def test_a_group_has_to_return_what_it_declares() -> None:
    group = group_of(lambda loss: {"other": loss}, {"declared": "1"})
    with pytest.raises(ValueError, match=r"does not return what it declares: \['declared', 'other"):
        compute_features(two_runs(), [group])


def test_values_beyond_the_limit_stay_finite() -> None:
    values = np.array([[np.inf, -np.inf, np.nan], [1e300, -1e300, 0.0]])
    group = group_of(lambda loss: {"wild": values + 0 * loss[0, 0]}, {"wild": "1"})
    limit = np.float32(FINITE_LIMIT)
    expected = [[limit, -limit, limit], [limit, -limit, np.nan]]
    np.testing.assert_array_equal(compute_features(two_runs(), [group])["wild"], expected)


def test_what_needs_the_model_at_a_state_is_probed() -> None:
    probed = {name for name, group in FEATURE_GROUPS.items() if group.probed}
    assert {"state_gradient", "function_distance", "oracle_alignment"} <= probed
    assert not {"loss_level", "motion", "oracle_distances", "functional_change"} & probed


def test_only_the_wanted_features_are_computed() -> None:
    def refuse(loss: np.ndarray) -> dict[str, np.ndarray]:
        raise AssertionError("not wanted")

    groups = [group_of(refuse, {"unwanted": "1"}), FEATURE_GROUPS["loss_noise"]]
    assert list(compute_features(two_runs(), groups, names=["slope_noise"])) == ["slope_noise"]


def test_the_value_of_a_run_is_spread_over_its_epochs() -> None:
    group = group_of(lambda loss: {"per_run": loss[:, :1]}, {"per_run": "1"})
    found = compute_features(two_runs(), [group])["per_run"]
    np.testing.assert_array_equal(found, [[4, 4, 4], [3, 3, np.nan]])
