"""The classical enhancer: what must not change its answer, and what it must find."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from dineuro_model.enhancers.classical import as_probability, enhance, enhance_and_measure
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import Rendering, RenderSettings, render
from tests.support.shapes import line, paint

SHAPE = (48, 96, 96)


def rendered(settings: RenderSettings, seed: int = 4) -> Rendering:
    rng = np.random.default_rng(seed)
    return render(grow_tree(SHAPE, rng), SHAPE, rng, settings)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_clean_neurite_is_found_and_nothing_else() -> None:
    truth = rendered(RenderSettings.clean())
    found = enhance(truth.voxels) >= 128
    assert dice(found, truth.mask) > 0.7


def test_an_uneven_background_costs_little() -> None:
    truth = rendered(RenderSettings(contrast=8, unevenness=0.7))
    ours = dice(enhance(truth.voxels) >= 128, truth.mask)
    assert ours > 0.6
    # … where Otsu's threshold on raw intensity finds the bright side of the stack.
    assert dice(as_probability(truth.voxels) >= 128, truth.mask) < ours - 0.2


def test_noise_alone_has_no_neurites() -> None:
    noise = np.random.default_rng(1).poisson(30, SHAPE).astype(np.uint8)
    assert (enhance(noise) >= 128).mean() < 2e-4


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_volume_is_empty(value: int) -> None:
    constant = np.full((5, 6, 7), value, dtype=np.uint8)
    assert not enhance(constant).any()
    assert not as_probability(constant).any()


def test_a_bright_neurite_does_not_come_out_fat_beside_a_dim_one() -> None:
    shape = (30, 60, 80)
    bright = paint([line((5, 15, 15), (75, 15, 15))], shape, 1.5)
    dim = paint([line((5, 45, 15), (75, 45, 15))], shape, 1.5)
    volume = gaussian_filter(bright * 3.0 + dim * 1.0, 1.2)
    found = enhance(volume) >= 128
    assert found[15, 45, 10:70].all()
    widths = found[15, :, 40]
    assert widths[:30].sum() <= 5  # it was painted 3 voxels wide, and blurred


@settings(max_examples=15)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    """Up to what float32 can tell of so small a range on so large an offset."""
    base = rendered(RenderSettings.clean()).voxels[:24, :48, :48].astype(np.float64)
    moved = gain * base + (offset if gain > 1 else offset * gain)
    a, b = enhance(base) >= 128, enhance(moved) >= 128
    assert (a != b).mean() < 1e-3


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", ">u2"])
def test_every_sample_type_gives_the_same(dtype: str) -> None:
    voxels = rendered(RenderSettings.clean()).voxels
    assert np.array_equal(enhance(voxels), enhance(voxels.astype(dtype)))


def test_a_mask_of_zeros_around_the_neuron_does_no_harm() -> None:
    """As in published stacks the ground that is left in is dim beside the neuron."""
    masked = rendered(RenderSettings(contrast=30, photons=3, masked="wide"))
    assert dice(enhance(masked.voxels) >= 128, masked.mask) > 0.65


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (1, 40, 40), (17, 16, 15)])
def test_small_and_thin_volumes_work(shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert enhance(voxels).shape == shape
    assert as_probability(voxels).shape == shape


def test_a_volume_of_one_very_long_axis_takes_memory_by_its_voxels() -> None:
    volume = np.random.default_rng(4).integers(0, 60, (3, 1, 300_000)).astype(np.uint8)
    volume[:, 0, 150_000:150_040] = 250
    tracemalloc.start()
    probability = enhance(volume)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**30
    assert probability[:, 0, 150_005:150_035].min() >= 128


def test_the_input_is_not_touched() -> None:
    voxels = rendered(RenderSettings.clean()).voxels
    before = voxels.copy()
    enhance(voxels)
    as_probability(voxels)
    assert np.array_equal(voxels, before)


def test_a_dim_axon_far_from_its_bright_trunk_is_found() -> None:
    shape = (30, 90, 120)
    trunk = paint([line((5, 15, 15), (115, 15, 15))], shape, 2.5)
    axon = paint([line((10, 65, 15), (110, 65, 15))], shape, 1.5)
    noise = np.random.default_rng(2).normal(0, 1, shape)
    volume = gaussian_filter(trunk * 4.0 + axon * 0.4, 1.0) + noise
    mask = enhance(volume) >= 128
    assert mask[15, 65, 15:105].mean() > 0.95
    assert mask[:, 40:55].mean() < 1e-3


def test_clearness_tells_a_clear_stack_from_noise() -> None:
    clear = enhance_and_measure(rendered(RenderSettings.clean()).voxels).clearness
    hard = enhance_and_measure(rendered(RenderSettings.hard()).voxels).clearness
    assert hard < 5 < 12 < clear
    no_noise = paint([line((5, 15, 15), (75, 15, 15))], (30, 60, 80))
    assert enhance_and_measure(no_noise).clearness > 20
    assert enhance_and_measure(np.zeros((5, 6, 7), dtype=np.uint8)).clearness == 0
