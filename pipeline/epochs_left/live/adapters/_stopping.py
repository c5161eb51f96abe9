"""When a user wants training to be stopped, as text, and why it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from epochs_left.live.eta import Eta, shown_count

_NEVER = re.compile(r"never converges at ([0-9]*\.[0-9]+)")
_LONGER = re.compile(r"takes longer than ([0-9]+(?:\.[0-9]+)?) epochs? at ([0-9]*\.[0-9]+)")
_FORMS = '"never converges at P" or "takes longer than N epochs at P"'


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """Stop a run that is predicted never to converge, or to take too long.

    The two are what `epochs-left backtest --policy` scores as ``never`` and ``slower``.

    Attributes
    ----------
    text
        As the user wrote it.
    confidence
        Probability of being right that is asked for.
    epochs
        Epochs from the start of the run that are too long; None: only never is.
    """

    text: str
    confidence: float
    epochs: float | None = None

    @classmethod
    def parsed(cls, text: str) -> StopRule:
        """Return the rule that a text says; ValueError with the forms there are if it says none."""
        never, longer = (form.fullmatch(str(text)) for form in (_NEVER, _LONGER))
        if never:
            rule, least = cls(text=text, confidence=float(never[1])), 0.0
        elif longer:
            epochs, confidence = map(float, longer.groups())
            rule, least = cls(text=text, confidence=confidence, epochs=epochs), 0.5
        else:
            raise ValueError(
                f"stop_if: expected {_FORMS}, got {text!r}; write 'never converges at .95'"
            )
        if not least < rule.confidence < 1:
            raise ValueError(
                f"stop_if: expected a probability between {least:g} and 1, got "
                f"{rule.confidence:g}; write .95 for 95 %"
            )
        return rule

    @property
    def level(self) -> float | None:
        """Level of the central interval whose lower end holds with the confidence, if one counts.

        As many of the truths lie above a central interval of level 2 c - 1 as below it.
        """
        return None if self.epochs is None else 2 * self.confidence - 1

    def reason(self, eta: Eta) -> str | None:
        """Return why to stop, in one line; None to go on.

        Parameters
        ----------
        eta
            The answer, with intervals of `level` where that counts.
        """
        found = self._never(eta) if self.epochs is None else self._longer(eta, self.epochs)
        return found and f"stopped at {eta.unit} {eta.epoch:g}, as stop_if={self.text!r}: {found}"

    def _never(self, eta: Eta) -> str | None:
        if eta.p_converges is None or eta.p_converges >= 1 - self.confidence:
            return None
        return str(eta) if eta.status == "diverged" else f"converges with p = {eta.p_converges:.2g}"

    def _longer(self, eta: Eta, epochs: float) -> str | None:
        if eta.status == "already_converged":
            return None
        if eta.epochs_remaining is None:
            return str(eta) if eta.p_converges == 0 else None
        earliest = eta.epoch + (eta.lower or 0.0)
        return f"takes {shown_count(earliest)} or more" if earliest > epochs else None
