"""What networks read beside the intensity: a local scale and the classical ridges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from dineuro_bridge.errors import BadParameter
from dineuro_model import inputs as inputs_of
from dineuro_model.enhancers.classical import enhance
from dineuro_model.inference import registry
from dineuro_model.inference.runtime import RuntimeOptions
from dineuro_model.inference.segment import SegmentOptions, Stack, segment
from dineuro_model.inputs import HALO, halo, local_scale, window_inputs
from dineuro_model.intensity import intensity_range
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.weights import save_weights
from dineuro_model.training.recipe import Recipe
from dineuro_model.training.sampling import Rendered, WindowSource
from dineuro_model.training.train import starting_network
from tests.model.test_transfer import TINY
from tests.support.networks import sensitive_network
from tests.support.shapes import line, paint

ALL = ("global", "local", "ridge")
WIDE = replace(TINY, inputs=ALL)
EXACT = RuntimeOptions("cpu", bf16=False)


def stack(*shape: int) -> np.ndarray:
    """A bright neurite and a dim one in noise."""
    depth, rows, columns = shape
    rng = np.random.default_rng(4)
    bright = paint([line((4, 12, depth / 2), (columns - 4, 12, depth / 2))], (depth, rows, columns))
    dim = paint([line((4, rows - 9, 6), (columns - 4, rows - 9, 6))], (depth, rows, columns))
    return np.asarray(rng.poisson(9, shape) + 40.0 * bright + dim / 4).astype(np.uint16)


def test_the_local_scale_is_the_distance_from_the_mean_in_spreads() -> None:
    values = np.random.default_rng(0).random((30, 60, 70), dtype=np.float32)
    box = [2 * reach + 1 for reach in HALO]
    mean = ndimage.uniform_filter(values.astype(float), box)
    spread = np.sqrt(ndimage.uniform_filter(values.astype(float) ** 2, box) - mean**2)
    inner = tuple(slice(reach, -reach) for reach in HALO)
    expected = ((values - mean) / (spread + 0.03) / 8)[inner]
    assert np.abs(local_scale(values) - expected).max() < 1e-4
    # A brighter surrounding changes nothing, and neither does a stronger contrast.
    assert (
        np.abs(local_scale(np.float32(0.5) * values + np.float32(1)) - local_scale(values)).max()
        < 0.03
    )
    assert not local_scale(np.zeros((20, 30, 30), dtype=np.float32)).any()


def test_a_voxel_has_the_same_inputs_in_every_window() -> None:
    volume = stack(40, 70, 90)
    scale = intensity_range(volume)
    whole = Stack(volume, scale, 1, ALL, enhance(volume))
    all_of_it = whole.window((0, 0, 0), (40, 70, 90)).reshape(3, 40, 70, 90)
    part = whole.window((7, 13, 5), (16, 32, 40)).reshape(3, 16, 32, 40)
    assert np.array_equal(part, all_of_it[:, 7:23, 13:45, 5:45])
    for axis in range(3):  # they are not constant, and they differ from one another
        assert np.ptp(part[axis]) > 0.2
        assert not np.array_equal(part[axis], part[axis - 1])


def test_a_dim_neurite_stands_out_on_the_local_scale() -> None:
    volume = stack(40, 70, 90)
    whole = Stack(volume, intensity_range(volume), 1, ALL, enhance(volume))
    found = whole.window((0, 0, 0), (40, 70, 90)).reshape(3, 40, 70, 90)
    on, beside = (slice(None), 6, 61, slice(10, 80)), (slice(None), 6, 50, slice(10, 80))
    contrast = found[on].mean(axis=1) - found[beside].mean(axis=1)
    assert contrast[0] < 0.12  # of the intensity, on which the bright neurite has 1
    assert contrast[1] > 1.5 * contrast[0]
    assert contrast[1] > 1 / 8  # a spread of its surroundings
    assert found[2, 20, 12, 10:80].min() > 0.5  # the bright one is a ridge


def test_interpolated_slices_have_interpolated_ridges() -> None:
    volume = stack(12, 40, 50)
    ridge = enhance(volume)
    made = Stack(volume, intensity_range(volume), 2, ALL, ridge).window((0, 0, 0), (23, 40, 50))
    of_ridge = made.reshape(3, 23, 40, 50)[2]
    assert np.allclose(of_ridge[::2], ridge / 255)
    assert np.allclose(of_ridge[1], (ridge[0] / 255 + ridge[1] / 255) / 2, atol=1e-6)


def test_further_inputs_change_nothing_until_they_learn() -> None:
    own = sensitive_network(TINY, 6)
    wider = own.with_inputs(ALL)
    assert wider.config == WIDE
    windows = torch.rand(2, 24, 32, 32)
    with torch.inference_mode():
        assert torch.equal(wider(windows), own(windows[:, :8]))
    loss = wider(windows).square().mean()
    loss.backward()
    gradient = wider.stem.weight.grad
    assert gradient is not None
    assert (gradient.abs().amax(dim=(0, 2, 3, 4)) > 0).all()
    with pytest.raises(BadParameter, match="do not begin with"):
        wider.with_inputs(("global",))


def test_a_recipe_may_add_inputs_to_the_network_that_it_starts_from(tmp_path: Path) -> None:
    save_weights(tmp_path / "mine.safetensors", sensitive_network(TINY, 6))
    started = starting_network(Recipe(network=WIDE, start=str(tmp_path / "mine.safetensors")))
    assert started.config == WIDE
    assert started.stem.weight[:, 0].any()
    assert not started.stem.weight[:, 1:].any()


@pytest.mark.parametrize(
    "wrong", [[], ["local"], ["global", "global"], ["global", "colour"], ["local", "global"]]
)
def test_inputs_that_make_no_sense_are_refused(wrong: list[str]) -> None:
    with pytest.raises(BadParameter, match="inputs"):
        NetworkConfig.from_dict({**TINY.to_dict(), "inputs": wrong})


def test_an_older_file_reads_the_intensity_alone() -> None:
    older = {name: value for name, value in TINY.to_dict().items() if name != "inputs"}
    assert NetworkConfig.from_dict(older) == TINY


def test_both_runtimes_read_all_inputs_and_windows_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    save_weights(path, sensitive_network(WIDE, 6))
    volume = stack(14, 60, 70)
    found = []
    for entry in registry.RUNTIMES:
        if not entry.is_installed():
            pytest.skip(f"{entry.name} is not installed")
        runtime = registry.load_model(str(path), EXACT, runtime=entry.name).runtime
        assert runtime.geometry.inputs == ALL
        one = segment(volume, runtime, SegmentOptions(overlap=8, batch=1))
        assert np.array_equal(one, segment(volume, runtime, SegmentOptions(overlap=8, batch=5)))
        found.append(one.astype(int))
    assert np.ptp(found[0]) > 20
    assert np.abs(found[0] - found[1]).max() <= 1


def test_training_computes_the_inputs_from_the_augmented_window() -> None:
    """Noise is in all inputs alike; a ridge of the window before it would tell the answer."""
    source = WindowSource((), Rendered(share=1), (16, 112, 112), 3, ALL)
    intensity, labels = source.window(0, 0)
    assert labels.shape == (16, 112, 112)
    assert intensity.shape == (48, 112, 112)
    alone = WindowSource((), Rendered(share=1), (16, 112, 112), 3).window(0, 0)
    assert alone[0].shape == (16, 112, 112)


def test_the_ridges_of_a_window_are_those_of_its_own_intensity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []

    def remembered(intensity: np.ndarray) -> np.ndarray:
        seen.append(intensity)
        return enhance(intensity)

    monkeypatch.setattr(inputs_of, "find_ridges", remembered)
    wide = np.random.default_rng(1).random((32, 56, 64), dtype=np.float32)
    made = window_inputs(ALL, wide).reshape(3, 16, 32, 40)
    assert np.array_equal(seen[0], np.square(wide))
    assert np.array_equal(made[0], wide[8:-8, 12:-12, 12:-12])
    assert halo(("global", "ridge")) == (0, 0, 0)
