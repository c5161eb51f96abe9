"""The battery that every registered feature group obeys, new ones included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from epochs_left.features import FEATURE_GROUPS, FeatureGroup, compute_features
from epochs_left.schema import View
from epochs_left.trajectories import INPUTS, ORACLE_INPUTS, Trajectories

GROUPS = dict(FEATURE_GROUPS.items())
CAUSAL = [name for name, group in GROUPS.items() if group.view is View.CAUSAL]
PER_EPOCH = ("epoch", "loss", "grad_norm", "update_norm", "path_length", "probe_kl", "params")
N_PARAMS = 9
OPTIMIZERS = ("sgd", "momentum", "nesterov", "another")
ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh", "another")
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
    n_runs, n_epochs = lengths.size, int(lengths.max())
    inputs: dict[str, np.ndarray] = {
        name: np.full((n_runs, n_epochs), np.nan) for name in PER_EPOCH if name != "params"
    }
    inputs["params"] = np.full((n_runs, n_epochs, N_PARAMS), np.nan)
    final = np.empty((n_runs, N_PARAMS))
    for run, n in enumerate(lengths):
        for name in PER_EPOCH[1:-1]:
            inputs[name][run, :n] = CURVES[kind](rng, n)
        inputs["epoch"][run, :n] = np.arange(n)
        signs = rng.choice([-1, 1], size=N_PARAMS)
        curves = [CURVES[kind](rng, n) for _ in range(N_PARAMS)]
        inputs["params"][run, :n] = np.stack(curves, axis=1) * signs
        final[run] = inputs["params"][run, n - 1]
    settings = {
        "target": rng.uniform(1e-6, 1e-2, size=(n_runs, 1)),
        "lr": rng.uniform(1e-3, 2, size=(n_runs, 1)),
        "momentum": rng.choice([0.0, 0.9], size=(n_runs, 1)),
        "batch_size": rng.choice([1, 4], size=(n_runs, 1)),
        "n_examples": np.full((n_runs, 1), 4),
        "n_params": np.resize([N_PARAMS, 2 * N_PARAMS], (n_runs, 1)),
        "optimizer": np.resize(np.array(OPTIMIZERS, dtype=object), (n_runs, 1)),
        "activation": np.resize(np.array(ACTIVATIONS, dtype=object), (n_runs, 1)),
    }
    blocks = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3])
    everything = {**inputs, **settings, "final_params": final, "block_of_param": blocks}
    return Trajectories(lengths=lengths, inputs=everything)


def prefix(runs: Trajectories, seen: int) -> Trajectories:
    """The same runs as they looked when ``seen`` epochs were recorded."""
    cut = {name: runs.inputs[name][:, :seen] for name in PER_EPOCH}
    lengths = np.minimum(runs.lengths, seen)
    return Trajectories(lengths=lengths, inputs={**runs.inputs, **cut})


def selected(runs: Trajectories, rows: list[int], padding: int = 0) -> Trajectories:
    """Some of the runs, in another order, with more or less padding."""
    lengths = runs.lengths[rows]
    n_epochs = int(lengths.max())
    inputs = {}
    for name, values in runs.inputs.items():
        if name == "block_of_param":
            inputs[name] = values
            continue
        of_rows = values[rows]
        if name in PER_EPOCH:
            of_rows = of_rows[:, :n_epochs]
            width = [(0, 0), (0, padding)] + [(0, 0)] * (of_rows.ndim - 2)
            of_rows = np.pad(of_rows, width, constant_values=np.nan)
        inputs[name] = of_rows
    return Trajectories(lengths=lengths, inputs=inputs)


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
def test_features_are_finite_and_padding_is_not(name: str, kind: str) -> None:
    runs = make_runs(kind, seed=0)
    for feature, values in compute_features(runs, [GROUPS[name]]).items():
        assert values.dtype == np.float32
        assert values.shape == (runs.n_runs, runs.n_epochs)
        assert np.isfinite(values[runs.observed]).all(), feature
        assert np.isnan(values[~runs.observed]).all(), feature


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
