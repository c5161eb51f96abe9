"""What a tracker answers, as numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

#: Statuses of `prediction.answers.Status` that words are chosen by.
_REACHED, _DIVERGED, _UNLIKE = "already_converged", "diverged", "out_of_distribution"
#: From here on counts are shown whole, and from there on to two digits.
_WHOLE, _LARGE = 9.95, 1e6
#: Units of time, in seconds, and when the next larger one takes over.
_TIMES = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0))
_NEXT_TIME = (90.0, 90 * 60.0, 48 * 3600.0)


@dataclass(frozen=True, kw_only=True)
class Eta:
    """How long a run still takes, as far as its past tells.

    Attributes
    ----------
    epoch
        Where the run stands, in the caller's unit.
    epochs_remaining, lower, upper
        Prediction and interval, in that unit; None where there is none.
    p_converges
        Probability that the goal is reached at all; None where it is not known.
    status, reason
        As `epochs-left predict` answers: ok, insufficient_history, already_converged,
        out_of_distribution or diverged, and what there is to say about it.
    level
        Level of the interval.
    unit
        What is counted, in the singular: ``epoch``, ``step``, ...
    seconds_remaining, seconds_lower, seconds_upper
        The same as a time, by the pace measured so far; None where it is not known.
    model_id
        The bundle that answered.
    """

    epoch: float
    epochs_remaining: float | None
    lower: float | None
    upper: float | None
    p_converges: float | None
    status: str
    reason: str
    level: float
    unit: str
    seconds_remaining: float | None
    seconds_lower: float | None
    seconds_upper: float | None
    model_id: str

    def as_dict(self) -> dict[str, float]:
        """Return the numbers that are known by the names that loggers get: ``eta/lower``, ...

        What is not known is left out: loggers refuse None, and draw nothing for NaN.
        """
        numbers = {
            "epochs_remaining": self.epochs_remaining,
            "lower": self.lower,
            "upper": self.upper,
            "p_converges": self.p_converges,
            "seconds_remaining": self.seconds_remaining,
        }
        return {f"eta/{name}": value for name, value in numbers.items() if value is not None}

    def __str__(self) -> str:
        """Return the answer in words."""
        if self.status == _REACHED:
            return f"0 {self.unit}s left: {self.reason}"
        if self.status == _DIVERGED:
            return f"diverged: {self.reason}"
        if self.epochs_remaining is None:
            return f"{'unknown' if self.p_converges is None else 'not reached'}: {self.reason}"
        parts = [
            f"{self.left}{self._time}",
            *([] if self.p_converges is None else [f"converges with p {_share(self.p_converges)}"]),
            *(["unlike the training runs"] if self.status == _UNLIKE else []),
        ]
        return "; ".join(parts)

    @property
    def left(self) -> str:
        """What is left and its interval in words; empty where it is not known."""
        if self.epochs_remaining is None:
            return ""
        count = shown_count(self.epochs_remaining)
        return f"{count} {self.unit}{'' if count == '1' else 's'} left ({self._interval})"

    @property
    def _interval(self) -> str:
        low = shown_count(self.lower or 0.0)
        ends = f"{low} or more" if self.upper is None else f"{low}-{shown_count(self.upper)}"
        return f"{ends} at {100 * self.level:.3g} %"

    @property
    def _time(self) -> str:
        seconds = self.seconds_remaining
        return "" if seconds is None else f", {shown_duration(seconds)}"


def shown_count(value: float) -> str:
    """Return a count as people write it: 0.4, 37, 1,200, 3.4e+07."""
    if value >= _LARGE:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.1f}".removesuffix(".0")


def shown_duration(seconds: float) -> str:
    """Return a time in the unit that suits it: 45 s, 6 min, 3.5 h, 12 d."""
    index = sum(seconds >= limit for limit in _NEXT_TIME)
    name, size = _TIMES[index]
    count = shown_count(seconds / size) if name in {"h", "d"} else f"{seconds / size:.0f}"
    return f"{count} {name}"


def _share(p: float) -> str:
    """Return a probability to two digits; never as certain as 0 or 1."""
    rounded = min(max(round(p, 2), 0.01), 0.99)
    sign = "=" if abs(rounded - p) <= 0.005 else "<" if p < rounded else ">"
    return f"{sign} {f'{rounded:.2f}'.removeprefix('0')}"
