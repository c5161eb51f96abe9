"""Which epochs become examples, and with which features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from epochs_left.features import FINITE_LIMIT, FeatureGroup, groups_of_view
from epochs_left.prediction import examples
from epochs_left.prediction.examples import ExamplePlan, example_epochs, examples_of
from epochs_left.schema import View
from epochs_left.statistics.folds import locked_lineages
from epochs_left.storage.epoch_shards import EpochRows
from epochs_left.storage.run_store import RunStore
from epochs_left.workloads import WORKLOADS

PLAN = ExamplePlan(epochs_per_run=5, landmarks=(0, 2, 50), locked_share=0.3, root_seed=3)
GROUPS = groups_of_view(View.ORACLE)
CAUSAL = groups_of_view(View.CAUSAL)
IDS = [f"{code:016x}" for code in range(3_000)]


def shards(store: RunStore) -> Iterator[tuple[EpochRows, pa.Table]]:
    """Row groups with their runs."""
    runs = store.runs()
    of_id = {run_id: row for row, run_id in enumerate(runs["run_id"].to_pylist())}
    for name in store.shard_names():
        for rows in store.read(name):
            yield rows, runs.take([of_id[run_id] for run_id in rows.run_ids])


def table_of(
    store: RunStore, plan: ExamplePlan = PLAN, groups: Sequence[FeatureGroup] = GROUPS
) -> pd.DataFrame:
    block_of_param = WORKLOADS["neuron"].block_of_param
    parts = [
        part
        for rows, runs in shards(store)
        for part in examples_of(rows, runs, block_of_param, groups, plan)
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


def test_every_feature_is_finite(frame: pd.DataFrame) -> None:
    names = [name for group in GROUPS for name in group.units]
    assert np.isfinite(frame[names].to_numpy()).all()


def test_features_are_those_of_their_own_run_and_epoch(
    small_store: RunStore, frame: pd.DataFrame
) -> None:
    expected = frame.set_index(["run_id", "epoch"])
    for rows, _ in shards(small_store):
        starts = np.cumsum(rows.lengths) - rows.lengths
        for run_id, start, length in zip(rows.run_ids, starts, rows.lengths, strict=True):
            if length == 1:
                continue
            found = expected.loc[run_id]
            at = start + found.index.to_numpy()
            final = rows.params[start + length - 1].astype(float)
            # a run that has diverged may have left the range of float32
            distance = np.minimum(np.linalg.norm(rows.params[at] - final, axis=1), FINITE_LIMIT)
            np.testing.assert_allclose(found["l2_to_final"], distance, rtol=1e-5)
            np.testing.assert_allclose(
                found["log_loss"], np.log(rows.measures["loss"][at].astype(float)), atol=1e-5
            )


def test_causal_features_are_those_of_a_run_that_stopped_there(
    small_store: RunStore, frame: pd.DataFrame
) -> None:
    """The whole way from the shard: rows after epoch t are deleted, and the run ends there."""
    names = [name for group in CAUSAL for name in group.units]
    expected = frame.set_index(["run_id", "epoch"])[names]
    block_of_param = WORKLOADS["neuron"].block_of_param
    checked = 0
    for rows, runs in shards(small_store):
        for seen in (1, 3, 51):
            cut, stopped = stopped_after(seen, rows, runs)
            at_end = replace(PLAN, landmarks=(seen - 1,))
            for part in examples_of(cut, stopped, block_of_param, CAUSAL, at_end):
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
        list(examples_of(rows, runs.slice(1), lambda _: (0, 1, 2), GROUPS, PLAN))
