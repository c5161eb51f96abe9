"""Predict how many epochs a training run has left, how sure that is, and whether it converges."""

TYPE_CHECKING = False  # typing's own would import typing: an interrupt could meet it half loaded
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

#: Where the names lie that are imported when they are asked for, so that the package stays cheap.
_LAZY = {"EtaTracker": "epochs_left.live.tracker", "Eta": "epochs_left.live.eta"}


def __getattr__(name: str) -> "Any":
    """Return a name of `_LAZY` (PEP 562). By text: no stage of the pipeline depends on it."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
