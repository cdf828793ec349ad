"""OpenVINO's runtime: the same probabilities as torch, on the shipped network and on others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from dineuro_bridge.errors import BadFile, BadParameter, Cancelled, MissingDependency
from dineuro_bridge.progress import Progress
from dineuro_model.catalog import find_model
from dineuro_model.inference import registry
from dineuro_model.inference.registry import load_model
from dineuro_model.inference.runtime import Geometry, RuntimeOptions
from dineuro_model.inference.segment import SegmentOptions, segment
from dineuro_model.mask_scores import dice
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.network.stored import read_network
from dineuro_model.network.weights import save_weights
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from tests.model.test_transfer import TINY
from tests.support.server import ROOT

pytest.importorskip("openvino")

from dineuro_model.inference.openvino_runtime import OpenVinoRuntime

EXACT = RuntimeOptions("cpu", bf16=False)
#: Largest difference of a probability in float32. Both libraries add in orders of their own.
BOUND = 2e-5
DINO = {"depth": 8, "predicted": 4, "blocks": (0, 2), "channels": (2, 4, 4, 8), "taps": 3}


def random_network(config: NetworkConfig) -> Network:
    """A network in which every parameter matters; those that start at zero do not stay there."""
    torch.manual_seed(5)
    network = Network(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
            if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
                parameter.uniform_(0.5, 1.5)
            if name.endswith("offsets.steps.weight"):
                parameter.normal_(0, 1)
        network.head.bias.zero_()
    return network


def both(path: Path, digest: str, options: RuntimeOptions = EXACT) -> tuple[Any, Any]:
    return tuple(
        registry.load_model(str(path), options, runtime=name).runtime
        for name in ("openvino", "torch")
    )  # type: ignore[return-value]


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, tubular="straight"),
        replace(TINY, tubular="none", inflation="center"),
        replace(TINY, predicted=8, blocks=(1,), channels=(3, 5, 7, 9)),
        replace(TINY, depth=12, predicted=10, taps=7),
        NetworkConfig(backbone="", depth=8, predicted=4, size=32, taps=3, channels=(2, 4, 4, 8)),
        NetworkConfig("vit_small_patch8_224.dino", size=32, **DINO),  # type: ignore[arg-type]
        NetworkConfig("vit_small_patch14_reg4_dinov2.lvd142m", size=56, **DINO),  # type: ignore[arg-type]
    ],
    ids=lambda config: f"{config.backbone[:22]}-{config.tubular}-{config.predicted}",
)
def test_it_predicts_what_torch_predicts(config: NetworkConfig, tmp_path: Path) -> None:
    """Windows of several sizes, one after the other; none of them has the size of the training."""
    path = tmp_path / "network.safetensors"
    digest = save_weights(path, random_network(config))
    ours, theirs = both(path, digest)
    assert ours.geometry == theirs.geometry
    step, rng = ours.geometry.step, np.random.default_rng(0)
    sizes = [(1, 2 * step, 3 * step), (3, step, step), (2, 3 * step, step)]
    thin = (ours.geometry.fitting(1), ours.geometry.fitting(ours.geometry.patch + 1))
    for batch, rows, columns in (*sizes, (1, thin[0], 2 * step), (2, step, thin[1]), (1, *thin)):
        windows = rng.random((batch, config.depth, rows, columns), dtype=np.float32) * 2
        found, expected = ours.predict(windows), theirs.predict(windows)
        assert found.dtype == np.float32
        assert found.shape == expected.shape == (batch, config.predicted, rows, columns)
        assert np.ptp(expected) > 0.01
        assert np.abs(found - expected).max() < BOUND


@pytest.fixture(scope="module")
def shipped() -> OpenVinoRuntime:
    weights = find_model()
    return OpenVinoRuntime(read_network(weights.path, sha256=weights.sha256), EXACT)


def test_the_shipped_network_gives_torch_s_probabilities(shipped: OpenVinoRuntime) -> None:
    rng = np.random.default_rng(0)
    window = rng.random((1, 16, 112, 168), dtype=np.float32) * 0.2
    for x in range(8, 160):  # a neurite that leaves its slice
        window[0, 3 + x // 20, 40 + x // 4 : 44 + x // 4, x] = 1
    expected = load_model(options=EXACT, runtime="torch").runtime.predict(window)
    assert (expected > 0.5).sum() > 200
    assert np.abs(shipped.predict(window) - expected).max() < BOUND


def test_bfloat16_is_close_to_float32(shipped: OpenVinoRuntime) -> None:
    weights = find_model()
    rough = OpenVinoRuntime(read_network(weights.path), RuntimeOptions("cpu", bf16=True))
    assert rough.info.precision == "bfloat16"
    assert shipped.info.precision == "float32"
    window = np.random.default_rng(0).random((1, 16, 56, 112), dtype=np.float32) * 0.2
    window[0, 7:10, 26:30, 5:100] = 1
    exact = shipped.predict(window)
    assert exact.max() > 0.5
    assert np.abs(rough.predict(window) - exact).max() < 0.1
    assert np.abs(rough.predict(window) - exact).mean() < 1e-3


@pytest.mark.parametrize("shape", [(20, 28, 150), (20, 12, 112), (20, 112, 14)])
def test_a_thin_volume_has_small_windows_and_about_the_same_mask(
    shape: tuple[int, int, int],
) -> None:
    """In bfloat16 too, which gave NaN in windows of 112 x 16."""
    rng = np.random.default_rng(1)
    tree = grow_tree((40, 160, 160), rng)
    scene = render(tree, (40, 160, 160), rng, RenderSettings.clean())
    places = np.argwhere(scene.mask).mean(axis=0).astype(int)
    low = [min(max(0, at - n // 2), whole - n)
           for at, n, whole in zip(places, shape, scene.mask.shape, strict=True)]  # fmt: skip
    box = tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))
    truth = scene.mask[box] > 0
    weights = find_model()
    runtime = OpenVinoRuntime(read_network(weights.path), RuntimeOptions("cpu", bf16=True))
    thin = _Counting(runtime, runtime.geometry)
    whole = _Counting(runtime, replace(runtime.geometry, patch=0))
    before = segment(scene.voxels[box], whole) >= 128
    after = segment(scene.voxels[box], thin) >= 128
    assert thin.voxels < 0.7 * whole.voxels
    assert dice(before, truth) > 0.8
    assert dice(after, truth) > dice(before, truth) - 0.02


class _Counting:
    """A runtime with another geometry, which counts the voxels that it predicts."""

    def __init__(self, inner: OpenVinoRuntime, geometry: Geometry) -> None:
        self._inner, self.geometry, self.voxels = inner, geometry, 0
        self.info, self.batch_size = inner.info, inner.batch_size

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.voxels += windows.size
        return self._inner.predict(windows)


def test_hostile_volumes_are_segmented_and_twice_to_the_same_bytes(
    shipped: OpenVinoRuntime,
) -> None:
    """Constant, tiny, one slice, needles, and far beyond the range of float16."""
    rng = np.random.default_rng(1)
    for shape in ((1, 1, 1), (1, 60, 70), (20, 1, 1), (1, 120, 1)):
        volume = rng.integers(0, 60_000, shape).astype(np.uint16)
        found = segment(volume, shipped)
        assert found.shape == shape
        assert np.array_equal(found, segment(volume, shipped))
    for value in (0, 7, 65535):
        assert segment(np.full((5, 40, 40), value, dtype=np.uint16), shipped).max() < 3
    large = rng.random((4, 30, 30))
    assert np.abs(segment(large * 1e30, shipped).astype(int) - segment(large, shipped)).max() <= 1


def test_a_cancel_between_tiles_leaves_the_runtime_as_it_was(shipped: OpenVinoRuntime) -> None:
    volume = np.random.default_rng(2).integers(0, 255, (30, 40, 40)).astype(np.uint8)
    expected = segment(volume, shipped)

    def stop(step: Progress) -> None:
        if step.done == 1:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        segment(volume, shipped, SegmentOptions(batch=1), stop)
    assert np.array_equal(segment(volume, shipped), expected)


def test_a_lack_of_memory_halves_the_batch(
    shipped: OpenVinoRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, sizes = shipped._request, []

    class Choking:
        def infer(self, inputs: list[np.ndarray], **rest: Any) -> Any:
            sizes.append(len(inputs[0]))
            if len(inputs[0]) > 1:
                raise RuntimeError("Exception from src/inference: std::bad_alloc")
            return request.infer(inputs, **rest)

    volume = np.random.default_rng(3).integers(0, 255, (30, 40, 40)).astype(np.uint8)
    grid = SegmentOptions(overlap_slices=0, batch=4)
    wide = np.concatenate([volume, np.zeros((30, 40, 400), np.uint8), volume], axis=2)
    expected = segment(wide, shipped, grid)
    monkeypatch.setattr(shipped, "_request", Choking())
    assert np.abs(segment(wide, shipped, grid).astype(int) - expected).max() <= 1
    assert max(sizes) > 1
    assert sizes[-1] == 1
    monkeypatch.setattr(shipped, "_request", None)
    with pytest.raises(AttributeError):  # an error of another kind is no lack of memory
        segment(volume, shipped)


def test_another_device_and_another_kind_of_vit_are_refused(tmp_path: Path) -> None:
    config = replace(TINY, backbone="vit_small_patch16_dinov3.lvd1689m", blocks=(0,))
    path = tmp_path / "dinov3.safetensors"
    save_weights(path, Network(config))
    stored = read_network(path)
    with pytest.raises(MissingDependency, match="torch, because its backbone vit_small"):
        OpenVinoRuntime(stored, EXACT)
    pretended = replace(stored.config, backbone="vit_small_patch16_224")
    with pytest.raises((BadFile, MissingDependency)):
        OpenVinoRuntime(replace(stored, config=pretended), EXACT)
    with pytest.raises(BadParameter, match="device cuda"):
        OpenVinoRuntime(stored, RuntimeOptions("cuda"))
    # With torch beside it, torch evaluates what OpenVINO cannot.
    assert load_model(str(path), EXACT).runtime.info.name == "torch"


@pytest.mark.parametrize(
    "claim",
    [
        {"channels": [2, 4, 4, 10**18]},
        {"channels": [2, 4, 4, 16]},
        {"depth": 16},
        {"depth": 1024, "taps": 1023},
        {"size": 8192},
        {"blocks": [0, 10**9]},
        {"taps": 5},
        {"backbone": ""},
    ],
)
def test_weights_that_claim_another_network_are_refused(
    claim: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "claim.safetensors"
    header = {"format": "dineuro-network-1", "config": {**TINY.to_dict(), **claim}}
    tensors = {k: v.detach().half().contiguous() for k, v in Network(TINY).state_dict().items()}
    path.write_bytes(save(tensors, metadata={"dineuro": json.dumps(header)}))
    with pytest.raises(BadFile, match=r"claim\.safetensors: its weights do not fit its config"):
        load_model(str(path), EXACT)


_TRACE = """
import os, socket, sys
from importlib.machinery import PathFinder

