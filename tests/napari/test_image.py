"""Which layers can be traced, what is said of the others, and what is read of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import BadParameter, BadVolume, Cancelled, LimitExceeded
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari import image
from dineuro_napari.image import picture_of, volume_of
from tests.napari.stacks import FORK, Lazy, Steps, layer


def test_a_stack_is_taken_as_it_is_and_not_copied() -> None:
    volume = volume_of(picture_of(layer(FORK)))
    assert volume.voxels.shape == (1, *FORK.shape)
    assert np.shares_memory(volume.voxels, FORK)
    assert (volume.spacing, volume.whole, volume.source) == (None, None, "stack")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (None, "no image layer is chosen"),
        (layer(np.zeros((8, 9))), r"2D image \(8 x 9\)"),
        (layer(np.zeros((1, 8, 9))), "2D image"),
        (layer(np.zeros((8, 9, 3)), rgb=True), "Split RGB"),
        (layer(np.zeros((5, 6, 8, 9))), r"4 axes \(5 x 6 x 8 x 9\): a time series.*Split Stack"),
        (layer(np.zeros((5, 8, 9), complex)), "complex128"),
    ],
)
def test_what_cannot_be_traced_is_refused_with_the_way_out(wrong: Any, says: str) -> None:
    with pytest.raises(BadVolume, match=says):
        picture_of(wrong)


def test_an_axis_of_one_is_left_out_with_its_transform() -> None:
    one = layer(FORK[None], scale=np.array([7, 2, 0.5, 0.5]), translate=np.array([9, 1, 2, 3]))
    picture = picture_of(one)
    assert picture.shape == FORK.shape
    assert picture.placement["scale"].tolist() == [2, 0.5, 0.5]
    assert picture.placement["translate"].tolist() == [1, 2, 3]


def test_the_finest_level_is_read() -> None:
    levels = [FORK, FORK[::2, ::2, ::2]]
    assert picture_of(layer(levels, multiscale=True)).shape == FORK.shape


def test_only_the_region_of_a_lazy_array_is_read_and_in_slabs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image, "_PIECE", 4 * 20 * 30)
    lazy, steps = Lazy(FORK), Steps()
    volume = volume_of(picture_of(layer(lazy)), (10, 5, 2, 40, 25, 12), progress=steps)
    assert np.array_equal(volume.voxels[0], FORK[2:12, 5:25, 10:40])
    assert (volume.origin, volume.whole) == ((2, 5, 10), FORK.shape)
    assert lazy.read == 10 * 20 * 30
    assert lazy.largest == 4 * 20 * 30
    assert [step.done for step in steps] == [0, 4, 8]


def test_reading_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_PIECE", 1)
    lazy = Lazy(FORK)

    def stop(step: Progress) -> None:
        if step.done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        volume_of(picture_of(layer(lazy)), progress=stop)
    assert lazy.read == 2 * FORK[0].size


def test_what_the_memory_cannot_hold_is_refused_before_it_is_read() -> None:
    lazy = Lazy(FORK)
    with pytest.raises(LimitExceeded, match=r"72 x 48 x 20 voxels.*region.*dineuro brain"):
        volume_of(picture_of(layer(lazy)), free=lambda: 3 * FORK.nbytes - 3)
    assert lazy.read == 0
    volume_of(picture_of(layer(lazy)), free=lambda: 3 * FORK.nbytes)
    volume_of(picture_of(layer(Lazy(FORK))), (0, 0, 0, 36, 48, 20), free=lambda: 2 * FORK.nbytes)


def test_a_region_outside_is_refused() -> None:
    with pytest.raises(BadParameter, match="stack: region"):
        volume_of(picture_of(layer(FORK)), (0, 0, 0, 73, 48, 20))


def test_the_free_memory_is_that_of_the_system() -> None:
    assert 2**20 < image.free_memory() < 2**50


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.uint8, np.uint8), (np.uint16, np.uint16), (np.float32, np.float32),
        (np.float64, np.float32), (np.int64, np.uint16), (np.int16, np.uint16),
    ],
)  # fmt: skip
def test_samples_become_what_every_server_takes(given: Any, dtype: Any) -> None:
    volume = volume_of(picture_of(layer(FORK.astype(given))))
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels[0], FORK)


def test_a_mask_of_bits_is_black_and_white_and_negative_samples_stay_negative() -> None:
    assert np.array_equal(volume_of(picture_of(layer(FORK > 0))).voxels[0], FORK)
    below = volume_of(picture_of(layer(FORK.astype(np.int16) - 5)))
    assert below.voxels.dtype == np.float32
    assert below.voxels.min() == -5


@pytest.mark.parametrize(
    ("scale", "unit", "spacing"),
    [
        ((2, 0.5, 0.25), "micrometer", (2, 0.5, 0.25)),
        ((2000, 500, 250), "nanometer", (2, 0.5, 0.25)),
        ((2, 0.5, -0.25), "pixel", (2, 0.5, 0.25)),
        ((1, 1, 1), "pixel", None),
        ((1, 1, 1), "micrometer", (1, 1, 1)),
        ((500, 1, 1), "micrometer", None),
    ],
)
def test_the_voxel_size_is_that_of_the_layer(
    scale: tuple[float, ...], unit: str, spacing: tuple[float, ...] | None
) -> None:
    picture = picture_of(layer(FORK, scale=np.array(scale), units=(unit,) * 3))
    assert picture.spacing == (None if spacing is None else pytest.approx(spacing))


def test_the_voxel_size_of_a_file_is_known_where_napari_did_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "fork.tif"
    write_volume(path, Volume(FORK[None], spacing=(2.0, 0.5, 0.5)))
    one = layer(FORK)
    one.source.path = str(path)
    assert picture_of(one).spacing == pytest.approx((2, 0.5, 0.5))
    one.source.path = str(tmp_path / "gone.tif")
    assert picture_of(one).spacing is None
