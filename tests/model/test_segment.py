"""Volume -> probability, weights on disk, the loss, and a training run that survives a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from dineuro_bridge.errors import (
    BadFile,
    BadParameter,
    BadVolume,
    Cancelled,
    DineuroError,
    FileAccess,
    LimitExceeded,
)
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.catalog import find_model
from dineuro_model.inference import registry
from dineuro_model.inference.runtime import Runtime, RuntimeOptions
from dineuro_model.inference.segment import SegmentOptions, segment
from dineuro_model.inference.tiles import Grid, axis_windows, occupied_cells, plan
from dineuro_model.inference.torch_runtime import TorchRuntime
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.network.network import Network
from dineuro_model.network.weights import load_network, save_weights
from dineuro_model.training import train as training
from dineuro_model.training.losses import (
    LossWeights,
    focal_loss,
    segmentation_loss,
    skeleton_recall_loss,
    soft_cldice_loss,
    soft_skeleton,
)
from dineuro_model.training.recipe import Recipe, Schedule, read_recipe
from dineuro_model.training.sampling import Case, Rendered
from dineuro_model.training.train import train
from tests.model.test_transfer import TINY
from tests.support.networks import sensitive_network
from tests.support.shapes import line, paint

PLAIN = SegmentOptions(overlap=8)


@pytest.fixture(scope="module")
def network() -> Network:
    return sensitive_network(TINY, 3)


@pytest.fixture(scope="module", params=[entry.name for entry in registry.RUNTIMES])
def runtime(
    network: Network, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Runtime:
    """The same network in float32 on the CPU, in each runtime that is installed."""
    entry = next(entry for entry in registry.RUNTIMES if entry.name == request.param)
    if not entry.is_installed():
        pytest.skip(f"{entry.name} is not installed")
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    digest = save_weights(path, network)
    return entry.factory()(path, sha256=digest, options=RuntimeOptions("cpu", bf16=False))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 40, 70), (20, 33, 32), (9, 100, 20)])
def test_any_size_comes_back_in_full(runtime: Runtime, shape: tuple[int, int, int]) -> None:
    found = segment(noise(*shape), runtime, PLAIN)
    assert found.shape == shape
    assert found.dtype == np.uint8
    assert found.any()


def test_the_weights_of_the_windows_sum_to_one_everywhere() -> None:
    for low, high, size, overlap in (
        (0, 100, 32, 8),
        (5, 38, 32, 8),
        (0, 64, 32, 0),
        (3, 9, 32, 8),
    ):
        total = np.zeros(high + 64)
        for start, weights in axis_windows(low, high, size, overlap):
            total[start + 32 : start + 32 + size] += weights
        assert np.allclose(total[low + 32 : high + 32], 1, atol=1e-5)


def test_the_answer_does_not_depend_on_how_many_windows_go_at_a_time(runtime: Runtime) -> None:
    volume = noise(6, 50, 50)
    one = segment(volume, runtime, SegmentOptions(overlap=8, batch=1))
    many = segment(volume, runtime, SegmentOptions(overlap=8, batch=7))
    assert np.abs(one.astype(int) - many).max() <= 1


def test_masked_space_is_zero_and_constant_volumes_too(runtime: Runtime) -> None:
    volume = np.zeros((12, 64, 200), dtype=np.uint8)
    volume[2:9, 20:40, 10:40] = noise(7, 20, 30)
    found = segment(volume, runtime, PLAIN)
    assert not found[:, :, 60:].any()
    assert not segment(np.zeros((8, 32, 32), dtype=np.uint8), runtime, PLAIN).any()


def test_progress_counts_the_windows_and_may_cancel(runtime: Runtime) -> None:
    steps: list[Progress] = []
    segment(noise(12, 60, 60), runtime, PLAIN, steps.append)
    assert steps[0].done == 0
    assert steps[-1].done == steps[-1].total == max(s.total for s in steps)

    def stop(step: Progress) -> None:
        if step.done:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        segment(noise(12, 60, 60), runtime, PLAIN, stop)


def test_only_what_holds_something_is_looked_at() -> None:
    """Two specks in opposite corners: two small tiles that hold them, not the plane between."""
    volume = np.zeros((8, 320, 320), dtype=np.uint8)
    volume[3, 10, 12] = volume[4, 300, 310] = 200
    grid = Grid(
        volume.shape, predicted=4, size=128, step=16, rows=320, columns=320, overlap=16,
        overlap_slices=0,
    )  # fmt: skip
    layers = list(plan(occupied_cells(volume, 5), grid))
    tiles = [tile for layer in layers for tile in layer.tiles]
    assert all(max(tile.size) <= 48 for tile in tiles)
    for layer in layers:
        assert len(layer.tiles) == 2
        first, last = sorted((tile.y, tile.x, *tile.size) for tile in layer.tiles)
        assert first[0] <= 10 < first[0] + first[2]
        assert last[1] <= 310 < last[1] + last[3]


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(32, 8), (48, 0), (64, 20)]),
    st.integers(0, 2),
    st.sampled_from([8, 16]),
)
def test_the_tiles_weigh_one_wherever_there_is_something(
    shape: tuple[int, int, int], seed: int, sizes: tuple[int, int], overlap_slices: int,
    thin: int,
) -> None:  # fmt: skip
    """Whatever the volume: at every voxel that holds something the weights sum to 1."""
    rng = np.random.default_rng(seed)
    volume = (rng.random(shape) < 3 / np.prod(shape)).astype(np.uint8)
    rows, columns = (-(-n // thin) * thin for n in shape[1:])
    grid = Grid(shape, 4, sizes[0], 16, rows, columns, sizes[1], overlap_slices)
    total = np.zeros(np.array(shape) + 300)
    for layer in plan(occupied_cells(volume, 0), grid):
        for tile in layer.tiles:
            z, y, x = layer.start + 150, tile.y + 150, tile.x + 150
            rows, columns = tile.size
            weights = layer.weights[:, None, None] * tile.rows[None, :, None] * tile.columns
            total[z : z + 4, y : y + rows, x : x + columns] += weights
    assert np.allclose(total[150:-150, 150:-150, 150:-150][volume > 0], 1, atol=1e-5)


def test_slices_between_are_put_in_and_taken_out_again(runtime: Runtime) -> None:
    """A stack of every third slice, with two put between any two, is seen as the smooth whole."""
    z, y, x = np.ogrid[:31, :40, :40]
    smooth = (100 + 80 * np.sin(y / 5) * np.cos(x / 4) + 2 * z).astype(np.float32)
    whole = segment(smooth, runtime, PLAIN)
    some = segment(smooth[::3], runtime, replace(PLAIN, between=2))
    assert some.shape == (11, 40, 40)
    assert np.abs(some.astype(int) - whole[::3])[1:-1].mean() < 6
    plain = segment(smooth[::3], runtime, PLAIN)
    assert np.abs(plain.astype(int) - whole[::3])[1:-1].mean() > 8


def test_a_batch_that_does_not_fit_is_halved_and_then_refused(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = TorchRuntime(network, RuntimeOptions("cpu", bf16=False))
    volume = noise(6, 100, 100)
    expected = segment(volume, runtime, replace(PLAIN, batch=8))
    limit, sizes = [2], []
    forward = Network.forward

    def choke(self: Network, window: torch.Tensor) -> torch.Tensor:
        sizes.append(len(window))
        if len(window) > limit[0]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return forward(self, window)

    monkeypatch.setattr(Network, "forward", choke)
    found = segment(volume, runtime, replace(PLAIN, batch=8))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert max(sizes) > 2
    assert sizes[-1] <= 2
    limit[0] = 0
    with pytest.raises(LimitExceeded, match="does not fit into the memory"):
        segment(volume, runtime, PLAIN)


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 3)), np.full((2, 3, 4), np.nan), np.zeros((2, 3, 4), bool)]
)
def test_what_is_no_volume_is_refused(runtime: Runtime, bad: np.ndarray) -> None:
    with pytest.raises(BadVolume, match="segmentation"):
        segment(bad, runtime, PLAIN)


def test_intensity_survives_hot_pixels_masked_zeros_and_sample_types() -> None:
    volume = np.zeros((20, 40, 40), dtype=np.uint16)
    volume[5:15] = 100 + noise(10, 40, 40).astype(np.uint16)
    dark, bright = intensity_range(volume)
    assert 100 <= dark < 110
    assert 340 < bright <= 355
    hot = volume.copy()
    hot[7, 3, 3:6] = 65535
    assert intensity_range(hot)[1] <= 355
    assert np.allclose(
        normalise(volume, dark, bright), normalise(volume.astype(np.float32), dark, bright)
    )
    assert normalise(np.array([0, 1e9]), dark, bright).tolist() == [0, 2]


def test_weights_come_back_with_their_configuration_and_their_hash(
    network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    digest = save_weights(path, network, {"name": "tiny"})
    assert digest == save_weights(tmp_path / "b.safetensors", network, {"name": "tiny"})
    again = load_network(path, sha256=digest)
    assert again.config == network.config
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value.half().float())
    with pytest.raises(BadFile, match="SHA-256"):
        load_network(path, sha256="0" * 64)
    raw = path.read_bytes()
    for damaged in (raw[:100], b"", raw.replace(b"dineuro-network-1", b"somebody-elses-1!")):
        path.write_bytes(damaged)
        with pytest.raises(BadFile, match=r"a\.safetensors"):
            load_network(path)
    with pytest.raises(BadParameter, match="is not installed"):
        find_model("no-such-model")


def test_weights_of_another_architecture_are_refused(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(network.state_dict(), path)  # of any other program: no header of ours
    with pytest.raises(BadFile, match=r"other\.safetensors: holds no network of DINeuro"):
        load_network(path)
    tensors = {key: value for key, value in network.state_dict().items() if "head" not in key}
    path = tmp_path / "less.safetensors"
    save_weights(path, network)
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
    save_file(tensors, path, metadata=header)
    with pytest.raises(BadFile, match=r"less\.safetensors: its weights do not fit its config"):
        load_network(path)


def test_the_loss_falls_towards_the_truth_and_unknown_voxels_do_not_count() -> None:
    truth = torch.from_numpy(paint([line((3, 8, 8), (28, 8, 8))], (16, 16, 32)) > 0)[None].float()
    known = torch.ones_like(truth)
    losses = [
        float(segmentation_loss(scale * (2 * truth - 1), truth, known)) for scale in (-4, 0, 1, 4)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 10
    known[..., 16:] = 0
    right = 4 * (2 * truth - 1)
    wrong = right.clone()
    wrong[..., 16:] *= -1
    same = float(segmentation_loss(right, truth, known))
    assert float(segmentation_loss(wrong, truth, known)) == pytest.approx(same)
    with pytest.raises(BadParameter, match="loss"):
        LossWeights(dice=-1)


def test_a_window_of_which_little_is_labelled_does_not_outweigh_its_batch() -> None:
    truth = torch.from_numpy(paint([line((3, 8, 8), (28, 8, 8))], (16, 16, 32)) > 0)[None].float()
    one_slice = torch.zeros_like(truth)
    one_slice[:, 8] = 1
    all_wrong = 3 * (1 - 2 * truth)
    whole = float(focal_loss(all_wrong, truth, torch.ones_like(truth), 1.0))
    part = float(focal_loss(all_wrong * one_slice, truth * one_slice, one_slice, 1.0))
    assert 0 < part < whole / 4
    assert float(focal_loss(all_wrong, truth * 0, truth * 0, 1.0)) == 0


def test_skeleton_recall_weighs_a_thin_branch_as_much_as_a_thick_one() -> None:
    thick = paint([line((3, 5, 8), (28, 5, 8))], (16, 24, 32), 3.0) > 0
    thin = paint([line((3, 18, 8), (28, 18, 8))], (16, 24, 32), 1.0) > 0
    truth = torch.from_numpy(thick | thin)[None].float()

    def recall(mask: NDArray[np.bool_]) -> float:
        return 1 - float(skeleton_recall_loss(torch.from_numpy(mask)[None].float(), truth))

    assert recall(thick | thin) == pytest.approx(1)
    assert recall(thin) == pytest.approx(0.5, abs=0.1)
    assert recall(thin) > 3 * thin.sum() / (thick | thin).sum()
    assert float(skeleton_recall_loss(truth, torch.zeros_like(truth))) == 0


def test_soft_cldice_sees_a_cut_and_has_a_gradient() -> None:
    truth = torch.from_numpy(paint([line((3, 8, 8), (28, 8, 8))], (16, 16, 32)) > 0)[None].float()
    skeleton = soft_skeleton(truth, 4)
    assert 15 < float(skeleton.sum()) < float(truth.sum()) / 3
    cut = truth.clone()
    cut[..., 14:18] = 0
    whole_loss, cut_loss = soft_cldice_loss(truth, truth, 3), soft_cldice_loss(cut, truth, 3)
    assert float(whole_loss) < 0.01 < float(cut_loss)
    probability = (0.8 * truth + 0.1).requires_grad_()
    soft_cldice_loss(probability, truth, 3).backward()
    assert probability.grad is not None
    assert torch.isfinite(probability.grad).all()
    assert probability.grad.abs().sum() > 0


def recipe(folder: Path, steps: int) -> Recipe:
    path = folder / "stack.tif"
    mask = folder / "mask.tif"
    if not path.exists():
        painted = paint([line((4, 20, 10), (44, 20, 10))], (20, 40, 48))
        write_volume(path, Volume((painted // 2 + noise(20, 40, 48) // 4)[None]))
        write_volume(mask, Volume(painted[None]))
    case = Case(str(path), str(mask))
    schedule = Schedule(
        steps=steps, batch=1, warmup=1, bf16=False, threads=1, device="cpu",
        log_every=1, validate_every=100, checkpoint_every=2,
    )  # fmt: skip
    return Recipe(TINY, schedule, rendered=Rendered(share=0.0), training=(case,))


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_computed_in_only_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(training, "has_fast_bf16", lambda device: fast)
    asked = recipe(tmp_path, 1)
    asked = replace(asked, schedule=replace(asked.schedule, bf16=True))
    assert training.Trainer(asked, torch.device("cpu")).bf16 is fast


def test_a_run_that_is_killed_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    whole = load_network(train(recipe(tmp_path, 6), tmp_path / "whole"))

    def kill(step: Progress) -> None:
        if step.done == 5:  # after the checkpoint at 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(tmp_path, 6), tmp_path / "cut", progress=kill)
    with pytest.raises(FileAccess, match="holds a run already"):
        train(recipe(tmp_path, 6), tmp_path / "cut")
    resumed = load_network(train(recipe(tmp_path, 6), tmp_path / "cut", resume=True))
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    rows = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("whole", "cut")]
    steps = [[row.split(",")[:3] for row in of_run] for of_run in rows]
    assert steps[0] == steps[1]


def test_the_network_can_learn_a_line() -> None:
    torch.manual_seed(0)
    network = Network(TINY)
    painted = paint([line((4, 16, 4), (28, 16, 4))], (8, 32, 32))
    window = torch.from_numpy(painted / 255 + noise(8, 32, 32) / 512).float()[None]
    truth = torch.from_numpy(painted[2:6] > 0)[None]
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = segmentation_loss(network(window), truth, torch.ones_like(truth))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense = 1", "knows no 'nonsense'"),
        ("[schedule]\nsteps = 0", "must be 1 or more"),
        ("[schedule]\nsteps = 'many'", "whole number"),
        ("[[training]]\nvolume = 'a.tif'", "give a mask, a tree, or both"),
        ("[[training]]\nmask = 'a.tif'", "'volume' is missing"),
        ("[[training]]\nvolume = 'a.tif'\ntree = 'a.swc'\nradius = -1", "radius 0 or more"),
        ("not toml", "no TOML"),
    ],
)
def test_recipes_that_make_no_sense_name_the_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(DineuroError, match=said) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(str(path))
