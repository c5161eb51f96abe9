"""Distances in function space to the final state (seed 000): oracle."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.ORACLE,
    units={
        "log_kl_to_final": "log(nats)",
        "log_ntk_to_final": "log(output units)",
        "log_fisher_rao_to_final": "log(1)",
    },
)
def function_distance_to_final(
    kl_to_final: FloatArray, ntk_to_final: FloatArray, fisher_rao_to_final: FloatArray
) -> dict[str, FloatArray]:
    """Mean KL, NTK norm and Fisher-Rao norm to the final state."""
    return {
        "log_kl_to_final": floored_log(kl_to_final),
        "log_ntk_to_final": floored_log(ntk_to_final),
        "log_fisher_rao_to_final": floored_log(fisher_rao_to_final),
    }
