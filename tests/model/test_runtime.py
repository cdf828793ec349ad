"""Runtimes: the registry, PyTorch's runtime, and a further runtime that is added by one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dineuro.pipeline.enhancement import run_enhancer
from dineuro_bridge.errors import BadParameter, MissingDependency
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import CUBES
from dineuro_model.inference import registry
from dineuro_model.inference.registry import RuntimeEntry, load_model, runtimes_for
from dineuro_model.inference.runtime import Runtime, RuntimeInfo, RuntimeOptions
from dineuro_model.inference.torch_runtime import TorchRuntime
from dineuro_model.network.network import Network
from dineuro_model.network.weights import save_weights
from tests.model.test_transfer import TINY
from tests.support.shapes import line, paint

BRIGHT = RuntimeEntry("bright", "tests.support.bright_runtime", ("numpy",))
ABSENT = RuntimeEntry("absent", "tests.support.absent", ("no_such_library",))


def volume() -> np.ndarray:
    return paint([line((8, 20, 10), (40, 20, 10))], (20, 40, 48)) // 2


def test_a_runtime_is_added_by_its_module_and_one_line_of_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "RUNTIMES", (ABSENT, BRIGHT, *registry.RUNTIMES))
    weights = tmp_path / "any.safetensors"
    weights.write_bytes(b"weights of another library")
    model = load_model(str(weights), RuntimeOptions("cpu"))
    assert model.runtime.info == RuntimeInfo("bright", "cpu", "float32")
    result = run_enhancer(
        volume(), "dineuro", lambda: model, scale=CUBES, threshold=128, progress=silent
    )
    assert np.array_equal(result.probability >= 128, volume() > 0)
    assert result.model is model


def names(*request: str) -> list[str]:
    return [entry.name for entry in runtimes_for(*request)]


def test_the_installed_runtimes_come_in_the_order_of_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "RUNTIMES", (ABSENT, BRIGHT, *registry.RUNTIMES))
    monkeypatch.setattr(registry, "has_nvidia_gpu", lambda: False)
    assert names()[0] == "bright"
    assert names()[-1] == "torch"
    assert names("auto", "torch") == ["torch"]
    with pytest.raises(BadParameter, match="'flax': is unknown; the runtimes are absent, bright"):
        runtimes_for("auto", "flax")
    with pytest.raises(MissingDependency, match="needs no_such_library"):
        runtimes_for("auto", "absent")


def test_a_gpu_is_for_the_runtimes_that_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RUNTIMES", (BRIGHT, *registry.RUNTIMES))
    assert names("cuda") == ["torch"]
    assert names("cpu")[0] == "bright"
    with pytest.raises(BadParameter, match="device cuda: the runtime bright"):
        runtimes_for("cuda", "bright")
    monkeypatch.setattr(registry, "has_nvidia_gpu", lambda: True)
    assert names("auto")[:2] == ["torch", "bright"]
    assert names("cpu")[0] == "bright"


def test_a_gpu_is_noticed_by_its_driver_unless_it_is_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(registry, "_GPU_FILES", (str(tmp_path / "absent"), str(tmp_path)))
    assert registry.has_nvidia_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not registry.has_nvidia_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert registry.has_nvidia_gpu()
    monkeypatch.setattr(registry, "_GPU_FILES", (str(tmp_path / "absent"),))
    assert not registry.has_nvidia_gpu()


def test_a_runtime_that_cannot_evaluate_a_network_leaves_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = tmp_path / "any.safetensors"
    weights.write_bytes(b"weights of another library")
    picky = RuntimeEntry("picky", "tests.support.picky_runtime", ("numpy",))
    monkeypatch.setattr(registry, "RUNTIMES", (picky, BRIGHT))
    assert load_model(str(weights)).runtime.info.name == "bright"
    with pytest.raises(MissingDependency, match="another library"):
        load_model(str(weights), runtime="picky")


def test_every_registered_runtime_names_its_module_and_library() -> None:
    assert [entry.name for entry in registry.RUNTIMES] == ["openvino", "torch"]
    assert all(callable(entry.factory()) for entry in registry.RUNTIMES if entry.is_installed())


def test_torch_predicts_as_the_network_does_in_training_mode() -> None:
    """The same bits with gradients and without, in place or not; the network stays as it was."""
    torch.manual_seed(1)
    network = Network(TINY)
    window = torch.rand(2, 8, 32, 48)
    with_gradient = network(window)
    assert with_gradient.requires_grad
    with torch.no_grad():
        assert torch.equal(network(window), with_gradient)
    with torch.inference_mode():
        assert torch.equal(network(window), with_gradient)
    runtime: Runtime = TorchRuntime(network, RuntimeOptions("cpu", bf16=False))
    probabilities = runtime.predict(window.numpy())
    assert np.array_equal(probabilities, with_gradient.detach().sigmoid().numpy())
    assert torch.equal(network(window), with_gradient)
    network(window).sum().backward()
    assert network.head.weight.grad is not None


@pytest.mark.parametrize("gradient", [False, True])
def test_memory_is_reused_when_the_network_says_so_and_not_by_gradient_mode(gradient: bool) -> None:
    torch.manual_seed(1)
    network = Network(TINY)
    window = torch.rand(1, 8, 32, 32)
    pointers: list[int] = []
    block: Any = network.in1
    block.first.register_forward_hook(lambda *call: pointers.append(call[2].data_ptr()))
    block.second.register_forward_pre_hook(lambda _, inputs: pointers.append(inputs[0].data_ptr()))
    with torch.set_grad_enabled(gradient):
        logits = network(window)
        assert torch.equal(network.reuse_memory()(window), logits)
    assert pointers[0] != pointers[1]
    assert pointers[2] == pointers[3]


@pytest.mark.parametrize("half", [False, True])
def test_autocast_gives_the_same_bits_with_and_without_gradient(half: bool) -> None:
    torch.manual_seed(1)
    network = Network(TINY)
    window = torch.rand(1, 8, 32, 32)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        with_gradient = network(window)
        with torch.no_grad():
            assert torch.equal(network(window), with_gradient)


def test_info_and_geometry_describe_the_network(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    digest = save_weights(path, Network(TINY))
    model = load_model(str(path), RuntimeOptions("cpu", bf16=True), runtime="torch")
    assert (model.name, model.sha256) == ("tiny.safetensors", digest)
    assert model.runtime.info == RuntimeInfo("torch", "cpu", "bfloat16")
    geometry = model.runtime.geometry
    assert (geometry.depth, geometry.predicted, geometry.size, geometry.step) == (8, 4, 32, 16)
    assert model.runtime.batch_size((8, 32, 32)) > model.runtime.batch_size((8, 512, 512)) == 1


def test_a_device_that_torch_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadParameter, match="device cuda"):
        TorchRuntime(Network(TINY), RuntimeOptions("cuda"))
    with pytest.raises(BadParameter, match="device 'tpu'"):
        RuntimeOptions("tpu")
