"""Stop runs that are predicted to be slower than the best of their task so far."""

from __future__ import annotations

from epochs_left.backtesting.policies import Candidate, Claim, policy


@policy(claim=Claim.SLOWER, confidence=0.9, least=0.5)
def slower(candidate: Candidate, confidence: float) -> bool:
    """Stop where the run is later than the best before it with the confidence, if it gets there.

    The lower end of the central interval of level 2 confidence - 1 bounds it from that side.
    """
    del confidence  # the candidate's earliest epoch is that of the confidence
    return candidate.earliest > candidate.best
