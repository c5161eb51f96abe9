"""The terminal's view of a run in progress: its curve, when it ends, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from epochs_left.arrays import FloatArray
from epochs_left.cli.messages import printable
from epochs_left.live.eta import Eta, shown_count
from epochs_left.live.watching import Seen

_BARS = "▁▂▃▄▅▆▇█"
#: Columns of the curve and of the band.
_WIDTH = 60
#: Points of a curve that are kept for drawing.
_MAX_POINTS = 4096


@contextmanager
def live_panel(title: str) -> Iterator[LivePanel]:
    """Yield a panel that is drawn anew with each row."""
    console = Console()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield LivePanel(live, title)


class LivePanel:
    """Keeps the curve of the run that was written last."""

    def __init__(self, live: Live, title: str) -> None:
        self._live, self._title = live, printable(title)
        self._run = ""
        self._curve: list[tuple[int, float]] = []

    def show(self, seen: Seen) -> None:
        """Take a row; draw where there is an answer."""
        before = self._curve if seen.run == self._run else []
        if seen.back_from is not None:
            before = [point for point in before if point[0] < seen.epoch]
        new = [(seen.epoch, seen.value)] if np.isfinite(seen.value) else []
        self._run, self._curve = seen.run, [*before[-_MAX_POINTS:], *new]
        if seen.eta is not None:
            self._live.update(self._panel(seen, seen.eta), refresh=True)

    def end(self) -> None:
        """Leave the last picture."""

    def _panel(self, seen: Seen, eta: Eta) -> Panel:
        value = "no loss" if np.isnan(seen.value) else f"{seen.value:.4g}"
        lines = [
            Text(f"{eta.unit} {seen.epoch}, {value}"),
            Text(sparkline([value for _, value in self._curve], _WIDTH)),
            Text(band(eta, _WIDTH)),
            Text(printable(str(eta))),
            *([Text(f"ends about {ends_at(eta, time.time())}")] if eta.seconds_remaining else []),
        ]
        title = Text(f"{self._title}: {printable(seen.run)}")
        return Panel(Group(*(line for line in lines if line.plain)), title=title, expand=False)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a curve as bars, at most ``width`` of them; on a log scale where all are above 0."""
    if not values:
        return ""
    curve: FloatArray = np.asarray(values, dtype=np.float64)
    scaled = np.log(curve) if curve.min() > 0 else curve
    columns = np.array_split(scaled, min(width, scaled.size))
    heights = np.array([column.mean() for column in columns])
    spread = heights.max() - heights.min()
    level = (heights - heights.min()) / spread if spread > 0 else np.zeros_like(heights)
    return "".join(_BARS[round(share * (len(_BARS) - 1))] for share in level)


def band(eta: Eta, width: int) -> str:
    """Return now, the interval and the prediction on one line, from now to the interval's end."""
    if eta.epochs_remaining is None or eta.lower is None or eta.epochs_remaining == 0:
        return ""
    end = eta.epochs_remaining * 2 if eta.upper is None else eta.upper
    last = f" {'more' if eta.upper is None else shown_count(end)}"
    size = max(width - len(last), 2)
    low, at = (
        min(int(size * value / end), size - 1) for value in (eta.lower, eta.epochs_remaining)
    )
    line = ["─"] * low + ["━"] * (size - low)
    line[at] = "●"
    return "".join(line) + last


def ends_at(eta: Eta, now: float) -> str:
    """Return the time of day at which it ends, with the date if that is not today."""
    assert eta.seconds_remaining is not None
    today, then = time.localtime(now), time.localtime(now + eta.seconds_remaining)
    same_day = today[:3] == then[:3]
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", then)
