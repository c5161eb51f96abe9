"""The battery that every registered feature group obeys, new ones included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.dynamics.schedules import SCHEDULES, learning_rates
from epochs_left.features import FEATURE_GROUPS, FeatureGroup, compute_features
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.schema import View
from epochs_left.trajectories import (
    FORECAST_INPUTS,
    GEOMETRY_INPUTS,
    INPUTS,
    MAY_BE_MISSING,
    MEASURES,
    ORACLE_INPUTS,
    STATE_INPUTS,
    Trajectories,
    pad,
)

GROUPS = dict(FEATURE_GROUPS.items())
GAPS = [
    (name, missing)
    for name, group in GROUPS.items()
    for missing in group.requires
    if missing in MAY_BE_MISSING
]
CAUSAL = [name for name, group in GROUPS.items() if group.view is View.CAUSAL]
OF_STATES = (*STATE_INPUTS, *FORECAST_INPUTS)
PER_EPOCH = (*MEASURES, *(GEOMETRY_INPUTS.keys() - {"final_block_mean"}), *OF_STATES)
N_PARAMS = 9
BLOCKS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3])
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "another")
ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh", "gelu", "another")
LENGTHS = np.array([1, 2, 3, 5, 16, 17, 18, 40, 90, 90])
SEEDS = range(3)

Curve = Callable[[np.random.Generator, int], np.ndarray]


def decaying(rng: np.random.Generator, n: int) -> np.ndarray:
    noise = np.exp(0.1 * rng.normal(size=n))
    return rng.uniform(0, 0.3) + np.exp(-rng.uniform(0.01, 0.5) * np.arange(n)) * noise


def diverging(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(np.minimum(rng.uniform(1, 50) * np.arange(n), 709))


def bad_later(rng: np.random.Generator, n: int) -> np.ndarray:
    curve = decaying(rng, n)
    curve[n // 2 :] = rng.choice([np.nan, np.inf])
    return curve


CURVES: dict[str, Curve] = {
    "decaying": decaying,
    "constant": lambda rng, n: np.full(n, rng.uniform(0.1, 1)),
    "zero": lambda _, n: np.zeros(n),
    "tiny": lambda rng, n: 1e-300 * decaying(rng, n),
    "huge": lambda rng, n: 1e300 * decaying(rng, n),
    "diverging": diverging,
    "bad later": bad_later,
    "oscillating": lambda _, n: 1.0 + 0.5 * (-1.0) ** np.arange(n),
}


def make_runs(kind: str, seed: int, lengths: np.ndarray = LENGTHS) -> Trajectories:
    """Runs of which every input is a curve of one kind, padded with NaN."""
    rng = np.random.default_rng(seed)
    curves = {
        name: pad(np.concatenate([CURVES[kind](rng, n) for n in lengths]), lengths)
        for name in (*MEASURES, *OF_STATES)
    }
    curves["epoch"] = pad(np.concatenate([np.arange(n) for n in lengths]), lengths)
    curves["grad_alignment"] *= np.resize([1, -1], (lengths.size, 1))
    geometry = geometry_of(kind, rng, lengths)
    inputs = {**curves, **geometry, **settings_of(rng, lengths.size)}
    assert inputs.keys() == INPUTS.keys()
    return Trajectories(lengths=lengths, inputs=inputs)


def geometry_of(kind: str, rng: np.random.Generator, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """The geometry of paths along which every parameter is a curve of one kind."""
    signs = rng.choice([-1, 1], size=N_PARAMS)
    paths = [
        np.stack([CURVES[kind](rng, n) for _ in range(N_PARAMS)], axis=1) * signs for n in lengths
    ]
    ends = np.stack([path[-1] for path in paths])
    found = trajectory_geometry(
        np.concatenate(paths), lengths, final=ends, block_of_param=BLOCKS, n_blocks=N_BLOCKS
    )
    of_run = found.pop("final_block_mean")[:, None]
    return {"final_block_mean": of_run, **{k: pad(v, lengths) for k, v in found.items()}}


def settings_of(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Settings of ``n`` runs that differ in all of them; some outlast their horizon."""
    lr = rng.uniform(1e-3, 2, size=(n, 1))
    horizon = rng.integers(5, 120, size=(n, 1))
    schedules = np.resize(np.array([*SCHEDULES, "another"], dtype=object), (n, 1))
    plans = [
        learning_rates(name if name in SCHEDULES else "constant", rate, epochs)
        for (name,), (rate,), (epochs,) in zip(schedules, lr, horizon, strict=True)
    ]
    return {
        "target": rng.uniform(1e-6, 1e-2, size=(n, 1)),
        "plateau": rng.uniform(0.003, 0.3, size=(n, 1)),
        "lr": lr,
        "momentum": rng.choice([0.0, 0.9], size=(n, 1)),
        "weight_decay": rng.choice([0.0, 1e-4], size=(n, 1)),
        "batch_size": rng.choice([1, 4], size=(n, 1)),
        "n_examples": np.resize([4, 16], (n, 1)),
        "n_params": np.resize([N_PARAMS, 2 * N_PARAMS], (n, 1)),
        "horizon": horizon,
        "planned_lr": pad(np.concatenate(plans), np.array([plan.size for plan in plans])),
        "lr_schedule": schedules,
        "optimizer": np.resize(np.array(OPTIMIZERS, dtype=object), (n, 1)),
        "activation": np.resize(np.array(ACTIVATIONS, dtype=object), (n, 1)),
    }


