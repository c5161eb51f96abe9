"""Features and their groups in words, for those who have not read features/README.md.

A name that is not listed is written without its underscores: a new feature needs no entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

from epochs_left.features import FEATURE_GROUPS

LARGEST_POWER = 700.0  # e to it is still a float

#: What a group looks at, with its colour in pictures.
LOSS, PATH, SETTINGS = "loss curve", "path and gradient", "settings"
END, OTHER = "end point", "other"
KIND_COLOURS: Mapping[str, str] = {
    LOSS: "blue", PATH: "green", SETTINGS: "orange", END: "purple", OTHER: "grey",
}  # fmt: skip

#: Groups by name: what they are called on an axis, and their kind.
_GROUPS: Mapping[str, tuple[str, str]] = {
    "batch": ("batch size", SETTINGS),
    "curve_shape": ("shape of the loss curve", LOSS),
    "distance_from_start": ("distance from the start", PATH),
    "expected_descent": ("descent the gradient promises", PATH),
    "function_distance": ("distance in function space", PATH),
    "function_distance_to_final": ("function distance to the end", END),
    "functional_change": ("change of the predictions", PATH),
    "gradient_norm": ("gradient norm", PATH),
    "learning_rate": ("learning rate", SETTINGS),
    "linearised_forecast": ("linearised forecast", PATH),
    "loss_level": ("loss against the target", LOSS),
    "loss_limit": ("limit of the loss", LOSS),
    "loss_noise": ("noise of the loss", LOSS),
    "loss_slopes": ("slope of the loss", LOSS),
    "model_kind": ("size and activation", SETTINGS),
    "motion": ("motion of the parameters", PATH),
    "optimizer_settings": ("optimizer", SETTINGS),
    "oracle_alignment": ("gradient alignment", END),
    "oracle_differences": ("differences to the end", END),
    "oracle_distances": ("distances to the end", END),
    "oracle_heading": ("heading to the end", END),
    "oracle_interactions": ("products of differences", END),
    "oracle_ratios": ("ratios to the end", END),
    "oracle_speed": ("distance to the end over pace", END),
    "oracle_unit_step": ("distance to the end over lr", END),
    "rates_so_far": ("learning rates so far", SETTINGS),
    "schedule_ahead": ("learning rates ahead", SETTINGS),
    "schedule_kind": ("kind of schedule", SETTINGS),
    "state_gradient": ("full gradient", PATH),
    "target_on_clock": ("pace per learning rate", LOSS),
    "target_progress": ("progress to the target", LOSS),
    "update_size": ("size of the updates", PATH),
    "weight_decay": ("weight decay", SETTINGS),
}

#: Features by name; a logarithm is called by what it is the logarithm of.
_FEATURES: Mapping[str, str] = {
    "above_best": "rise of the loss above its best, over its fall so far",
    "activation_leaky_relu": "activation leaky ReLU",
    "adam": "optimizer Adam",
    "adamw": "optimizer AdamW",
    "age_of_best": "share of the epochs that came after the best loss",
    "batch_share": "share of the examples in a batch",
    "excess_slope": "slope of the log of the steps of the loss",
    "fall_bend": "bend of the loss curve so far",
    "grad_cosine": "agreement of the examples' gradients (GradCosine)",
    "grad_start_cosine": "cosine of the gradient with that at the start",
    "grad_update_cosine": "cosine of the gradient with the last update",
    "log_acceleration": "length of the change between two updates",
    "log_chebyshev_from_start": "largest change of a parameter since the start",
    "log_clock": "learning rate spent so far, in epochs at the base rate",
    "log_clock_ahead": "learning rate planned ahead, in epochs at the base rate",
    "log_cosine_from_start": "cosine distance from the start",
    "log_elapsed": "epochs so far",
    "log_epochs_at_expected_descent": (
        "epochs to the target at the descent that the gradient promises"
    ),
    "log_epochs_at_slope_1": "epochs to the target at the slope of the last epoch",
    "log_epochs_at_slope_16": "epochs to the target at the slope of the last 16 epochs",
    "log_epochs_at_slope_4": "epochs to the target at the slope of the last 4 epochs",
    "log_epochs_by_power_50%": "epochs to the target by a power law through the later half",
    "log_epochs_by_power_75%": "epochs to the target by a power law through the last quarter",
    "log_epochs_by_progress": "epochs to the target at the mean pace so far",
    "log_epochs_by_share_50%": "epochs to the target at the pace of the later half",
    "log_epochs_by_share_75%": "epochs to the target at the pace of the last quarter",
    "log_epochs_on_clock_0%": "epochs to the target at the mean pace so far per learning rate",
    "log_epochs_on_clock_50%": (
        "epochs to the target at the pace of the later half per learning rate"
    ),
    "log_epochs_on_clock_75%": (
        "epochs to the target at the pace of the last quarter per learning rate"
    ),
    "log_epochs_to_horizon": "epochs until the horizon",
    "log_epochs_to_limit": "epochs to the target on the way to the limit of the loss",
    "log_excess_to_limit": "share of the loss that is above its limit",
    "log_expected_descent": "fall of log loss an epoch that the gradient promises",
    "log_full_dominance": "squared full gradient norm over the loss",
    "log_gap_of_best": "best loss so far over the target",
    "log_gap_to_target": "loss over the target",
    "log_grad_norm": "gradient norm",
    "log_grad_norm_full": "norm of the full gradient",
    "log_grad_norm_slope": "slope of the log gradient norm",
    "log_gradient_dominance": "squared gradient norm over the loss",
    "log_l1_from_start": "L1 distance from the start",
    "log_l2_from_start": "distance from the start",
    "log_linearised_epochs": "epochs that the linearised model forecasts",
    "log_linearised_midway_epochs": (
        "epochs that the linearised model forecasts if its kernel changes half the way"
    ),
    "log_loss": "loss",
    "log_loss_drop": "first loss over the loss now",
    "log_loss_slope_1": "slope of log loss over the last epoch",
    "log_loss_slope_16": "slope of log loss over the last 16 epochs",
    "log_loss_slope_4": "slope of log loss over the last 4 epochs",
    "log_lr": "learning rate",
    "log_lr_now": "learning rate in force over the base rate",
    "log_momentum_lr": "learning rate over 1 − momentum",
    "log_n_examples": "training examples",
    "log_n_params": "parameters of the model",
    "log_ntk_trace": "trace of the neural tangent kernel",
    "log_param_norm": "norm of the parameters",
    "log_probe_kl": "change of the predictions in the last epoch (KL)",
    "log_probe_kl_slope": "slope of the log change of the predictions",
    "log_probe_kl_travelled": "change of the predictions summed so far (KL)",
    "log_progress": "share of the way to the target done, on the log of the loss",
    "log_steps": "steps an epoch",
    "log_target": "target of the loss",
    "log_update_norm": "length of the last update",
    "log_update_norm_slope": "slope of the log length of the updates",
    "log_weight_decay": "weight decay",
    "mean_turning_cosine": "mean cosine between successive updates, last 8 epochs",
    "nesterov": "optimizer with Nesterov's momentum",
    "outward_cosine": "cosine of the last update with the way from the start",
    "path_curvature": "bend of the path an epoch",
    "progress_at_25%": "share of the fall so far done in the first quarter",
    "progress_at_50%": "share of the fall so far done in the first half",
    "progress_at_75%": "share of the fall so far done in three quarters",
    "relative_step": "last update over the norm of the parameters",
    "rmsprop": "optimizer RMSProp",
    "roughness": "log of 1 plus the path of the loss over its net fall",
    "share_of_rises": "share of the last 16 epochs in which the loss rose",
    "slope_change": "slope of log loss now less that over 16 epochs",
    "slope_noise": "spread of the steps of log loss",
    "straightness": "straightness of the path so far",
    "turning_cosine": "cosine between the last two updates",
}


def group_label(group: str) -> str:
    """Return what a feature group is called."""
    return _GROUPS[group][0] if group in _GROUPS else group.replace("_", " ")


def group_kind(group: str) -> str:
    """Return what a feature group looks at: a key of ``KIND_COLOURS``."""
    return _GROUPS[group][1] if group in _GROUPS else OTHER


def group_summary(group: str) -> str:
    """Return the first line of a group's definition, "" for one that is not known here."""
    known = dict(FEATURE_GROUPS.items())
    return known[group].summary if group in known else ""


