"""From a volume to tree, mask and report: coordinates, units, warnings, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dineuro_bridge.errors import BadParameter, BadVolume, Cancelled, MissingDependency
from dineuro_bridge.progress import Progress
from dineuro_bridge.swc import swc_text
from dineuro_bridge.volume import Volume
from dineuro_server.pipeline import Request, reconstruct
from dineuro_tracing.scores import score_trees
from dineuro_tracing.trace import TraceParameters

from .shapes import chain, line, paint

SHAPE = (30, 50, 90)
PATH = line((8, 25, 15), (82, 25, 15))
VOXELS = paint([PATH], SHAPE)


def volume(voxels: np.ndarray = VOXELS, **more: object) -> Volume:
    return Volume(voxels[None], source="a.tif", **more)  # type: ignore[arg-type]


def test_mask_and_tree_agree_with_what_was_painted() -> None:
    result = reconstruct(volume(), Request(enhancer="none"))
    assert np.array_equal(result.mask.voxels[0] > 0, VOXELS > 0)
    assert set(np.unique(result.mask.voxels)) == {0, 255}
    report = result.report
    assert (report.nodes, report.trees) == (len(result.tree), 1)
    assert (report.forks, report.tips) == (0, 1)
    assert report.explained > 0.95
    assert report.supported == 1
    assert (report.joined_gaps, report.joined_length) == (0, 0)
    assert report.mask_voxels == (VOXELS > 0).sum()
    assert report.length == pytest.approx(74, abs=4)
    assert report.root == "end"
    assert any("no soma" in text for text in report.warnings)


@pytest.mark.parametrize("enhancer", ["classical", "none"])
def test_a_region_gives_coordinates_of_the_full_volume(enhancer: str) -> None:
    request = Request(enhancer=enhancer, roi=(20, 10, 5, 70, 40, 25))  # type: ignore[arg-type]
    result = reconstruct(volume(), request)
    x = result.tree.xyz[:, 0]
    assert (x.min() >= 20) & (x.max() <= 69)
    assert x.max() - x.min() > 40
    assert np.abs(result.tree.xyz[:, 1] - 25).max() < 2
    assert result.mask.voxels.shape == (1, *SHAPE)
    assert not result.mask.voxels[..., :20].any()
    assert result.mask.voxels[0, 15, 25, 30] == 255


def test_a_root_is_given_in_the_full_volume_also_for_a_region() -> None:
    request = Request(enhancer="none", roi=(20, 10, 5, 70, 40, 25), root=(69, 25, 15))
    tree = reconstruct(volume(), request).tree
    assert tree.xyz[0, 0] > 64
    with pytest.raises(BadParameter, match="outside the volume or region"):
        reconstruct(volume(), replace(request, root=(10, 25, 15)))


def test_channels_count_from_one_and_the_first_is_taken_with_a_warning() -> None:
    both = Volume(np.stack([VOXELS, np.zeros_like(VOXELS)]), source="a.tif")
    first = reconstruct(both)
    assert len(first.tree) > 5
    assert "2 channels" in first.report.warnings[0]
    second = reconstruct(both, Request(channel=2))
    assert len(second.tree) == 0
    with pytest.raises(BadParameter, match="no channel 3; it has 2"):
        reconstruct(both, Request(channel=3))


def test_micrometres_need_a_voxel_size_and_use_it() -> None:
    with pytest.raises(BadParameter, match="no voxel size"):
        reconstruct(volume(), Request(units="um"))
    size = (2.0, 0.5, 0.25)
    voxels = reconstruct(volume(), Request(spacing=size))
    um = reconstruct(volume(spacing=size), Request(units="um"))
    assert np.allclose(um.tree.xyz, voxels.tree.xyz * (0.25, 0.5, 2.0))
    assert np.allclose(um.tree.radii, voxels.tree.radii * 0.25)


def test_spacing_of_the_request_wins_over_the_file() -> None:
    a = reconstruct(volume(spacing=(9.0, 1.0, 1.0)), Request(spacing=(1.0, 1.0, 1.0)))
    b = reconstruct(volume())
    assert swc_text(a.tree) == swc_text(b.tree)


@pytest.mark.parametrize("value", [0, 9])
def test_a_constant_volume_gives_an_empty_tree_and_says_so(value: int) -> None:
    result = reconstruct(volume(np.full(SHAPE, value, dtype=np.uint8)))
    assert len(result.tree) == 0
    assert not result.mask.voxels.any()
    assert result.report.warnings == (
        f"every voxel is {value}: there is nothing to trace, the tree is empty",
    )


def test_an_inverted_image_is_noticed() -> None:
    result = reconstruct(volume(255 - VOXELS), Request(enhancer="none"))
    assert any("inverted" in text for text in result.report.warnings)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused_with_their_slice(bad: float) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[7, 3, 3] = bad
    with pytest.raises(BadVolume, match=r"a\.tif: slice 7 has 1 voxels that are NaN or infinite"):
        reconstruct(volume(voxels))


def test_a_2d_image_is_refused() -> None:
    with pytest.raises(BadVolume, match=r"a\.tif: is a 2D image of 90 x 50"):
        reconstruct(volume(VOXELS[:1]))


def test_the_network_is_missed_in_a_sentence() -> None:
    with pytest.raises(MissingDependency, match="--enhancer classical"):
        reconstruct(volume(), Request(enhancer="dineuro"))


def test_every_piece_on_request() -> None:
    two = paint([line((8, 10, 8), (82, 10, 8)), line((8, 40, 22), (60, 40, 22))], SHAPE)
    one = reconstruct(volume(two), Request(enhancer="none"))
    every = reconstruct(volume(two), Request("none", TraceParameters(trees="all")))
    assert (one.report.trees, every.report.trees) == (1, 2)
    assert one.report.explained == pytest.approx(74 / 126, abs=0.05)
    assert every.report.explained > 0.95
    assert one.report.left_out == pytest.approx(52, abs=4)
    assert every.report.left_out == 0


def test_gaps_are_counted_as_stretches() -> None:
    broken = VOXELS.copy()
    broken[:, :, 30:35] = 0
    broken[:, :, 60:66] = 0
    result = reconstruct(volume(broken), Request(enhancer="none"))
    assert result.report.joined_gaps == 2
    assert 8 < result.report.joined_length < 24
    assert score_trees(chain(PATH), result.tree).at2.f1 > 0.95


def test_progress_tells_the_stages_and_can_stop_the_work() -> None:
    stages = []

    def listen(step: Progress) -> None:
        stages.append(step.stage)
        assert 0 <= step.done <= step.total

    reconstruct(volume(), progress=listen)
    assert list(dict.fromkeys(stages)) == ["enhance", "trace"]

    def stop(step: Progress) -> None:
        raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        reconstruct(volume(), progress=stop)
