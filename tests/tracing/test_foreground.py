"""The foreground as a list of voxels, against the same computed on whole volumes with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.foreground import find_foreground

Scale = tuple[float, float, float]


def dense(
    probability: NDArray[np.uint8], threshold: int, gap: float, least: int, scale: Scale
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Strong voxels, all foreground voxels, and depths, as whole volumes."""
    strong = probability >= threshold
    open_air = np.pad(~strong, 1, constant_values=True)
    labels, _ = ndimage.label(open_air)
    strong |= (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1] & ~strong
    away = ndimage.distance_transform_edt(~strong, sampling=VoxelScale(scale).optical.edges)
    near = away <= min(gap / 2, 10)
    foreground = strong | ((probability >= max(1, threshold // 4)) & near)
    labels, n = ndimage.label(foreground, np.ones((3, 3, 3)))
    counts = np.bincount(labels[strong], minlength=n + 1)
    foreground &= (counts >= least)[labels]
    # The border is no end: far beyond it all is still strong.
    wide = np.pad(strong, 40, mode="edge")
    depth = ndimage.distance_transform_edt(wide, sampling=scale)[40:-40, 40:-40, 40:-40]
    return strong & foreground, foreground, depth


@st.composite
def _volumes(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Blobs of several sizes, haze, and now and then a hollow ball."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.tuples(*[st.integers(1, 26)] * 3)))
    noise = ndimage.gaussian_filter(rng.normal(size=shape), draw(st.floats(0.4, 2.5)))
    scaled = (
        128 + noise / max(noise.std(), 1e-9) * draw(st.integers(20, 70)) - draw(st.integers(0, 120))
    )
    volume: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    if draw(st.booleans()) and min(shape) > 12:
        away = np.linalg.norm(np.indices(shape).T - np.array(shape)[:3] // 2, axis=-1).T
        volume[(away < 6) & (away > 3.5)] = 255
        volume[away <= 3.5] = 0
    return volume


@settings(max_examples=120)
@given(
    _volumes(),
    st.sampled_from([0.0, 3.0, 7.0, 40.0]),
    st.sampled_from([1, 3, 9]),
    st.sampled_from([(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (1.0, 1.5, 2.0)]),
)
def test_the_list_of_voxels_agrees_with_whole_volumes(
    volume: NDArray[np.uint8], gap: float, least: int, scale: Scale
) -> None:
    strong, foreground, depth = dense(volume, 128, gap, least, scale)
    result = find_foreground(
        volume, threshold=128, gap=gap, min_voxels=least, scale=VoxelScale(scale)
    )
    places = result.coords + result.origin
    assert np.array_equal(places, np.argwhere(foreground))
    at = tuple(places.T)
    assert np.array_equal(result.strong, strong[at])
    assert (result.probability[result.strong] >= 128).all()
    assert np.array_equal(result.index[tuple(result.coords.T)], np.arange(len(result)))
    assert (result.index >= 0).sum() == len(result)
    across = max(n * s for n, s in zip(result.index.shape, scale, strict=True))
    expected = np.where(strong, np.minimum(depth, across), 0)[at]
    # Depths that reach beyond the box are those to its border at most.
    inner = expected < 30
    assert result.depth[inner] == pytest.approx(expected[inner], rel=1e-5)
    labels, n = ndimage.label(foreground, np.ones((3, 3, 3)))
    assert result.n_components == n
    assert len(set(zip(labels[at].tolist(), result.component.tolist(), strict=True))) == n


def test_haze_far_from_all_that_is_strong_is_left_out_and_haze_near_is_not() -> None:
    volume = np.full((64, 64, 64), 100, dtype=np.uint8)
    volume[32, 32, 20:44] = 255
    result = find_foreground(volume, threshold=128, gap=40, min_voxels=3)
    near = ndimage.distance_transform_edt(volume < 128) <= 10
    assert len(result) == near.sum()
    assert result.index.size < 0.3 * volume.size
