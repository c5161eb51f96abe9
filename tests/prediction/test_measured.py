"""Cells that are measured alone have the features that they have in the whole log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epochs_left.features import FEATURE_GROUPS
from epochs_left.prediction import measured as module
from epochs_left.prediction.aims import Aim
from epochs_left.prediction.assemble import blocks
from epochs_left.prediction.histories import histories
from epochs_left.prediction.layout import RECORDED_LR
from epochs_left.prediction.measured import Measured, measured
from epochs_left.prediction.predictor import Predictor, predictor_of
from epochs_left.prediction.rows import Rows
from epochs_left.prediction.runs import Runs
from epochs_left.storage.bundle_choice import PLATEAU
from epochs_left.storage.bundles import load_bundle
from epochs_left.storage.released import RELEASED

HORIZON = 60
AIM = Aim(plateau=0.02, horizon=HORIZON)
LABELS = ["cosine", "step:0.5x0.2"]
#: Feature groups of plateaus, whether the released predictor knows them or not.
OF_PLATEAUS = ("plateau_by_curve", "plateau_on_clock", "plateau_on_rates", "rates_so_far")
SEEDS = range(3)


@pytest.fixture(scope="module")
def of_curves() -> Predictor:
    """The released predictor of plateaus, asked for the features on every clock besides."""
    released = predictor_of(load_bundle(RELEASED / PLATEAU), level=0.9, jobs=1)
    names = dict.fromkeys(released.manifest.features)
    names |= dict.fromkeys(name for key in OF_PLATEAUS for name in FEATURE_GROUPS[key].units)
    groups = [group for _, group in FEATURE_GROUPS.items() if names.keys() & group.units.keys()]
    manifest = replace(released.manifest, features=tuple(names), ranges={})
    return replace(released, manifest=manifest, groups=tuple(groups), novelty=None)


def log_of(seed: int, lengths: list[int]) -> Runs:
    """Noisy power laws, on a schedule or with learning rates that are recorded in part."""
    rng = np.random.default_rng(seed)
    epoch = np.concatenate([np.arange(n) for n in lengths])
    run = np.repeat(np.arange(len(lengths)), lengths)
    loss = 0.1 + (epoch + 1) ** -rng.uniform(0.2, 1, len(lengths))[run]
    lr = np.where(epoch < 9, 0.1, 0.02)
    rows = Rows(
        run=run,
        row=np.arange(epoch.size) + 1,
        epoch=epoch,
        loss=loss * np.exp(0.02 * rng.standard_normal(epoch.size)),
        measured=rng.random(epoch.size) < 0.95,
        numbers={"lr": lr, RECORDED_LR: np.where((run == 1) & (epoch > 20), np.nan, lr)},
        labels={"lr_schedule": np.array([0, -1, 1])[run % 3]},
        params=None,
    )
    starts = np.cumsum([0, *lengths[:-1]])
    return Runs(rows=rows, starts=starts, lengths=np.array(lengths))


def measure(runs: Runs, wanted: np.ndarray, predictor: Predictor) -> list[Measured]:
    past = histories(runs, AIM)
    wanted = wanted & past.predictable
    found = blocks(past, wanted, predictor.inputs, LABELS, AIM)
    return [measured(block, wanted, predictor, LABELS) for block in found]


def by_row(found: list[Measured]) -> dict[int, tuple[bytes, bool, float, float]]:
    """Features, to the last bit, and what else is known of each cell."""
    return {
        int(row): (
            part.features[i].tobytes(),
            bool(part.complete[i]),
            float(part.elapsed[i]),
            float(part.ahead[i]),
        )
        for part in found
        for i, row in enumerate(part.rows)
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_alone_is_measured_as_in_the_whole_log(of_curves: Predictor, seed: int) -> None:
    runs = log_of(seed, [40, 55, 30, 55, 45])
    whole = by_row(measure(runs, np.ones(len(runs.rows), dtype=bool), of_curves))
    assert len(whole) > 150
    drawn = np.random.default_rng(seed).permutation(sorted(whole))[:25]
    for row in drawn:
        alone = by_row(measure(runs, np.arange(len(runs.rows)) == row, of_curves))
        assert alone == {row: whole[row]}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_rows_of_runs_are_measured_as_in_the_whole_log(
    of_curves: Predictor, seed: int
) -> None:
    runs = log_of(seed, [40, 55, 30, 55, 45])
    whole = by_row(measure(runs, np.ones(len(runs.rows), dtype=bool), of_curves))
    late = runs.rows.epoch >= np.repeat(runs.lengths - 4, runs.lengths)
    found = by_row(measure(runs, late, of_curves))
    assert found == {row: whole[row] for row in np.flatnonzero(late) if row in whole}


@pytest.mark.parametrize("stretch", [1, 7, 10_000])
def test_features_do_not_depend_on_how_many_rows_are_filled_in_at_once(
    monkeypatch: pytest.MonkeyPatch, of_curves: Predictor, stretch: int
) -> None:
    runs = log_of(0, [20, 30])
    everything = np.ones(len(runs.rows), dtype=bool)
    expected = by_row(measure(runs, everything, of_curves))
    monkeypatch.setattr(module, "STRETCH", stretch)
    assert by_row(measure(runs, everything, of_curves)) == expected


def test_rows_beyond_a_missing_rate_keep_the_features_of_the_loss_alone(
    of_curves: Predictor,
) -> None:
    """Run 1 has no schedule, and its rates break off after epoch 20."""
    runs = log_of(1, [30, 40])
    (found,) = measure(runs, np.ones(len(runs.rows), dtype=bool), of_curves)
    broken = (runs.rows.run == 1)[found.rows] & (runs.rows.epoch > 20)[found.rows]
    names = of_curves.manifest.features
    of_rates = FEATURE_GROUPS["plateau_on_rates"].units.keys()
    of_loss = FEATURE_GROUPS["plateau_by_curve"].units.keys()
    for column, name in enumerate(names):
        if name in of_rates:
            np.testing.assert_array_equal(np.isnan(found.features[:, column]), broken)
        elif name in of_loss:
            assert np.isfinite(found.features[:, column]).all()
    np.testing.assert_array_equal(found.complete, ~broken)
