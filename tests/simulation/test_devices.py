"""Devices: what is none, and what is not there, is refused before anything is planned."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from epochs_left.errors import ModelError, UsageError
from epochs_left.simulation import devices, runner
from epochs_left.simulation.devices import accelerator, check_device, processor, require_device
from epochs_left.simulation.planning import environment
from epochs_left.stages import simulate as stage
from epochs_left.workloads import WORKLOADS

TORCH_FAMILIES = [name for name in WORKLOADS if WORKLOADS[name].engine == "lockstep"]
OTHERS = [name for name in WORKLOADS if name not in TORCH_FAMILIES]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyTorch that says that it has two GPUs."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        get_device_name=lambda device: {"cuda:1": "A100"}.get(device, "H200"),
    )
    fake = SimpleNamespace(cuda=cuda, __version__="2", backends=torch.backends)
    monkeypatch.setattr(devices, "_torch", lambda: fake)


@pytest.mark.parametrize("device", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "1"])
@pytest.mark.parametrize("engine", ["lockstep", "neuron"])
def test_what_is_no_device_is_refused(device: str, engine: str) -> None:
    with pytest.raises(UsageError, match=r"unknown device .*; expected cpu, cuda or cuda:N"):
        check_device(device, engine)


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_compiled_engines_know_the_cpu_alone(
    family: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_device("cpu", WORKLOADS[family].engine)
    monkeypatch.setattr(sys, "argv", ["simulate", family, "--device", device])
    with pytest.raises(UsageError, match=f"expected device cpu .* got {device}; drop --device"):
        stage.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("family", TORCH_FAMILIES)
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_without_a_gpu_the_stage_says_where_to_get_one_before_it_reads_anything(
    family: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> None:
        raise AssertionError("parameters read")

    monkeypatch.setattr(stage, "load_params", read)
    monkeypatch.setattr(sys, "argv", ["simulate", family, "--device", device])
    with pytest.raises(UsageError, match=f"device {device}: PyTorch .* finds no CUDA .*CONTRIB"):
        stage.main()


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("device", "name"), [("cuda", "H200"), ("cuda:0", "H200")])
def test_a_gpu_that_is_there_has_a_name(device: str, name: str) -> None:
    assert accelerator(device) == name
    assert accelerator("cuda:1") == "A100"
    assert accelerator("cpu") == ""


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("device", ["cuda:2", "cuda:17"])
def test_a_number_above_the_gpus_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"device {device}: expected a number below 2"):
        require_device(device)


def test_the_cpu_needs_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_torch", lambda: pytest.fail("imported"))
    require_device("cpu")
    assert accelerator("cpu") == ""


def test_the_processor_is_what_pytorch_computes_with() -> None:
    assert processor() == torch.backends.cpu.get_cpu_capability()
    assert environment()["processor"] == processor()


@pytest.mark.parametrize(("name", "other"), [("gpu", "H100"), ("processor", "SSE")])
def test_a_worker_whose_arithmetic_is_another_is_refused(name: str, other: str) -> None:
    expected = {**environment(), "gpu": "A100"}
    runner._check_environment(expected, "A100")
    with pytest.raises(ModelError, match=rf"worker .* has {name} .*, not {other}: .*leave it out"):
        runner._check_environment({**expected, name: other}, "A100")
