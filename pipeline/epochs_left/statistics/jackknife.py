"""Standard errors of scores that no formula and no sums give, by leaving out groups of clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from epochs_left.arrays import BoolArray, Labels

#: Groups that are left out in turn: a score is computed so many times.
N_GROUPS = 20


def grouped_jackknife(
    statistic: Callable[[BoolArray], float], cluster: Labels, n_groups: int = N_GROUPS
) -> float:
    """Return the standard error of a statistic by the delete-a-group jackknife (Kott 2001).

    Clusters are dealt into groups in the order of their labels, which are hashes or at least tell
    nothing; with v_g the statistic without group g, G groups and v their mean,
    ``sqrt((G - 1) / G sum (v_g - v)^2)``.

    Parameters
    ----------
    statistic
        From a mask of the rows to be used, shape ``(n,)``, to the score.
    cluster
        Cluster (lineage) of each row, shape ``(n,)``.
    n_groups
        At most so many groups; fewer where there are fewer clusters.

    Returns
    -------
    NaN with fewer than two clusters, or where a score is undefined.
    """
    names, code = np.unique(cluster, return_inverse=True)
    count = min(n_groups, names.size)
    if count < 2:
        return float("nan")
    left_out = np.array([statistic(code % count != group) for group in range(count)])
    return float(np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)))
