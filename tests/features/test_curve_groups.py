"""Causal features of the curve, the schedule and the motion, where the answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epochs_left.dynamics.clock import time_on_clock
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.dynamics.schedules import SCHEDULES, learning_rates
from epochs_left.features import FEATURE_GROUPS, compute_features
from epochs_left.trajectories import Trajectories

N_EPOCHS = 64
T = np.arange(float(N_EPOCHS))
TARGET = 1e-6
SEEDS = range(4)


def features(group: str, **inputs: object) -> dict[str, np.ndarray]:
    """Features of one run, shape ``(n_epochs,)``; curves per epoch, numbers and names per run."""
    arrays = {name: np.asarray(value).reshape(1, -1) for name, value in inputs.items()}
    everything = {"epoch": T[None, :], **arrays}
    runs = Trajectories(lengths=np.array([everything["epoch"].size]), inputs=everything)
    computed = compute_features(runs, [FEATURE_GROUPS[group]])
    return {name: values[0] for name, values in computed.items()}


def noisy(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    decay = np.exp(-rng.uniform(0.02, 0.2) * T)
    return 0.1 + decay * np.exp(0.2 * rng.normal(size=N_EPOCHS))


class TestCurveShape:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (37.0, 0.0), (1.0, 5.0)])
    def test_unit_and_floor_of_the_loss_are_irrelevant(
        self, seed: int, scale: float, offset: float
    ) -> None:
        expected = features("curve_shape", loss=noisy(seed))
        found = features("curve_shape", loss=scale * noisy(seed) + offset)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)

    @pytest.mark.parametrize(
        "curve",
        [lambda t: np.exp(-0.05 * t), lambda t: (t + 1) ** -0.7, lambda t: 1 / (1 + np.exp(t - 9))],
    )
    def test_unit_of_time_is_irrelevant(self, curve: Callable[[np.ndarray], np.ndarray]) -> None:
        """Of a curve that falls: every fourth epoch of it has the same shape."""
        whole, epochs = features("curve_shape", loss=curve(T)), np.arange(0, N_EPOCHS, 4)
        sparse = features("curve_shape", loss=curve(T[epochs]), epoch=T[: epochs.size])
        for name, values in sparse.items():
            quarters = slice(0, None, 4)  # a quarter of the epochs so far is an epoch of both
            np.testing.assert_allclose(
                values[quarters], whole[name][epochs][quarters], atol=1e-5, err_msg=name
            )

    def test_shape_of_a_straight_fall(self) -> None:
        found = features("curve_shape", loss=100 - T)
        for share in (0.25, 0.5, 0.75):
            np.testing.assert_allclose(found[f"progress_at_{share:.0%}"][60], share, rtol=1e-6)
        for name in ("fall_bend", "above_best", "age_of_best"):
            np.testing.assert_allclose(found[name][60], 0.0, atol=1e-6)
        np.testing.assert_allclose(found["roughness"][1:], np.log(2), rtol=1e-6)

    def test_a_curve_that_levels_off_bends_one_way_and_one_that_speeds_up_the_other(self) -> None:
        levels_off = features("curve_shape", loss=np.exp(-0.05 * T))["fall_bend"]
        speeds_up = features("curve_shape", loss=10 - np.exp(0.03 * T))["fall_bend"]
        quarters = slice(8, None, 4)  # where a quarter of the epochs so far is an epoch
        assert np.all(levels_off[quarters] > 0)
        assert np.all(speeds_up[quarters] < 0)

    def test_rise_after_the_best_is_counted_from_it(self) -> None:
        loss = np.where(T < 20, 40 - T, 20.0 + 0.1 * (T - 20))
        found = features("curve_shape", loss=loss)
        np.testing.assert_allclose(found["age_of_best"][20:], (T[20:] - 20) / (T[20:] + 1), 1e-6)
        np.testing.assert_allclose(found["above_best"][20:], 0.1 * (T[20:] - 20) / 20, 1e-5, 1e-6)


class TestTargetProgress:
    @pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
    def test_epochs_are_exact_on_an_exponential(self, rate: float) -> None:
        loss = 3.0 * rate**T
        found = features("target_progress", loss=loss, target=TARGET)
        remaining = np.maximum(np.log(TARGET / loss) / np.log(rate), 0)
        for name in ("progress", "share_50%", "share_75%"):
            epochs = np.expm1(found[f"log_epochs_by_{name}"])
            np.testing.assert_allclose(epochs[1:], remaining[1:], 1e-4, 1e-4, err_msg=name)
            assert epochs[0] == pytest.approx(EPOCH_LIMIT, rel=1e-4)

    @pytest.mark.parametrize("power", [2.0, 3.0, 5.0])
    def test_epochs_are_exact_on_a_power_law(self, power: float) -> None:
        loss = 2.0 * (T + 1) ** -power
        found = features("target_progress", loss=loss, target=TARGET)
        reached = (TARGET / 2.0) ** (-1 / power) - 1
        for share in ("50%", "75%"):
            epochs = np.expm1(found[f"log_epochs_by_power_{share}"])
            np.testing.assert_allclose(epochs[1:], np.maximum(reached - T[1:], 0), 1e-4, 1e-3)

    def test_half_of_the_way_on_the_log_scale_is_half_of_the_progress(self) -> None:
        found = features("target_progress", loss=10.0 ** (-T / 10), target=TARGET)
        np.testing.assert_allclose(found["log_progress"][[0, 30, 60]], [0, 0.5, 1], atol=1e-6)

    def test_gap_is_that_of_the_best_loss(self) -> None:
        loss = np.where(T < 20, 0.5**T, 1.0)
        found = features("target_progress", loss=loss, target=TARGET)
        np.testing.assert_allclose(found["log_gap_of_best"][20:], np.log(0.5**19 / TARGET), 1e-5)

    def test_a_target_that_is_reached_needs_no_epochs_and_a_rising_loss_all(self) -> None:
        reached = features("target_progress", loss=1e-9 * 0.9**T, target=TARGET)
        never = features("target_progress", loss=1.1**T, target=TARGET)
        for name in (n for n in reached if n.startswith("log_epochs")):
            np.testing.assert_allclose(reached[name], 0.0)
            np.testing.assert_allclose(never[name], np.log1p(EPOCH_LIMIT), rtol=1e-6)


class TestTargetOnClock:
    @pytest.mark.parametrize("decay", [0.02, 0.3])
    @pytest.mark.parametrize("lr", [1e-3, 0.5])
    @pytest.mark.parametrize("schedule", SCHEDULES)
    def test_epochs_are_exact_where_log_loss_falls_with_the_clock(
        self, schedule: str, lr: float, decay: float
    ) -> None:
        """At any target within the horizon, however the rates are spread over the epochs."""
        planned = learning_rates(schedule, lr, 100)[None, :]
        every = np.arange(101.0)[None, :]
        curve = np.exp(-decay * time_on_clock(planned / lr, every))[0]
        for reached in (70, 80, 90):
            inputs = {"target": curve[reached], "planned_lr": planned, "lr": lr}
            found = features("target_on_clock", loss=curve[:N_EPOCHS], **inputs)
            assert len(found) == 3
            for name, values in found.items():
                np.testing.assert_allclose(
                    np.expm1(values[8:]), reached - T[8:], rtol=1e-3, atol=1e-2, err_msg=name
                )

    def test_a_target_beyond_what_the_schedule_can_do_is_never_reached(self) -> None:
        planned = learning_rates("cosine", 0.1, 100)[None, :]
        curve = np.exp(-0.1 * time_on_clock(planned / 0.1, np.arange(101.0)[None, :]))[0]
        inputs = {"planned_lr": planned, "lr": 0.1}
        beyond = features("target_on_clock", loss=curve[:N_EPOCHS], target=curve[-1] / 2, **inputs)
        for values in beyond.values():
            np.testing.assert_allclose(values[8:], np.log1p(EPOCH_LIMIT), rtol=1e-6)
        reached = features("target_on_clock", loss=curve[:N_EPOCHS], target=2.0, **inputs)
        for values in reached.values():
            np.testing.assert_allclose(values, 0.0)


class TestScheduleAhead:
    @pytest.mark.parametrize("schedule", SCHEDULES)
    def test_what_was_spent_and_what_is_ahead_is_the_whole_plan(self, schedule: str) -> None:
        planned, horizon = learning_rates(schedule, 0.2, 50), 50.0
        found = features("schedule_ahead", planned_lr=planned, lr=0.2, horizon=horizon)
        spent, ahead = np.expm1(found["log_clock"]), np.expm1(found["log_clock_ahead"])
        np.testing.assert_allclose((spent + ahead)[:51], planned[:50].sum() / 0.2, rtol=1e-5)
        np.testing.assert_allclose(ahead[50:], 0.0, atol=1e-6)
        left = np.expm1(found["log_epochs_to_horizon"])
        np.testing.assert_allclose(left, np.maximum(50 - T, 0), rtol=1e-5)
        with np.errstate(divide="ignore"):
            now = np.maximum(np.log(planned / 0.2), -18)
        np.testing.assert_allclose(found["log_lr_now"][:51], now, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["log_lr_now"][51:], now[-1], rtol=1e-5, atol=1e-6)

    def test_clock_of_a_constant_rate_ticks_in_epochs(self) -> None:
        planned = learning_rates("constant", 0.2, 50)
        found = features("schedule_ahead", planned_lr=planned, lr=0.2, horizon=50.0)
        np.testing.assert_allclose(np.expm1(found["log_clock"]), T, rtol=1e-5)

    def test_the_schedule_in_force_is_marked(self) -> None:
        found = features("schedule_kind", lr_schedule=np.array(["step"], dtype=object))
        assert {name for name, values in found.items() if values.all()} == {"schedule_step"}
        assert {name for name, values in found.items() if values.any()} == {"schedule_step"}

    @pytest.mark.parametrize("name", [*SCHEDULES, "step:0.3,0.6,0.8x0.2", "step:0.9"])
    def test_steps_of_one_s_own_are_steps(self, name: str) -> None:
        found = features("schedule_kind", lr_schedule=np.array([name], dtype=object))
        assert found.keys() == {f"schedule_{known}" for known in SCHEDULES}
        kind = name.partition(":")[0]
        assert {key: values.all() for key, values in found.items()} == {
            f"schedule_{known}": known == kind for known in SCHEDULES
        }


class TestPlateauGoal:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize(("scale", "offset"), [(9, 0), (9, 2), (1e-3, 0)])
    def test_unit_and_floor_of_the_loss_are_irrelevant(
        self, seed: int, scale: float, offset: float
    ) -> None:
        """The floor to all but one: a loss close to 0 is on its plateau, whatever comes."""
        loss = scale * noisy(seed) + offset
        expected = features("plateau_goal", loss=noisy(seed), plateau=0.1, horizon=80.0)
        found = features("plateau_goal", loss=loss, plateau=0.1, horizon=80.0)
        whole = "log_loss_over_plateau"
        if offset:
            assert (found.pop(whole) > expected.pop(whole) + 0.1)[10:].any()
        for name, values in expected.items():
            # what is exactly none is none under another unit too, to rounding
            known = (values > -9) & (values < 9)
            np.testing.assert_allclose(found[name][known], values[known], atol=1e-4, err_msg=name)

    def test_late_fall_of_an_exponential_shrinks_below_the_plateau_s_width(self) -> None:
        loss = np.exp(-0.2 * T)
        found = features("plateau_goal", loss=loss, plateau=0.1, horizon=80.0)
        fall = loss[(T / 2).astype(int)] - loss
        np.testing.assert_allclose(
            np.exp(found["log_late_fall_over_plateau"][2:]),
            fall[2:] / (0.1 * (1 - loss[2:])),
            rtol=1e-4,
        )
        np.testing.assert_allclose(found["log_plateau_share"], np.log(0.1), rtol=1e-6)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("plateau", [0.003, 0.1, 0.3])
    def test_the_whole_loss_is_in_the_unit_of_the_share_of_the_initial_one(
        self, seed: int, plateau: float
    ) -> None:
        """Below 1 a curve is on its plateau: its floor is no lower than 0."""
        loss = noisy(seed) - 0.1
        found = features("plateau_goal", loss=loss, plateau=plateau, horizon=80.0)
        expected = np.clip(np.log(loss / loss[0] / plateau), -10, 10)
        np.testing.assert_allclose(found["log_loss_over_plateau"], expected, rtol=1e-5, atol=1e-6)
        below = found["log_loss_over_plateau"] < 0
        excess = found["log_excess_over_plateau"]
        assert (excess[below] < 1e-5).all()

    def test_excess_is_measured_in_widths_of_the_plateau(self) -> None:
        loss = np.where(T < 30, 1.0 - T / 30, 0.2)
        found = features("plateau_goal", loss=loss, plateau=0.1, horizon=80.0)
        best = 1 / 30
        expected = np.log((0.2 - best) / (0.1 * (1 - best)))
        np.testing.assert_allclose(found["log_excess_over_plateau"][30:], expected, rtol=1e-4)

    def test_epochs_to_the_horizon_belong_to_a_plateau_alone(self) -> None:
        found = features("plateau_goal", loss=noisy(0), plateau=0.1, horizon=80.0)
        left = found["log_epochs_to_plateau_horizon"]
        np.testing.assert_allclose(np.expm1(left), np.maximum(80 - T, 0), rtol=1e-5)
        threshold = features("plateau_goal", loss=noisy(0), plateau=np.nan, horizon=80.0)
        assert np.isnan(threshold["log_epochs_to_plateau_horizon"]).all()


class TestMotion:
    @staticmethod
    def of(path: np.ndarray) -> dict[str, np.ndarray]:
        whole = np.zeros(path.shape[1], dtype=int)
        length = np.array([len(path)])
        geometry = trajectory_geometry(path, length, block_of_param=whole, n_blocks=1)
        return features("motion", update_norm=geometry["update_l2"], **geometry)

    def test_a_straight_path_neither_turns_nor_bends(self) -> None:
        found = self.of(np.array([3.0, 4.0]) + T[:, None] * np.array([0.3, 0.4]))
        np.testing.assert_allclose(found["turning_cosine"][2:], 1.0, atol=1e-6)
        np.testing.assert_allclose(found["mean_turning_cosine"][10:], 1.0, atol=1e-6)
        np.testing.assert_allclose(found["outward_cosine"][1:], 1.0, atol=1e-6)
        np.testing.assert_allclose(found["path_curvature"][2:], 0.0, atol=1e-6)
        steps = np.log(0.5 / np.linalg.norm([3 + 0.3 * T, 4 + 0.4 * T], axis=0))
        np.testing.assert_allclose(found["relative_step"][1:], steps[1:], rtol=1e-5)

    @pytest.mark.parametrize("angle", [0.1, 0.5, np.pi / 2])
    def test_a_circle_turns_by_its_angle_at_every_step(self, angle: float) -> None:
        found = self.of(np.stack([np.cos(angle * T), np.sin(angle * T)], axis=1))
        np.testing.assert_allclose(found["turning_cosine"][2:], np.cos(angle), atol=1e-5)
        bend = 2 * np.sin(angle / 2)
        np.testing.assert_allclose(found["path_curvature"][2:], bend, rtol=1e-5)
        np.testing.assert_allclose(found["log_acceleration"][2:], np.log(bend**2), rtol=1e-4)

    def test_going_back_and_forth_turns_round_at_every_step(self) -> None:
        found = self.of(1 + np.stack([T % 2, 0 * T], axis=1))
        np.testing.assert_allclose(found["turning_cosine"][2:], -1.0, atol=1e-6)
        np.testing.assert_allclose(found["path_curvature"][2:], 2.0, rtol=1e-5)


class TestFunction:
    def test_change_of_the_predictions_is_summed_up(self) -> None:
        kl = np.r_[0.0, 0.1 * 0.9 ** T[1:]]
        found = features("functional_change", probe_kl=kl)
        np.testing.assert_allclose(found["log_probe_kl"][1:], np.log(kl[1:]), rtol=1e-5)
        np.testing.assert_allclose(
            np.exp(found["log_probe_kl_travelled"][1:]), np.cumsum(kl)[1:], rtol=1e-5
        )
        np.testing.assert_allclose(found["log_probe_kl_slope"][2:], np.log(0.9), rtol=1e-4)
        np.testing.assert_allclose(found["log_probe_kl_slope"][:2], 0.0)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_distances_and_trace_are_logs(self, seed: int) -> None:
        group = FEATURE_GROUPS["function_distance"]
        rng = np.random.default_rng(seed)
        values = {name: rng.uniform(1e-5, 10, N_EPOCHS) for name in group.requires}
        found = features("function_distance", **values)
        assert found.keys() == {f"log_{name}" for name in values}
        for name, known in values.items():
            np.testing.assert_allclose(np.exp(found[f"log_{name}"]), known, rtol=1e-4)

    def test_full_gradient_of_a_quadratic_dominates_its_loss_by_a_constant(self) -> None:
        """loss = |theta|^2: |grad|^2 / loss = 4 everywhere."""
        distance = 0.9**T
        angles = {
            name: np.full(N_EPOCHS, value)
            for name, value in (
                ("grad_start_cosine", -0.5),
                ("grad_update_cosine", 0.25),
                ("grad_cosine", 0.1),
            )
        }
        found = features("state_gradient", loss=distance**2, grad_norm_full=2 * distance, **angles)
        np.testing.assert_allclose(found["log_full_dominance"], np.log(4), rtol=1e-4)
        np.testing.assert_allclose(found["log_grad_norm_full"], np.log(2 * distance), atol=1e-5)
        for name, values in angles.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6)
