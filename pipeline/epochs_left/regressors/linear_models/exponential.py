"""Exponential regression (seed 003, section 4.1): epochs = exp(b0 + sum(b_i f_i))."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._exponential import GammaWithLogLink
from epochs_left.regressors._sampling import OnSample
from epochs_left.regressors._transforms import with_bounded_inputs

#: Rows that a fit sees, of all runs.
ROWS = 12_000
#: Penalty on the squared coefficients, in units of the mean deviance.
PENALTIES = (1e-3, 1e-4, 1e-2)


@regressor(
    title="Exponential",
    scale="epochs",
    candidates=[{"estimator__model__alpha": penalty} for penalty in PENALTIES],
)
def exponential(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Return a generalised linear model with log link and Gamma deviance.

    Its mean is that of the epochs, where log-linear regression has the mean of their logarithm; the
    Gamma's standard deviation is proportional to the mean, so long runs do not set the fit alone,
    as they would with Poisson's. Every training row has at least one epoch to go.
    """
    return OnSample(with_bounded_inputs(GammaWithLogLink(PENALTIES[0])), rows=ROWS)
