"""Policies that stop a run at its budget: one file each, found by name.

A policy is a function from what is known of a run at its budget, and of those before it, to whether
it is stopped. It is written ``name`` or ``name:confidence``; several joined by ``+`` stop a run
that any of them stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from epochs_left.errors import UsageError
from epochs_left.registry import Registry


class Claim(StrEnum):
    """What a stop says of a run, and what makes it right or wrong."""

    NEVER = "never reaches"
    SLOWER = "reaches later than the best before it, or never"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run in progress at its budget, losses in the unit of the log.

    Attributes
    ----------
    p_converges
        Predicted probability that it reaches what is asked for.
    earliest
        Epoch before which it reaches it with probability 1 - confidence, given that it does.
    best
        Epoch at which the fastest of the runs before it in its task reached; infinite if none did.
    lowest_loss
        Its lowest loss so far.
    usual_loss
        Median, over the completed runs before it in its task, of their mean loss up to the same
        epoch; NaN where they are too few. Both losses are NaN unless a policy reads them.
    """

    p_converges: float
    earliest: float
    best: float
    lowest_loss: float
    usual_loss: float


Stops = Callable[[Candidate, float], bool]


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """A registered policy.

    Attributes
    ----------
    stops
        Whether it stops a candidate at a confidence.
    claim
        What that says of the run.
    confidence
        The usual confidence; None for a policy that has none.
    least
        Confidences are above it.
    reads_losses
        Whether it looks at the losses of a candidate and of those before it.
    """

    stops: Stops
    claim: Claim
    confidence: float | None
    least: float
    reads_losses: bool


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy with its confidence; 0 where it has none."""

    name: str
    spec: PolicySpec
    confidence: float

    def stops(self, candidate: Candidate) -> bool:
        """Return whether it stops a run."""
        return self.spec.stops(candidate, self.confidence)


POLICIES: Registry[PolicySpec] = Registry("policy", __name__)


def policy(
    *,
    claim: Claim,
    confidence: float | None = None,
    least: float = 0.0,
    reads_losses: bool = False,
) -> Callable[[Stops], Stops]:
    """Register a function ``(candidate, confidence) -> stopped`` under its name."""

    def register(stops: Stops) -> Stops:
        spec = PolicySpec(
            stops=stops,
            claim=claim,
            confidence=confidence,
            least=least,
            reads_losses=reads_losses,
        )
        POLICIES.add(str(stops.__name__), spec)
        return stops

    return register


def parsed_policies(text: str) -> list[Policy]:
    """Return the policies that a text joins.

    Raises
    ------
    UsageError
        For an unknown name, with the nearest, or a confidence that is none.
    """
    return [_parsed(part.strip()) for part in text.split("+")]


def _parsed(text: str) -> Policy:
    name, colon, written = text.partition(":")
    spec = POLICIES[name]
    if spec.confidence is None:
        if colon:
            raise UsageError(f"--policy {text}: {name} has no confidence; write {name}")
        return Policy(name=name, spec=spec, confidence=0.0)
    try:
        confidence = float(written) if colon else spec.confidence
    except ValueError:
        confidence = -1.0
    if not spec.least < confidence < 1:
        raise UsageError(
            f"--policy {text}: expected a confidence between {spec.least:g} and 1, got "
            f"{written!r}; write {name}:{spec.confidence:g}"
        )
    return Policy(name=name, spec=spec, confidence=confidence)
