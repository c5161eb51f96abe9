"""Which epochs become examples, and with which features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.dynamics.targets import first_below, plateau_epoch
from epochs_left.features import FEATURE_GROUPS, FeatureGroup, groups_of_view
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.prediction import examples
from epochs_left.prediction.examples import (
    ExamplePlan,
    Probe,
    Recipe,
    StateTable,
    example_epochs,
    examples_of,
)
from epochs_left.schema import TargetKind, View
from epochs_left.stages import featurize
from epochs_left.statistics.locking import locked_lineages
from epochs_left.storage.epoch_shards import EpochRows
from epochs_left.storage.run_store import RunStore
from epochs_left.trajectories import FORECAST_INPUTS, GEOMETRY_INPUTS, STATE_INPUTS
from epochs_left.workloads import WORKLOADS

PLAN = ExamplePlan(
    epochs_per_run=5, landmarks=(0, 2, 50), locked_share=0.3, extra_share=0.0, root_seed=3
)
GROUPS = groups_of_view(View.ORACLE)
CAUSAL = groups_of_view(View.CAUSAL)
KEYS = ["run_id", "epoch"]
IDS = [f"{code:016x}" for code in range(3_000)]


def shards(store: RunStore) -> Iterator[tuple[EpochRows, pa.Table]]:
    """Row groups with their runs."""
    runs = store.runs()
    of_id = {run_id: row for row, run_id in enumerate(runs["run_id"].to_pylist())}
    for name in store.shard_names():
        for rows in store.read(name):
            yield rows, runs.take([of_id[run_id] for run_id in rows.run_ids])


def geometry_of(rows: EpochRows, block_of_param: np.ndarray) -> Mapping[str, np.ndarray]:
    ends = np.cumsum(rows.lengths) - 1
    return trajectory_geometry(
        rows.params,
        rows.lengths,
        final=rows.params[ends],
        block_of_param=block_of_param,
        n_blocks=N_BLOCKS,
    )


def norms(states: StateTable) -> dict[str, np.ndarray]:
    """A probe that says of which state it was asked."""
    return {
        "grad_norm_full": np.linalg.norm(states.params.astype(float), axis=1),
        "ntk_from_start": np.linalg.norm(states.start.astype(float), axis=1),
        "ntk_update": np.linalg.norm(states.previous.astype(float), axis=1),
        "ntk_to_final": np.linalg.norm(states.final.astype(float), axis=1),
        "ntk_trace": np.asarray(states.runs["lr"]),
        **{name: np.ones(len(states.params)) for name in OTHER_STATE_INPUTS},
        "no_input": np.zeros(len(states.params)),
    }


UNKNOWN = {*STATE_INPUTS, *FORECAST_INPUTS, "plateau"}
ASKED = ("grad_norm_full", "ntk_from_start", "ntk_update", "ntk_to_final", "ntk_trace")
OTHER_STATE_INPUTS = tuple({*STATE_INPUTS, *FORECAST_INPUTS} - set(ASKED))


def recipe(
    plan: ExamplePlan = PLAN,
    groups: Sequence[FeatureGroup] = GROUPS,
    probe: Probe | None = None,
) -> Recipe:
    return Recipe(
        plan=plan,
        groups=groups,
        block_of_param=WORKLOADS["neuron"].block_of_param,
        geometry=geometry_of,
        probe=probe,
    )


def table_of(store: RunStore, how: Recipe | None = None) -> pd.DataFrame:
    parts = [
        part for rows, runs in shards(store) for part in examples_of(rows, runs, how or recipe())
    ]
    return pa.concat_tables(parts).to_pandas()


@pytest.fixture(scope="module")
def frame(small_store: RunStore) -> pd.DataFrame:
    return table_of(small_store)


@pytest.fixture(scope="module")
def outcomes(small_store: RunStore) -> pd.DataFrame:
    return small_store.runs().to_pandas().set_index("run_id")


@pytest.mark.parametrize("n_epochs", [0, 1, 4, 5])
def test_all_epochs_of_a_short_run_are_drawn(n_epochs: int) -> None:
    assert example_epochs(IDS[0], n_epochs, PLAN).tolist() == list(range(n_epochs))


@pytest.mark.parametrize("n_epochs", [6, 7, 9, 100, 1000])
def test_drawn_epochs_are_distinct_and_evenly_spread(n_epochs: int) -> None:
    for run_id in IDS[:200]:
        drawn = example_epochs(run_id, n_epochs, PLAN)
        assert drawn.size == 5
        assert 0 <= drawn[0] <= drawn[-1] < n_epochs
        assert np.all(np.abs(np.diff(drawn) - n_epochs / 5) <= 1)
        assert np.all(np.diff(drawn) >= 1)


@pytest.mark.parametrize("n_epochs", [6, 8, 13, 40])
def test_every_epoch_is_equally_likely(n_epochs: int) -> None:
    counts = np.zeros(n_epochs)
    for run_id in IDS:
        counts[example_epochs(run_id, n_epochs, PLAN)] += 1
    share = 5 / n_epochs
    error = np.sqrt(share * (1 - share) / len(IDS))
    np.testing.assert_allclose(counts / len(IDS), share, atol=4 * error)


def test_a_draw_depends_on_the_run_and_the_seed_alone() -> None:
    drawn = {run_id: tuple(example_epochs(run_id, 500, PLAN)) for run_id in IDS[:50]}
    again = {run_id: tuple(example_epochs(run_id, 500, PLAN)) for run_id in reversed(IDS[:50])}
    assert drawn == again
    assert len(set(drawn.values())) > 25
    assert tuple(example_epochs(IDS[0], 500, replace(PLAN, root_seed=4))) != drawn[IDS[0]]


def test_no_example_is_at_the_end_of_its_run(frame: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    end = outcomes.loc[frame["run_id"], "outcome_epoch"].to_numpy()
    assert np.all(frame["epoch"] < end)
    converged = outcomes.loc[frame["run_id"], "outcome"].to_numpy() == "converged"
    np.testing.assert_array_equal(frame["converged"], converged)
    np.testing.assert_array_equal(frame["remaining"].isna(), ~converged)
    found = frame["remaining"][converged]
    np.testing.assert_array_equal(found, (end - frame["epoch"])[converged])
    assert found.min() >= 1


def test_examples_are_the_drawn_epochs_and_the_landmarks(
    frame: pd.DataFrame, outcomes: pd.DataFrame
) -> None:
    for run_id, part in frame.groupby("run_id"):
        n_epochs = outcomes.loc[run_id, "outcome_epoch"]
        drawn = example_epochs(str(run_id), n_epochs, PLAN).tolist()
        landmarks = [epoch for epoch in PLAN.landmarks if epoch < n_epochs]
        assert part["epoch"].tolist() == sorted({*drawn, *landmarks})
        assert part.loc[part["sampled"], "epoch"].tolist() == drawn
        assert part.loc[part["landmark"], "epoch"].tolist() == landmarks


def test_every_run_with_an_epoch_left_has_examples(
    frame: pd.DataFrame, outcomes: pd.DataFrame
) -> None:
    assert set(frame["run_id"]) == set(outcomes.index[outcomes["outcome_epoch"] > 0])


def test_locked_rows_are_those_of_locked_lineages(frame: pd.DataFrame) -> None:
    locked = locked_lineages(frame["lineage_id"], PLAN.locked_share)
    np.testing.assert_array_equal(frame["locked"], locked)
    assert 0 < frame["locked"].mean() < 1


def test_every_feature_is_finite_but_those_of_what_was_not_measured(frame: pd.DataFrame) -> None:
    """No state was measured, and no plateau asked for; the geometry of a bad row is missing."""
    for group in GROUPS:
        values = frame[list(group.units)].to_numpy()
        if UNKNOWN & set(group.requires):
            assert np.isnan(values).all(), group.name
        elif GEOMETRY_INPUTS.keys() & set(group.requires):
            assert np.isfinite(values).mean() > 0.95, group.name
        else:
            assert np.isfinite(values).all(), group.name


def test_features_are_those_of_their_own_run_and_epoch(
    small_store: RunStore, frame: pd.DataFrame
) -> None:
    features = frame.set_index(KEYS)
    for rows, _ in shards(small_store):
        starts = np.cumsum(rows.lengths) - rows.lengths
        for run_id, start, length in zip(rows.run_ids, starts, rows.lengths, strict=True):
            if length == 1:
                continue
            found = features.loc[run_id]
            at = start + found.index.to_numpy()
            final = rows.params[start + length - 1].astype(float)
            # a run that has diverged may have left the range of float32: nowhere is far from there
            distance = np.linalg.norm(rows.params[at] - final, axis=1)
            expected = distance if np.isfinite(final).all() else np.full(at.size, np.nan)
            np.testing.assert_allclose(found["l2_to_final"], expected, rtol=1e-5)
            np.testing.assert_allclose(
                found["log_loss"], np.log(rows.measures["loss"][at].astype(float)), atol=1e-5
            )


@pytest.mark.parametrize("probe", [None, partial(featurize._measures, "neuron", {}, 0.0)])
def test_causal_features_are_those_of_a_run_that_stopped_there(
    small_store: RunStore, probe: Probe | None
) -> None:
    """The whole way from the shard: rows after epoch t are deleted, and the run ends there.

    With the forecasts of the stage too, which are made from the recorded parameters.
    """
    names = [name for group in CAUSAL for name in group.units]
    whole = table_of(small_store, recipe(probe=probe))
    expected = whole.set_index(["run_id", "epoch"])[names]
    forecasts = whole[list(FEATURE_GROUPS["linearised_forecast"].units)]
    assert forecasts.notna().any(axis=None) == (probe is not None)
    checked = 0
    for rows, runs in shards(small_store):
        for seen in (1, 3, 51):
            cut, stopped = stopped_after(seen, rows, runs)
            at_end = replace(PLAN, landmarks=(seen - 1,))
            for part in examples_of(cut, stopped, recipe(at_end, CAUSAL, probe)):
                found = part.to_pandas().query("landmark").set_index(["run_id", "epoch"])[names]
                pd.testing.assert_frame_equal(found, expected.loc[found.index], check_exact=True)
                checked += len(found)
    assert checked > 100


def stopped_after(seen: int, rows: EpochRows, runs: pa.Table) -> tuple[EpochRows, pa.Table]:
    """The same runs as if each had ended after ``seen`` rows."""
    keep = rows.epoch < seen
    cut = EpochRows(
        run_ids=rows.run_ids,
        lengths=np.minimum(rows.lengths, seen),
        epoch=rows.epoch[keep],
        measures={name: values[keep] for name, values in rows.measures.items()},
        vectors={name: values[keep] for name, values in rows.vectors.items()},
    )
    frame = runs.to_pandas()
    frame["outcome_epoch"] = frame["outcome_epoch"].clip(upper=seen)
    return cut, pa.Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize("cells", [1, 5_000])
def test_size_of_the_blocks_is_irrelevant(
    small_store: RunStore, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(examples, "MAX_BLOCK_CELLS", cells)
    keys = ["run_id", "epoch"]
    found = table_of(small_store).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(
        found, frame.sort_values(keys, ignore_index=True), check_exact=True
    )


def test_runs_of_other_rows_are_refused(small_store: RunStore) -> None:
    rows, runs = next(shards(small_store))
    with pytest.raises(ValueError, match="not those of the epoch rows"):
        list(examples_of(rows, runs.slice(1), recipe()))


def curves(store: RunStore) -> dict[str, np.ndarray]:
    """The loss of each run."""
    found = {}
    for rows, _ in shards(store):
        ends = np.cumsum(rows.lengths)
        parts = np.split(rows.measures["loss"].astype(float), ends[:-1])
        found |= dict(zip(rows.run_ids, parts, strict=True))
    return found


@pytest.fixture(scope="module")
def extra(small_store: RunStore) -> pd.DataFrame:
    """Examples of which every run that can has a further target."""
    return table_of(small_store, recipe(replace(PLAN, extra_share=1.0)))


def test_further_targets_leave_the_examples_of_the_primary_one_as_they_are(
    frame: pd.DataFrame, extra: pd.DataFrame
) -> None:
    primary = extra[extra["target_kind"] == TargetKind.EPSILON].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        primary.sort_values(KEYS, ignore_index=True),
        frame.sort_values(KEYS, ignore_index=True),
        check_exact=True,
    )
    assert set(extra["target_kind"]) == {kind.value for kind in TargetKind}


def test_remaining_epochs_are_those_to_the_target_that_was_asked_for(
    small_store: RunStore, extra: pd.DataFrame
) -> None:
    losses = curves(small_store)
    asked = extra[extra["target_kind"] != TargetKind.EPSILON]
    kinds = set()
    for (run_id, kind), part in asked.groupby(["run_id", "target_kind"]):
        goal, loss = part.iloc[0], losses[str(run_id)]
        if kind == TargetKind.THRESHOLD:
            assert np.isnan(part["plateau"]).all()
            epoch = first_below(loss, goal["target"])
        else:
            assert np.isnan(part["target"]).all()
            epoch = plateau_epoch(loss, goal["plateau"])
        kinds.add((kind, epoch is None))
        assert (part["converged"] == (epoch is not None)).all()
        if epoch is None:
            assert part["remaining"].isna().all()
        else:
            np.testing.assert_array_equal(part["remaining"], epoch - part["epoch"])
    assert len(kinds) == 4


def test_features_of_a_further_target_look_at_it_and_at_nothing_of_the_end(
    frame: pd.DataFrame, extra: pd.DataFrame
) -> None:
    asked = extra[extra["target_kind"] == TargetKind.THRESHOLD].set_index(KEYS)
    own = frame.set_index(KEYS)
    both = asked.index.intersection(own.index)
    asked, own = asked.loc[both], own.loc[both]
    assert len(both) > 50
    oracle = [name for group in GROUPS if group.view is View.ORACLE for name in group.units]
    assert asked[oracle].isna().all(axis=None)
    pd.testing.assert_series_equal(asked["curve_id"], own["curve_id"])
    np.testing.assert_array_equal(asked["log_loss"], own["log_loss"])
    gap = asked["log_loss"] - np.log(asked["target"]).clip(-100, 100)
    np.testing.assert_allclose(asked["log_gap_to_target"], gap, atol=1e-4)


def test_a_state_is_measured_where_it_has_an_example(small_store: RunStore) -> None:
    found = table_of(small_store, recipe(probe=norms)).set_index(KEYS)
    checked = 0
    for rows, runs in shards(small_store):
        ends = np.cumsum(rows.lengths)
        paths = np.split(rows.params.astype(float), ends[:-1])
        rates = runs["lr"].to_pylist()
        for run_id, path, lr in zip(rows.run_ids, paths, rates, strict=True):
            if not np.isfinite(path).all() or run_id not in found.index:
                continue
            part = found.loc[run_id]
            epoch = part.index.to_numpy()
            expected = {
                "log_grad_norm_full": path[epoch],
                "log_ntk_from_start": path[np.zeros_like(epoch)],
                "log_ntk_update": path[np.maximum(epoch - 1, 0)],
                "log_ntk_to_final": path[np.full_like(epoch, -1)],
            }
            for name, states in expected.items():
                values = np.maximum(np.log(np.linalg.norm(states, axis=1)), -18)
                np.testing.assert_allclose(part[name], values, atol=1e-5, err_msg=name)
            np.testing.assert_allclose(part["log_ntk_trace"], np.log(lr), atol=1e-5)
            checked += len(part)
    assert checked > 200


def test_what_measures_a_state_is_not_told_how_its_run_ended(small_store: RunStore) -> None:
    """A forecast with the run's last epoch as its horizon would be a leak that scores well."""
    known = set(small_store.runs().column_names)
    asked = []

    def probe(states: StateTable) -> dict[str, np.ndarray]:
        asked.append(set(states.runs.column_names))
        return norms(states)

    table_of(small_store, recipe(probe=probe))
    assert asked
    ends = {"outcome", "outcome_epoch", "final_loss", "final_grad_norm"}
    assert ends <= known
    assert all(columns == known - ends for columns in asked)


def test_a_curve_has_an_id_of_its_own_and_one_that_never_moves_none(
    small_store: RunStore, frame: pd.DataFrame
) -> None:
    of_run = frame.drop_duplicates("run_id").set_index("run_id")["curve_id"]
    losses = curves(small_store)
    moves = {run_id for run_id, loss in losses.items() if np.unique(loss).size > 1}
    assert set(of_run.index[of_run.notna()]) == moves & set(of_run.index)
    for one, part in of_run.dropna().groupby(of_run):
        for run_id in part.index:
            np.testing.assert_array_equal(losses[run_id], losses[part.index[0]], err_msg=one)
    assert of_run.nunique() > 80
