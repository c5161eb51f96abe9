"""What is measured of a model (3 s, most of it importing torch)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from epochs_left.live import motion
from epochs_left.live.motion import Motion, sample_of

torch = pytest.importorskip("torch")
SEEDS = range(3)


def stack(seed: int, width: int = 8) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Linear(width, 3))


def flat(model: torch.nn.Module) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def perturb(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("seed", SEEDS)
def test_norms_are_those_of_copies_of_the_parameters(seed: int) -> None:
    model, looks = stack(seed), Motion()
    seen, path = [flat(model)], 0.0
    first = looks.look(model)
    assert (first.update_norm, first.path_length, first.distance_from_init) == (0, 0, 0)
    for _ in range(4):
        perturb(model)
        seen.append(flat(model))
        path += float(np.linalg.norm(seen[-1] - seen[-2]))
        moved = looks.look(model)
        assert moved.update_norm == pytest.approx(np.linalg.norm(seen[-1] - seen[-2]), rel=1e-5)
        assert moved.path_length == pytest.approx(path, rel=1e-5)
        assert moved.distance_from_init == pytest.approx(
            np.linalg.norm(seen[-1] - seen[0]), rel=1e-5
        )
        assert moved.param_norm == pytest.approx(np.linalg.norm(seen[-1]), rel=1e-5)
        assert moved.n_params == seen[0].size


def test_looking_changes_nothing_and_keeps_nothing_of_the_model() -> None:
    model, looks = stack(0).double(), Motion()
    before = [p.detach().clone() for p in model.parameters()]
    looks.look(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    perturb(model)
    assert looks.look(model).update_norm > 0  # the snapshot is a copy


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_of_a_large_model_estimates_its_norms(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, whole = stack(seed, width=128), Motion()
    looks = Motion()
    whole.look(model)
    with monkeypatch.context() as patch:
        patch.setattr(motion, "MAX_PARAMS", 4000)
        looks.look(model)
        perturb(model)
        sampled = looks.look(model)
        assert looks.state() is not None
        assert np.frombuffer(looks._last, dtype=np.float32).size == 4000
    exact = whole.look(model)
    assert sampled.n_params == exact.n_params
    for name in ("update_norm", "distance_from_init", "param_norm", "path_length"):
        assert getattr(sampled, name) == pytest.approx(getattr(exact, name), rel=0.05)


def test_a_sample_is_always_the_same_and_draws_nothing_twice() -> None:
    drawn = sample_of(10**9)
    assert np.array_equal(drawn, sample_of(10**9))
    assert np.unique(drawn).size == drawn.size == motion.MAX_PARAMS
    assert np.array_equal(sample_of(5), np.arange(5))


def test_looks_go_on_from_a_state() -> None:
    model, before, after = stack(1), Motion(), Motion()
    before.look(model)
    perturb(model)
    before.look(model)
    after.restore(json.loads(json.dumps(before.state())))
    perturb(model)
    assert after.look(model) == before.look(model)
    Motion().restore(None)


def test_another_model_is_refused() -> None:
    looks = Motion()
    looks.look(stack(0))
    with pytest.raises(ValueError, match=r"expected 99 parameters in 4 tensors .* one tracker"):
        looks.look(stack(0, width=9))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_way_back_to_a_checkpoint_is_no_way(seed: int) -> None:
    """What was taken back counts no longer, and the step across is not known."""
    model, looks = stack(seed), Motion()
    looks.look(model)
    perturb(model)
    kept = looks.look(model).path_length
    for _ in range(3):
        perturb(model)
        looks.look(model)
    looks.resume(kept)
    looks = again(looks)
    perturb(model)
    across = looks.look(model)
    assert np.isnan(across.update_norm)
    assert across.path_length == kept
    before = flat(model)
    perturb(model)
    after = looks.look(model)
    step = np.linalg.norm(flat(model) - before)
    assert after.update_norm == pytest.approx(step, rel=1e-5)
    assert after.path_length == pytest.approx(kept + step, rel=1e-5)


def again(looks: Motion) -> Motion:
    """Return the same after it was written and read."""
    fresh = Motion()
    fresh.restore(json.loads(json.dumps(looks.state())))
    return fresh
