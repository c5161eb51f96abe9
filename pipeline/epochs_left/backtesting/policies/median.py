"""The median stopping rule: what people use who predict nothing."""

from __future__ import annotations

from epochs_left.backtesting.policies import Candidate, Claim, policy


@policy(claim=Claim.SLOWER, reads_losses=True)
def median(candidate: Candidate, confidence: float) -> bool:
    """Stop a run whose lowest loss is above the median of the others' mean losses so far.

    Golovin, Solnik, Moitra, Kochanski, Karro and Sculley 2017, "Google Vizier: a service for
    black-box optimization" (KDD), Sec. 3.1.
    """
    del confidence
    return candidate.lowest_loss > candidate.usual_loss
