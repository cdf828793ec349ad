"""The bricks from which the slices of a volume are cut: every plane equals that of the volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro.files import slices
from dineuro.files.slices import AXES, Slices, open_slices, write_slices
from dineuro_bridge.errors import FileAccess


def plane_of(volume: NDArray[Any], plane: str, at: int) -> NDArray[Any]:
    """The plane as a picture: columns along x, or along z for yz."""
    if plane == "yz":
        return volume[:, :, at].T
    return volume[at] if plane == "xy" else volume[:, at]


def assembled(opened: Slices, level: int, plane: Any, at: int) -> NDArray[Any]:
    """A whole plane from its tiles."""
    across, rows, columns = AXES[plane]
    if plane == "yz":
        rows, columns = columns, rows
    counts = [-(-opened.levels[level].shape[axis] // slices.TILE) for axis in (rows, columns)]

    def tile(row: int, column: int) -> NDArray[Any]:
        place = [0, 0, 0]
        place[across], place[rows], place[columns] = at, row, column
        return opened.tile(level, plane, (place[0], place[1], place[2]))

    lines = [np.hstack([tile(r, c) for c in range(counts[1])]) for r in range(counts[0])]
    return np.vstack(lines)


@pytest.mark.parametrize("shape", [(5, 7, 9), (65, 130, 70), (2, 64, 129)])
def test_every_plane_of_the_finest_level_is_that_of_the_volume(
    tmp_path: Path, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "TILE", 100)  # several tiles, whose borders are not those of bricks
    volume = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    volume[0, 0, :2] = 0, 255
    write_slices(tmp_path / "s.u8", volume)
    opened = open_slices(tmp_path / "s.u8")
    assert (opened.low, opened.high) == (0, 255)
    for plane, (across, *_) in AXES.items():
        for at in range(shape[across]):
            assert np.array_equal(assembled(opened, 0, plane, at), plane_of(volume, plane, at))


def test_each_level_halves_the_axes_that_are_longer_than_a_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "TILE", 32)
    volume = np.zeros((20, 40, 101), dtype=np.uint8)
    volume[7, 21, 90] = 255  # a single voxel is in every level
    write_slices(tmp_path / "s.u8", volume)
    opened = open_slices(tmp_path / "s.u8")
    assert [(one.shape, one.scale) for one in opened.levels] == [
        ((20, 40, 101), (1, 1, 1)),
        ((20, 20, 51), (1, 2, 2)),
        ((20, 20, 26), (1, 2, 4)),
    ]
    for level, (y, x) in enumerate([(21, 90), (10, 45), (10, 22)]):
        picture = assembled(opened, level, "xy", 7)
        assert np.argwhere(picture).tolist() == [[y, x]]


def test_a_volume_beyond_the_limit_has_coarser_levels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "_MOST", 2**20)
    write_slices(tmp_path / "s.u8", np.zeros((2, 600, 1100), dtype=np.uint16))
    opened = open_slices(tmp_path / "s.u8")
    assert [one.scale for one in opened.levels] == [(1, 2, 2), (1, 2, 4)]
    assert (tmp_path / "s.u8").stat().st_size < 2**20


def test_other_intensities_are_scaled_from_the_lowest_to_nearly_the_highest(tmp_path: Path) -> None:
    ramp = np.linspace(100, 4000, 64**3).reshape(64, 64, 64)
    ramp[3, 3, 3] = 60000  # a hot pixel does not take the scale
    for dtype in (np.uint16, np.float32, np.int32):
        write_slices(tmp_path / "s.u8", ramp.astype(dtype))
        opened = open_slices(tmp_path / "s.u8")
        assert opened.low == 100
        assert opened.high == pytest.approx(4000, rel=0.01)
        assert opened.window[0] == pytest.approx(128, abs=2)
        got = opened.tile(0, "xy", (32, 0, 0)).astype(float)
        assert np.abs(got - 255 * (ramp[32] - 100) / (opened.high - 100)).max() <= 0.6
        assert opened.tile(0, "xy", (3, 0, 0))[3, 3] == 255


def test_what_is_no_number_is_black_and_a_constant_volume_is_no_error(tmp_path: Path) -> None:
    volume = np.ones((2, 3, 4), dtype=np.float32)
    volume[1, 1, 1], volume[0, 0, 0] = 5, np.nan
    write_slices(tmp_path / "s.u8", volume)
    picture = open_slices(tmp_path / "s.u8").tile(0, "xy", (0, 0, 0))
    assert not picture.any()
    for constant in (np.full((2, 3, 4), 7, np.uint16), np.full((2, 3, 4), np.nan, np.float32)):
        write_slices(tmp_path / "s.u8", constant)
        opened = open_slices(tmp_path / "s.u8")
        assert opened.high > opened.low
        assert 0 <= opened.window[0] < opened.window[1] <= 255


def test_a_tile_that_is_not_there_is_an_error_and_so_is_a_file_that_was_removed(
    tmp_path: Path,
) -> None:
    write_slices(tmp_path / "s.u8", np.zeros((5, 6, 7), dtype=np.uint8))
    opened = open_slices(tmp_path / "s.u8")
    for place in ((5, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0)):
        with pytest.raises(IndexError):
            opened.tile(0, "xy", place)
    (tmp_path / "s.u8").unlink()
    with pytest.raises(FileAccess):
        opened.tile(0, "xy", (0, 0, 0))
