"""Distances in function space from the start and between epochs (seed 000): causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_kl_from_start": "log(nats)",
        "log_ntk_from_start": "log(output units)",
        "log_ntk_update": "log(output units)",
        "log_fisher_rao_from_start": "log(1)",
        "log_fisher_rao_update": "log(1)",
        "log_ntk_trace": "log(output units^2 / parameter units^2)",
    },
)
def function_distance(
    kl_from_start: FloatArray,
    ntk_from_start: FloatArray,
    ntk_update: FloatArray,
    fisher_rao_from_start: FloatArray,
    fisher_rao_update: FloatArray,
    ntk_trace: FloatArray,
) -> dict[str, FloatArray]:
    """Mean KL, NTK norm and Fisher-Rao norm from the start and of the last epoch; NTK trace."""
    return {
        "log_kl_from_start": floored_log(kl_from_start),
        "log_ntk_from_start": floored_log(ntk_from_start),
        "log_ntk_update": floored_log(ntk_update),
        "log_fisher_rao_from_start": floored_log(fisher_rao_from_start),
        "log_fisher_rao_update": floored_log(fisher_rao_update),
        "log_ntk_trace": floored_log(ntk_trace),
    }