def prefix(runs: Trajectories, seen: int) -> Trajectories:
    """The same runs as they looked when ``seen`` epochs were recorded."""
    cut = {name: runs.inputs[name][:, :seen] for name in PER_EPOCH}
    lengths = np.minimum(runs.lengths, seen)
    return Trajectories(lengths=lengths, inputs={**runs.inputs, **cut})


def selected(runs: Trajectories, rows: list[int], padding: int = 0) -> Trajectories:
    """Some of the runs, in another order, with more or less padding, of their plans too."""
    lengths = runs.lengths[rows]
    inputs = {name: values[rows] for name, values in runs.inputs.items()}
    for name in PER_EPOCH:
        of_rows = inputs[name][:, : lengths.max()]
        width = [(0, 0), (0, padding)] + [(0, 0)] * (of_rows.ndim - 2)
        inputs[name] = np.pad(of_rows, width, constant_values=np.nan)
    longest = int((~np.isnan(inputs["planned_lr"])).sum(axis=1).max())
    plan = inputs["planned_lr"][:, :longest]
    inputs["planned_lr"] = np.pad(plan, [(0, 0), (0, padding)], constant_values=np.nan)
    return Trajectories(lengths=lengths, inputs=inputs)


def unknown(group: FeatureGroup, runs: Trajectories) -> np.ndarray:
    """The cells at which something that the group needs is not known, shape ``(R, E)``."""
    found = np.zeros(runs.observed.shape, dtype=bool)
    for name in MAY_BE_MISSING.intersection(group.requires):
        gaps = np.isnan(runs.inputs[name])
        for _ in range(gaps.ndim - 2):
            gaps = gaps.any(axis=-1)
        found |= gaps
    return found


def assert_same_bits(found: np.ndarray, expected: np.ndarray, name: str) -> None:
    assert found.tobytes() == expected.tobytes(), name


def assert_prefix_invariant(group: FeatureGroup, runs: Trajectories) -> None:
    """A causal feature at epoch t is the same to the bit whether the run goes on or not."""
    whole = compute_features(runs, [group])
    for seen in range(1, runs.n_epochs):
        for name, values in compute_features(prefix(runs, seen), [group]).items():
            assert_same_bits(values, np.ascontiguousarray(whole[name][:, :seen]), name)


def assert_independent_of_the_block(group: FeatureGroup, runs: Trajectories) -> None:
    """A feature of a run does not depend on the other runs, their order, or the padding."""
    whole = compute_features(runs, [group])
    everyone = list(range(runs.n_runs))
    for rows in ([row] for row in everyone):
        for name, values in compute_features(selected(runs, rows), [group]).items():
            assert_same_bits(values, whole[name][rows, : values.shape[1]], name)
    for name, values in compute_features(selected(runs, everyone[::-1], 7), [group]).items():
        assert_same_bits(np.ascontiguousarray(values[:, :-7]), whole[name][::-1].copy(), name)
        assert np.isnan(values[:, -7:]).all()


@pytest.mark.parametrize("name", GROUPS)
def test_group_is_documented(name: str) -> None:
    group = GROUPS[name]
    assert group.name == name
    assert group.summary.endswith(".")
    assert group.units
    assert all(unit.strip() for unit in group.units.values())
    assert set(group.requires) <= set(INPUTS)


