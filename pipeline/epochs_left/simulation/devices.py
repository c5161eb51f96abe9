"""Where networks train: whether a device is to be had, and what of it rounds differently."""

from __future__ import annotations

import importlib
import re
from typing import Any

from epochs_left.errors import UsageError

#: Engines that train in PyTorch; the others are compiled for the CPU.
_IN_TORCH = ("lockstep",)

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def check_device(device: str, engine: str) -> None:
    """Raise UsageError unless ``device`` is one that an engine could train on.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    engine
        Name of the engine (`Workload.engine`).
    """
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"unknown device {device!r}; expected cpu, cuda or cuda:N, e.g. cuda:1")
    if device != "cpu" and engine not in _IN_TORCH:
        raise UsageError(
            f"expected device cpu for the engine {engine}, which is compiled for it, got "
            f"{device}; drop --device"
        )


def require_device(device: str) -> None:
    """Raise UsageError unless PyTorch finds a device that `check_device` accepts on this machine.

    PyTorch is imported for CUDA alone: that takes seconds.
    """
    if device == "cpu":
        return
    torch = _torch()
    if not torch.cuda.is_available():
        raise UsageError(
            f"device {device}: PyTorch {torch.__version__} finds no CUDA device here; install a "
            "CUDA build of it (CONTRIBUTING.md, Many machines) or take cpu"
        )
    number, found = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= found:
        raise UsageError(
            f"device {device}: expected a number below {found}, the CUDA devices here; "
            "take cuda:0 or cpu"
        )


def processor() -> str:
    """Return the vector instructions that PyTorch computes with here, e.g. ``"AVX512"``."""
    return str(_torch().backends.cpu.get_cpu_capability())


def accelerator(device: str) -> str:
    """Return the name of the GPU behind a device (`require_device`); empty for the CPU."""
    if device == "cpu":
        return ""
    require_device(device)
    return str(_torch().cuda.get_device_name(device))


def _torch() -> Any:
    return importlib.import_module("torch")