def feature_label(feature: str) -> str:
    """Return what a feature is called; one of a logarithm by what it is the logarithm of."""
    return _FEATURES.get(feature, feature.removeprefix("log_").replace("_", " "))


def is_flag(feature: str) -> bool:
    """Tell whether a feature is 0 or 1."""
    return _units().get(feature) == "0 or 1"


def is_count(feature: str) -> bool:
    """Tell whether a feature is the logarithm of 1 plus what it is called."""
    return _units().get(feature, "").startswith(("log(epochs", "log(1 + "))


def is_log(feature: str) -> bool:
    """Tell whether a feature is the logarithm of what it is called, of 1 plus it or not."""
    return _units().get(feature, "").startswith("log(")


def natural(feature: str) -> Callable[[float], float]:
    """Return the function from a feature's value to that of what it is called."""
    if is_count(feature):
        return lambda value: bounded_exp(value) - 1
    return bounded_exp if is_log(feature) else float


def bounded_exp(value: float) -> float:
    """Return e to the power of a value, that of ``LARGEST_POWER`` for more."""
    return math.exp(min(value, LARGEST_POWER))


@cache
def _units() -> dict[str, str]:
    """Return the unit of each feature of the registry."""
    return {name: unit for _, group in FEATURE_GROUPS.items() for name, unit in group.units.items()}
