"""`Volume` and `Header`: what they refuse, and that views keep track of where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dineuro_bridge.errors import BadParameter, BadVolume, LimitExceeded
from dineuro_bridge.volumes.volume import Header, Volume

VOXELS = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
BYTE = np.dtype(np.uint8)


@pytest.mark.parametrize("shape", [(), (3,), (3, 3), (2, 3, 3), (1, 1, 2, 3, 3), (1, 2, 0, 3)])
def test_only_four_axes_that_are_not_empty_make_a_volume(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadVolume, match=r"^stack\.tif: voxels .*must be \(C, Z, Y, X\)"):
        Volume(np.zeros(shape), source="stack.tif")


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_spacing_is_positive_and_finite_on_every_axis(wrong: float, axis: int) -> None:
    steps = [1.0, 1.0, 1.0]
    steps[axis] = wrong
    with pytest.raises(BadVolume, match=r"^a\.tif: spacing .*must be positive"):
        Volume(VOXELS, (steps[0], steps[1], steps[2]), source="a.tif")


def test_voxels_are_read_only_and_the_callers_array_stays_writable() -> None:
    mine = VOXELS.copy()
    volume = Volume(mine)
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0, 0] = 1
    mine[0, 0, 0, 0] = 999
    assert volume.voxels[0, 0, 0, 0] == 999
    assert np.shares_memory(volume.voxels, mine)


@pytest.mark.parametrize("kind", ["u2", "i4", "f4", "f8"])
def test_a_foreign_byte_order_becomes_native_with_the_same_values(kind: str) -> None:
    foreign = VOXELS.astype(np.dtype(kind).newbyteorder("S"))
    assert not foreign.dtype.isnative
    volume = Volume(foreign)
    assert volume.voxels.dtype == np.dtype(kind)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, VOXELS)


def test_shape_and_channels() -> None:
    volume = Volume(VOXELS, source="a.raw")
    assert (volume.n_channels, volume.shape) == (2, (3, 4, 5))
    assert np.array_equal(volume.channel(1), VOXELS[0])
    assert np.array_equal(volume.channel(2), VOXELS[1])
    assert np.shares_memory(volume.channel(2), VOXELS)
    for wrong in (-1, 0, 3):
        with pytest.raises(BadParameter, match=rf"^a\.raw: has no channel {wrong}; it has 2"):
            volume.channel(wrong)


@given(st.data())
def test_a_crop_of_a_crop_is_the_crop_at_its_origin(data: st.DataObject) -> None:
    volume = Volume(VOXELS, (3.0, 2.0, 1.0), row_order="vaa3d", source="a.tif")
    for _ in range(2):
        low, high = [], []
        for size in volume.shape[::-1]:
            low.append(data.draw(st.integers(0, size - 1)))
            high.append(data.draw(st.integers(low[-1] + 1, size)))
        volume = volume.cropped((low[0], low[1], low[2], high[0], high[1], high[2]))
        assert volume.shape == tuple(b - a for a, b in zip(low, high, strict=True))[::-1]
    (oz, oy, ox), (depth, height, width) = volume.origin, volume.shape
    assert np.array_equal(
        volume.voxels, VOXELS[:, oz : oz + depth, oy : oy + height, ox : ox + width]
    )
    assert np.shares_memory(volume.voxels, VOXELS)
    assert (volume.spacing, volume.row_order) == ((3.0, 2.0, 1.0), "vaa3d")
    assert volume.source == "a.tif"


@pytest.mark.parametrize("roi", [
    (-1, 0, 0, 5, 4, 3), (0, -1, 0, 5, 4, 3), (0, 0, -1, 5, 4, 3),
    (0, 0, 0, 6, 4, 3), (0, 0, 0, 5, 5, 3), (0, 0, 0, 5, 4, 4),
    (2, 0, 0, 2, 4, 3), (0, 3, 0, 5, 2, 3), (0, 0, 3, 5, 4, 3),
])  # fmt: skip
def test_a_box_that_is_empty_or_leaves_the_volume_is_refused(roi: Any) -> None:
    with pytest.raises(BadParameter, match=r"^a\.tif: region .*x1 <= 5, .*y1 <= 4, .*z1 <= 3"):
        Volume(VOXELS, source="a.tif").cropped(roi)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("wrong", [0, -1, -(2**31)])
def test_a_header_refuses_dimensions_below_one(at: int, wrong: int) -> None:
    shape = [1, 2, 3, 4]
    shape[at] = wrong
    header = Header("tiff", (shape[0], shape[1], shape[2], shape[3]), BYTE)
    with pytest.raises(BadVolume, match=r"^a\.tif: .*at least 1"):
        header.check(Path("a.tif"), 2**40)


def test_a_header_counts_bytes_without_wrapping_and_the_limit_is_inclusive() -> None:
    huge = Header("v3draw", (2**31 - 1,) * 4, np.dtype(np.float32))
    assert huge.nbytes == 4 * (2**31 - 1) ** 4
    with pytest.raises(LimitExceeded, match=r"2147483647 x 2147483647 x 2147483647 voxels"):
        huge.check("a.raw", 2**62)
    small = Header("v3draw", (1, 2, 3, 4), np.dtype(np.uint16))
    small.check("a.raw", 48)
    with pytest.raises(LimitExceeded, match=r"^a\.raw: 4 x 3 x 2 voxels, 1 channel"):
        small.check("a.raw", 47)
