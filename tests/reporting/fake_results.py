"""Results as `evaluate` writes them, made up: plausible in shape and size, true of nothing.

Loaded by path (`runpy.run_path`), since test folders are not packages.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

OUTCOMES = ("converged", "stuck", "capped", "diverged")
SPLITS = (("row-wise", 0.06), ("by lineage", 0.0), ("locked test", -0.008))
SCOPES = (("all", 0.0), ("abs, full batch", 0.05), ("abs, online", -0.06), ("hidden units", -0.21))
#: model: (title, baseline, R² oracle, R² causal)
MODELS = {
    "constant": ("Constant", True, -0.01, -0.01),
    "lr_only": ("Learning rate only", True, 0.24, 0.24),
    "closed_form_rate": ("Closed-form rate", True, 0.78, 0.62),
    "linear": ("Linear", False, -1.9, -3.2),
    "log_linear": ("Log-linear", False, 0.81, 0.58),
    "polynomial": ("Polynomial", False, 0.88, 0.63),
    "random_forest": ("Random forest", False, 0.953, 0.812),
    "xgboost": ("XGBoost", False, 0.961, 0.836),
}
FEATURES = {
    "oracle": (
        ("log_l2_distance", "distance", "log"), ("lr", "hyperparameters", "1"),
        ("log_abs_difference_2", "logs", "log"), ("l1_distance", "distance", "1"),
        ("cosine_distance", "distance", "1"), ("gradient_alignment", "alignment", "1"),
        ("ratio_0", "ratios", "1"), ("interaction_0_1", "interactions", "1"),
        ("difference_1", "differences", "1"), ("chebyshev_distance", "distance", "1"),
    ),
    "causal": (
        ("log_loss_slope_1, log_loss_slope_4", "log slopes", "1/epoch"),
        ("contraction_rate", "contraction", "1"),
        ("log_loss_over_target", "loss", "log"), ("lr", "hyperparameters", "1"),
        ("log_grad_norm", "gradient", "log"), ("batch_fraction", "hyperparameters", "1"),
        ("distance_from_start", "distance", "1"), ("update_norm", "updates", "1"),
        ("activation_abs", "hyperparameters", "1"), ("epoch", "time", "epoch"),
        ("path_length", "distance", "1"), ("straightness", "distance", "1"),
        ("log_loss_curvature", "log slopes", "1/epoch²"),
        ("grad_norm_slope", "gradient", "1/epoch"),
    ),
}  # fmt: skip


def fake_results(seed: int = 0, *, n_rows: int = 4000, n_plane: int = 121) -> dict[str, Any]:
    """Return results of two families, and of both together, by path below reports/results."""
    rng = np.random.default_rng(seed)
    return {
        **{f"neuron/{name}": value for name, value in _of_family(rng, n_rows).items()},
        **{f"mlp/{name}": value for name, value in _of_family(rng, n_rows).items()},
        "data_card.json": {
            "neuron": _data_card(rng),
            "mlp": {**_data_card(rng), "fitted": False},
        },
        "neuron/closed_form.json": _closed_form(),
        "held_out_families.json": _held_out(),
        "unseen_plateaus.json": _unseen_plateaus(),
        "neuron/parameter_plane.parquet": _plane(rng, n_plane),
        "neuron/parameter_plane.json": {
            "lr": 0.05, "model": "xgboost-causal", "w_plus": 0.0, "extent": 3.0,
            "n": n_plane**2, "boundary": "|w2 - w1| = |b|", "accuracy": 0.984,
            "median_relative_error": 0.087,
        },
        "provenance.json": _provenance(),
    }  # fmt: skip


def _of_family(rng: np.random.Generator, n_rows: int) -> dict[str, Any]:
    return {
        "scores.json": _scores(),
        "predictions.parquet": _predictions(rng, n_rows),
        "error_by_epoch.json": _error_by_epoch(),
        "convergence.json": _convergence(),
        "calibration.json": _calibration(),
        "survival.json": _survival(),
        "beats_baselines.json": _beaten(),
        "importance.json": _importance(),
    }


def _scores() -> list[dict[str, Any]]:
    rows = []
    for (model, (title, baseline, *levels)), (split, gain), (scope, shift), weighting in product(
        MODELS.items(), SPLITS, SCOPES, ("run", "row")
    ):
        for view, level in zip(("oracle", "causal"), levels, strict=True):
            base = {
                "model": model, "title": title, "view": view, "baseline": baseline, "split": split,
                "scope": scope, "weighting": weighting, "n_rows": 81234, "n_runs": 1234,
                "n_lineages": 411, "level": None,
            }  # fmt: skip
            lift = gain * (1.8 if view == "causal" else 0.5) * (not baseline)
            r2 = min(0.998, level + lift + shift * (1.2 - level if level > 0 else 1))
            r2 = min(0.998, r2 + 0.015 * (weighting == "row"))
            rows += _metrics(base, r2)
    return rows


def _metrics(base: dict[str, Any], r2: float) -> list[dict[str, Any]]:
    half = 0.02 + 0.05 * abs(1 - r2) * (base["scope"] != "all")
    rows = [
        {**base, "scale": "log", "metric": "r2", **_around(r2, half)},
        {**base, "scale": "epochs", "metric": "r2", **_around(r2 - 0.12, 2 * half)},
        {**base, "scale": "log", "metric": "mse", **_around(2.4 * (1 - r2), half)},
        {**base, "scale": "epochs", "metric": "mae", **_around(120 * (1.05 - r2), 8 * half)},
        {
            **base, "scale": "epochs", "metric": "median_relative_error",
            **_around(max(0.01, 0.9 * (1 - r2) ** 0.7), half),
        },
    ]  # fmt: skip
    if base["split"] == "row-wise":
        rows.append({**base, "scale": "log", "metric": "r2_gap", **_around(0.03, 0.005)})
    if base["split"] == "locked test" and not base["baseline"]:
        for level in (0.5, 0.8, 0.9):
            held = {**base, "level": level, "scale": "log"}
            rows.append({**held, "metric": "coverage", **_around(level + 0.01, 0.02)})
            rows.append({**held, "metric": "width", **_around(3 * level * (1.01 - r2), 0.03)})
    return rows


def _around(value: float, half: float) -> dict[str, float]:
    return {"estimate": value, "lower": value - 1.1 * half, "upper": value + 0.9 * half}


def _data_card(rng: np.random.Generator) -> dict[str, Any]:
    by = []
    for dimension, settings in (
        ("activation", ("abs", "leaky_relu", "relu", "tanh")),
        ("batch", ("1", "full")),
        ("optimizer", ("sgd", "momentum")),
        ("init_scheme", ("normal", "uniform", "xavier")),
        ("architecture", tuple(f"2-{width}-1" for width in range(4, 14))),
    ):
        for setting in settings:
            chances = np.array([0.62, 0.24, 0.1, 0.04]) * rng.uniform(0.5, 1.5, 4)
            counts = rng.multinomial(10_000 // len(settings), chances / chances.sum())
            by.append(
                {
                    "dimension": dimension,
                    "setting": setting,
                    "n_runs": int(counts.sum()),
                    "outcomes": dict(zip(OUTCOMES, map(int, counts), strict=True)),
                }
            )
    members = [row["outcomes"] for row in by if row["dimension"] == "activation"]
    totals = {name: sum(row[name] for row in members) for name in OUTCOMES}
    edges = np.unique(np.round(np.geomspace(1, 1001, 25)))
    converged = np.histogram(np.exp(rng.normal(3.8, 1.2, totals["converged"])), edges)[0]
    stuck = np.histogram(np.exp(rng.normal(4.6, 0.8, totals["stuck"])), edges)[0]
    diverged = np.histogram(np.exp(rng.normal(1.5, 0.6, totals["diverged"])), edges)[0]
    capped = np.zeros(edges.size - 1, dtype=int)
    capped[-1] = totals["capped"]
    return {
        "fitted": True, "n_runs": sum(totals.values()), "n_lineages": 2500, "n_rows": 1_853_321,
        "bytes": 53_412_345, "data_sha256": "9f" * 32, "outcomes": totals, "by": by,
        "epochs_to_convergence": {"0.05": 6, "0.25": 20, "0.5": 45, "0.75": 105, "0.95": 420},
        "histogram": {
            "edges": edges.tolist(), "converged": converged.tolist(), "stuck": stuck.tolist(),
            "capped": capped.tolist(), "diverged": diverged.tolist(),
        },
    }  # fmt: skip


def _closed_form() -> dict[str, Any]:
    medians = ((0.01, 351), (0.1, 32), (0.3, 8), (0.5, 1), (0.9, 31))
    return {
        "n_runs": 3124, "n_equal": 3124, "share_equal": 1.0, "n_stuck": 1180, "n_converged": 1902,
        "n_capped": 42, "n_diverged": 0,
        "n01": {
            "n_lineages": 1041, "converged_share": 0.6151, "expected": 0.6082,
            "standard_error": 0.0151,
        },
        "medians": [
            {"lr": lr, "epochs": n + 2 * (lr < 0.05), "closed_form": n, "n_runs": 50}
            for lr, n in medians
        ],
    }  # fmt: skip


def _predictions(rng: np.random.Generator, n_rows: int) -> pa.Table:
    parts = []
    for view, spread in (("oracle", 0.1), ("causal", 0.32)):
        ends = np.exp(rng.normal(4.2, 1.1, n_rows)).clip(2, 1000).round()
        epochs = np.floor(ends * rng.uniform(0, 1, n_rows))
        actual = ends - epochs
        logs = np.log1p(actual) * (0.97 if view == "causal" else 1.0)
        predicted = np.expm1(logs + rng.standard_t(3, n_rows) * spread + 0.05).clip(0)
        parts.append(
            pa.table(
                {
                    "model": ["xgboost"] * n_rows,
                    "view": [view] * n_rows,
                    "run_id": [f"{i:016x}" for i in rng.integers(0, n_rows // 4, n_rows)],
                    "epoch": epochs.astype(np.int32),
                    "outcome_epoch": ends.astype(np.int32),
                    "actual": actual,
                    "predicted": predicted,
                    "lower": predicted / 1.8,
                    "upper": predicted * 1.8,
                    "activation": rng.choice(
                        ["abs", "relu", "leaky_relu", "tanh"], n_rows
                    ).tolist(),
                    "batch": rng.choice(["full", "online"], n_rows).tolist(),
                    "lr": np.exp(rng.uniform(np.log(1e-3), np.log(1), n_rows)),
                }
            )
        )
    return pa.concat_tables(parts)


def _error_by_epoch() -> list[dict[str, Any]]:
    start = {"xgboost": 0.62, "random_forest": 0.7, "closed_form_rate": 0.9, "lr_only": 1.1}
    rows = []
    for (model, first), view in product(start.items(), ("oracle", "causal")):
        for at in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500):
            fall = 0.75 if model != "lr_only" else 0.1
            error = first * (0.25 if view == "oracle" else 1.0) * (1 + at) ** (-fall / 2)
            half = 0.03 + 0.0002 * at
            rows.append(
                {
                    "model": model,
                    "view": view,
                    "epochs_seen": at,
                    "n_runs": int(1200 / (1 + at / 60)),
                    "median_relative_error": error,
                    "lower": max(0.0, error - half),
                    "upper": error + half,
                }
            )
    return rows


def _convergence() -> dict[str, Any]:
    bins = np.linspace(0.05, 0.95, 10)
    return {
        "model": "xgboost", "view": "causal", "auc": 0.963, "auc_lower": 0.951, "auc_upper": 0.972,
        "brier": 0.071, "at_epoch": 10, "n_runs": 1890, "landmarks": _landmarks(),
        "reliability": [
            {"predicted": float(p), "observed": float(p + 0.05 * np.sin(7 * p)), "n": int(400 * p)}
            for p in bins
        ],
    }  # fmt: skip


def _landmarks() -> list[dict[str, Any]]:
    return [
        {
            "at_epoch": at, "n_runs": 2000 - 20 * at, "n_lineages": 500 - 5 * at,
            "share_converged": 0.6, "auc": _around(0.97 - at / 1000, 0.01),
            "brier": _around(0.03, 0.01), "bias": _around(0.01, 0.02),
            "calibration_error": 0.02, "calibration_error_by_chance": 0.015,
        }
        for at in (1, 2, 5, 10, 20, 50)
    ]  # fmt: skip


def _calibration() -> dict[str, Any]:
    models = {"xgboost": "XGBoost", "random_forest": "Random forest"}
    size = {"n_rows": 4000, "n_runs": 1126, "n_lineages": 404}
    intervals, distributions = [], []
    for model, title in models.items():
        named = {"model": model, "title": title, "view": "causal"}
        for scope, level in (("all", 0.5), ("all", 0.8), ("all", 0.9), ("optimizer sgd", 0.9)):
            scored = {
                "coverage": _around(level + 0.02, 0.01), "width": _around(2 * level, 0.1),
                "interval_score": _around(3 * level, 0.1), "holds_level": False,
                "median_width": 2 * level, "median_ratio": 1 + level,
            }  # fmt: skip
            intervals.append({**named, "scope": scope, "level": level, **scored, **size})
        pit = [0.08, 0.09, 0.1, 0.11, 0.12, 0.12, 0.11, 0.1, 0.09, 0.08]
        distributions.append({**named, "crps": _around(0.14, 0.01), "pit": pit, **size})
    return {"intervals": intervals, "distributions": distributions}


def _survival() -> list[dict[str, Any]]:
    titles = {
        "xgboost": "XGBoost", "failure_times": "Boosted failure times, without P(converges)",
        "survival_forest": "Random survival forest", "siblings": "Kaplan-Meier of siblings",
    }  # fmt: skip
    return [
        {
            "model": model, "title": title, "at_epoch": at, "n_converged": 700, "n_rows": 1900,
            "last_time": 148.0, "n_runs": 1900, "n_lineages": 400, "missing": None,
            "c_index": _around(0.95 - 0.1 * order, 0.01),
            "integrated_brier": _around(0.03 + 0.05 * order, 0.005),
        }
        for at in (1, 5, 10)
        for order, (model, title) in enumerate(titles.items())
    ]  # fmt: skip


def _beaten() -> dict[str, Any]:
    rules = {"exponential_fit": ("Exponential fit", 0.004), "theory": ("Closed form", 0.21)}
    entries = [
        {
            "baseline": name, "title": title, "r2_gain": 0.3 - p,
            "squared_error": {"p_holm": p, "difference": -0.4}, "beaten": p < 0.05,
        }
        for name, (title, p) in rules.items()
    ]  # fmt: skip
    return {
        "model": "xgboost", "title": "Gradient boosting", "split": "by lineage", "scale": "log",
        "weighting": "run", "n_rows": 8123, "n_runs": 1234, "n_lineages": 411,
        "all_beaten": False, "baselines": entries,
    }  # fmt: skip


def _held_out() -> list[dict[str, Any]]:
    return [
        {
            "family": family, "level": 0.9, "r2": r2, "median_relative_error": 0.4,
            "coverage": coverage, "log_width": 3.9, "auc": 0.83, "share_unlike": 1.0,
            "share_unlike_features": 0.4, "n_rows": 900, "n_runs": 120, "n_lineages": 40,
            "sooner": 0.01, "later": 0.99 - coverage, "bias": 0.2, "parts": _parts(coverage),
            "answers": [
                {
                    "inputs": inputs, "interval": interval, "r2": r2, "log_width": 3.9,
                    "coverage": _around(coverage, 0.02),
                }
                for inputs in ("all", "loss_only") for interval in ("as measured", "widened")
            ],
            "in_family": {"r2": r2 + 0.3, "coverage": 0.91},
        }
        for family, r2, coverage in (("neuron", 0.5, 0.79), ("mlp", 0.4, 0.97))
    ]  # fmt: skip


def _unseen_plateaus() -> list[dict[str, Any]]:
    return [
        {
            "family": family, "availability": availability, "level": 0.9, "log_width": 1.4,
            "r2": _around(0.4, 0.1), "median_relative_error": 0.25, "auc": _around(0.83, 0.03),
            "coverage": _around(coverage, 0.03), "share_reached": 0.6, "n_rows": 900,
            "n_runs": 120, "n_lineages": 40,
        }
        for family, coverage in (("neuron", 0.5), ("mlp", 0.92))
        for availability in ("all", "loss_only")
    ]  # fmt: skip


def _parts(coverage: float) -> list[dict[str, Any]]:
    return [
        {
            "part": part, "coverage": _around(held, 0.03), "sooner": 0.99 - held, "later": 0.01,
            "bias": -1.1, "log_width": 2.9, "n_runs": 60, "n_rows": 400, "n_lineages": 30,
        }
        for part, held in (("optimizer sgd", coverage), ("epochs left 1 to 10", coverage - 0.1))
    ]  # fmt: skip


def _importance() -> list[dict[str, Any]]:
    return [
        {
            "model": "xgboost",
            "view": view,
            "feature": feature,
            "unit": unit,
            "group": group,
            "importance": 0.52 * 0.68**order,
            "lower": 0.47 * 0.68**order,
            "upper": 0.58 * 0.68**order,
        }
        for view, features in FEATURES.items()
        for order, (feature, group, unit) in enumerate(features)
    ]


def _plane(rng: np.random.Generator, n: int) -> pa.Table:
    axis = np.linspace(-3, 3, n)
    w, b = (grid.ravel() for grid in np.meshgrid(axis, axis))
    gap = np.abs(w) - np.abs(b)
    is_solved = gap > 0
    distance = np.hypot(np.abs(w) - 1, b) + 1e-3
    epochs = np.ceil(np.log(distance / 1e-3) / -np.log(0.8) + 6 / (0.15 + np.abs(gap))).clip(1)
    chance = 1 / (1 + np.exp(-12 * gap + rng.normal(0, 0.6, w.size)))
    predicted = np.where(chance >= 0.5, epochs * np.exp(rng.normal(0, 0.12, w.size)), np.nan)
    return pa.table(
        {
            "w_minus": w,
            "b": b,
            "outcome": np.where(is_solved, "converged", "stuck").tolist(),
            "epochs": pa.array(np.where(is_solved, epochs, np.nan), from_pandas=True),
            "predicted": pa.array(predicted, from_pandas=True),
            "p_converges": chance,
        }
    )


def _provenance() -> dict[str, Any]:
    return {
        "versions": {
            "epochs-left": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "scikit-learn": "1.7.0",
            "xgboost": "3.0.0", "numba": "0.62.0", "pyarrow": "26.0.1",
        },
        "platform": "Linux-x86_64", "root_seed": 20240917,
        "commands": ["git clone URL epochs-left", "cd epochs-left", "make reproduce"],
        "data_sha256": {"neuron": "9f" * 32},
        "git": None,
    }  # fmt: skip
