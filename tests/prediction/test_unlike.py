"""Which rows are unlike the training data, and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from epochs_left.prediction.unlike import combined, outside_ranges, training_ranges

SEEDS = range(4)
NAMES = ("a", "b", "free", "c")
RANGES = {"a": (-1.0, 0.1), "b": (0.0, 0.0), "c": (0.5, 1e30)}


def manifest() -> Any:
    return SimpleNamespace(features=NAMES, ranges=RANGES)


def cell_by_cell(features: np.ndarray) -> dict[str, list[bool]]:
    """Every cell beside its bounds, as float32 holds them."""
    found = {}
    for column, name in enumerate(NAMES):
        low, high = RANGES.get(name, (-np.inf, np.inf))
        values = features[:, column]
        found[f"{name} below {low:.3g}"] = [bool(value < np.float32(low)) for value in values]
        found[f"{name} above {high:.3g}"] = [bool(value > np.float32(high)) for value in values]
    return {reason: rows for reason, rows in found.items() if any(rows)}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_rows", [0, 1, 3, 50])
def test_each_reason_names_the_rows_that_a_look_at_every_cell_finds(n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [-np.inf, -1.0, -0.5, 0.0, 0.1, 0.5, 1.0, 1e30, np.inf, np.nan]
    features = rng.choice(some, (n_rows, len(NAMES))).astype(np.float32)
    found = outside_ranges(features, manifest(), training_ranges(manifest()))
    expected = cell_by_cell(features)
    assert list(found) == list(expected)
    assert {reason: rows.tolist() for reason, rows in found.items()} == expected


def test_a_feature_that_no_row_has_is_in_its_range() -> None:
    nothing = np.full((5, len(NAMES)), np.nan, dtype=np.float32)
    assert not outside_ranges(nothing, manifest(), training_ranges(manifest()))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_reasons", [2, 70])
def test_a_row_has_the_same_reason_alone_as_among_others(n_reasons: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.random((30, n_reasons)) < 2 / n_reasons
    flags = {f"reason {i}": table[:, i] for i in range(n_reasons)}
    among = combined(flags, 30)
    assert np.array_equal(among.found, table.any(axis=1))
    for row in range(30):
        alone = combined({reason: rows[[row]] for reason, rows in flags.items()}, 1)
        assert alone.reasons[alone.reason[0]] == among.reasons[among.reason[row]]