def test_feature_names_are_unique() -> None:
    names = Counter(name for group in GROUPS.values() for name in group.units)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_group_asks_for_no_oracle_input(name: str) -> None:
    assert not ORACLE_INPUTS & set(GROUPS[name].requires)


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("name", GROUPS)
def test_features_are_finite_where_their_inputs_are_known(name: str, kind: str) -> None:
    runs = make_runs(kind, seed=0)
    for feature, values in compute_features(runs, [GROUPS[name]]).items():
        assert values.dtype == np.float32
        assert values.shape == (runs.n_runs, runs.n_epochs)
        known = runs.observed & ~unknown(GROUPS[name], runs)
        assert np.isfinite(values[known]).all(), feature
        assert np.isnan(values[~known]).all(), feature


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_feature_is_the_same_whether_the_run_goes_on_or_not(name: str, kind: str) -> None:
    assert_prefix_invariant(GROUPS[name], make_runs(kind, seed=1))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", GROUPS)
def test_feature_depends_on_its_own_run_alone(name: str, seed: int) -> None:
    assert_independent_of_the_block(GROUPS[name], make_runs("decaying", seed))


@pytest.mark.parametrize("name", GROUPS)
def test_input_that_was_not_measured_gives_nan(name: str) -> None:
    runs = make_runs("decaying", seed=0)
    for missing in set(GROUPS[name].requires) - {"epoch"}:
        inputs = {key: values for key, values in runs.inputs.items() if key != missing}
        without = Trajectories(lengths=runs.lengths, inputs=inputs)
        for values in compute_features(without, [GROUPS[name]]).values():
            assert np.isnan(values).all()


@pytest.mark.parametrize(("name", "missing"), GAPS)
def test_where_an_input_is_not_known_the_feature_is_missing_there_alone(
    name: str, missing: str
) -> None:
    runs = make_runs("decaying", seed=2)
    values = runs.inputs[missing]
    gaps = np.random.default_rng(0).random(values.shape[:2]) < 0.3
    if missing not in OF_STATES:  # a state is measured or not, other series break off
        gaps = np.logical_or.accumulate(gaps, axis=1)
    holes = np.where(gaps.reshape(gaps.shape + (1,) * (values.ndim - 2)), np.nan, values)
    holed = Trajectories(lengths=runs.lengths, inputs={**runs.inputs, missing: holes})
    whole = compute_features(runs, [GROUPS[name]])
    for feature, found in compute_features(holed, [GROUPS[name]]).items():
        assert np.isnan(found[gaps & runs.observed]).all(), feature
        assert_same_bits(np.where(gaps, 0, found), np.where(gaps, 0, whole[feature]), feature)


@pytest.mark.parametrize("name", GROUPS)
def test_feature_is_not_the_same_everywhere(name: str) -> None:
    runs = make_runs("decaying", seed=0)
    for feature, values in compute_features(runs, [GROUPS[name]]).items():
        assert np.unique(values[runs.observed]).size > 1, feature


# Leaks that the checks above have to find, or they prove nothing.

LEAKS: dict[str, tuple[tuple[str, ...], Callable[..., np.ndarray]]] = {
    "last loss": (("loss",), lambda loss: loss - loss[:, -1:]),
    "number of epochs": (("loss",), lambda loss: np.full(loss.shape, float(loss.shape[1]))),
    "share of the run elapsed": (
        ("epoch",),
        lambda epoch: epoch / np.maximum(np.nanmax(epoch, axis=1, keepdims=True), 1),
    ),
    "normalised by the whole curve": (
        ("loss",),
        lambda loss: loss / np.nanmax(loss, axis=1, keepdims=True),
    ),
    "centred smoothing": (
        ("loss",),
        lambda loss: loss + np.append(loss[:, 1:], loss[:, -1:], axis=1),
    ),
    "rounding that depends on the length": (
        ("loss",),
        lambda loss: np.cumsum(loss[:, ::-1], axis=1)[:, ::-1],
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_planted_leak_is_found(leak: str) -> None:
    requires, function = LEAKS[leak]
    group = replace(
        GROUPS["loss_level"],
        units={"leak": "1"},
        requires=requires,
        compute=lambda **inputs: {"leak": function(**inputs)},
    )
    with pytest.raises(AssertionError, match="leak"):
        assert_prefix_invariant(group, make_runs("decaying", seed=0))


def test_planted_dependence_on_the_block_is_found() -> None:
    group = replace(
        GROUPS["loss_level"],
        units={"leak": "1"},
        requires=("loss",),
        compute=lambda loss: {"leak": loss / np.nanmax(loss)},
    )
    with pytest.raises(AssertionError, match="leak"):
        assert_independent_of_the_block(group, make_runs("decaying", seed=0))
