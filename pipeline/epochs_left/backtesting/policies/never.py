"""Stop runs that are predicted never to reach what is asked for."""

from __future__ import annotations

from epochs_left.backtesting.policies import Candidate, Claim, policy


@policy(claim=Claim.NEVER, confidence=0.95)
def never(candidate: Candidate, confidence: float) -> bool:
    """Stop where the probability of reaching is below 1 - confidence."""
    return candidate.p_converges < 1 - confidence