def refuse(*_):
    raise SystemExit("a connection was made")

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in ("torch", "torchvision", "timm"):
            return PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
socket.socket.connect = socket.getaddrinfo = refuse
from dineuro_cli import main
import dineuro

sys.argv = ["dineuro", "models", "--verify"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
import numpy

voxels = numpy.zeros((16, 60, 90), dtype="u1")
voxels[6:9, 28:32, 8:80] = 180
voxels += numpy.random.default_rng(0).integers(0, 20, voxels.shape).astype("u1")
result = dineuro.trace(voxels, enhancer="dineuro")
assert len(result.tree) > 5, len(result.tree)
assert result.runtime.startswith("openvino on cpu"), result.runtime
assert not {"torch", "timm", "openvino_telemetry"} & set(sys.modules)
assert not os.path.exists(os.path.expanduser("~/intel")), "an identifier was stored"
"""


@pytest.mark.slow
def test_a_trace_needs_neither_torch_nor_the_internet(tmp_path: Path) -> None:
    """In a process in which torch and timm cannot be imported, and no connection can be made."""
    environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _TRACE]
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "dineuro-s1" in run.stdout


def test_omp_num_threads_limits_the_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_weights(tmp_path / "tiny.safetensors", random_network(TINY))
    stored = read_network(tmp_path / "tiny.safetensors")
    windows = np.random.default_rng(0).random((1, 8, 32, 32), dtype=np.float32)
    found = []
    for told, threads in (("1", 1), ("2", 2), ("many", None)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        runtime = OpenVinoRuntime(stored, EXACT)
        used = runtime._request.get_compiled_model().get_property("INFERENCE_NUM_THREADS")
        assert used == threads or threads is None, told
        found.append(runtime.predict(windows))
    assert all(np.allclose(one, found[0], atol=1e-6) for one in found)
