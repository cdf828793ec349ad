"""From a volume to tree, mask and report: coordinates, units, warnings, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

from dineuro.pipeline.agreement import agreement
from dineuro.pipeline.enhancement import ProbabilityMap, _combine
from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.errors import BadParameter, BadVolume, Cancelled
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.scale import CUBES
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inference.runtime import Runtime
from dineuro_model.inference.segment import SegmentOptions
from dineuro_model.network.network import Network
from dineuro_model.network.weights import save_weights
from dineuro_tracing.scores import score_trees
from tests.model.test_transfer import TINY
from tests.support.shapes import chain, line, paint

SHAPE = (30, 50, 90)
PATH = line((8, 25, 15), (82, 25, 15))
VOXELS = paint([PATH], SHAPE)


def volume(voxels: np.ndarray = VOXELS, **more: object) -> Volume:
    return Volume(voxels[None], source="a.tif", **more)  # type: ignore[arg-type]


def test_mask_and_tree_agree_with_what_was_painted() -> None:
    result = reconstruct(volume(), TraceOptions(enhancer="none"))
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
    request = TraceOptions(enhancer=enhancer, roi=(20, 10, 5, 70, 40, 25))  # type: ignore[arg-type]
    result = reconstruct(volume(), request)
    x = result.tree.xyz[:, 0]
    assert (x.min() >= 20) & (x.max() <= 69)
    assert x.max() - x.min() > 40
    assert np.abs(result.tree.xyz[:, 1] - 25).max() < 2
    assert result.mask.voxels.shape == (1, *SHAPE)
    assert not result.mask.voxels[..., :20].any()
    assert result.mask.voxels[0, 15, 25, 30] == 255


def test_a_root_is_given_in_the_full_volume_also_for_a_region() -> None:
    request = TraceOptions(enhancer="none", roi=(20, 10, 5, 70, 40, 25), root=(69, 25, 15))
    tree = reconstruct(volume(), request).tree
    assert tree.xyz[0, 0] > 64
    with pytest.raises(BadParameter, match="outside the volume or region"):
        reconstruct(volume(), replace(request, root=(10, 25, 15)))


def test_a_region_of_one_slice_is_refused() -> None:
    with pytest.raises(BadVolume, match=r"a\.tif: the region is one slice thick"):
        reconstruct(volume(), TraceOptions(enhancer="none", roi=(0, 0, 3, 90, 50, 4)))


def test_channels_count_from_one_and_the_first_is_taken_with_a_warning() -> None:
    both = Volume(np.stack([VOXELS, np.zeros_like(VOXELS)]), source="a.tif")
    first = reconstruct(both, TraceOptions(enhancer="classical"))
    assert len(first.tree) > 5
    assert "2 channels" in first.report.warnings[0]
    second = reconstruct(both, TraceOptions(enhancer="classical", channel=2))
    assert len(second.tree) == 0
    with pytest.raises(BadParameter, match="no channel 3; it has 2"):
        reconstruct(both, TraceOptions(enhancer="classical", channel=3))
    for channel in (0, -1):
        with pytest.raises(BadParameter, match=f"channel {channel}: must be"):
            TraceOptions(channel=channel)


def test_micrometres_need_a_voxel_size_and_use_it() -> None:
    with pytest.raises(BadParameter, match="no voxel size"):
        reconstruct(volume(), TraceOptions(units="um"))
    size = (2.0, 0.5, 0.25)
    voxels = reconstruct(volume(), TraceOptions(enhancer="classical", spacing=size[::-1]))
    um = reconstruct(volume(spacing=size), TraceOptions(enhancer="classical", units="um"))
    assert np.allclose(um.tree.xyz, voxels.tree.xyz * (0.25, 0.5, 2.0))
    assert np.allclose(um.tree.radii, voxels.tree.radii * 0.25)


def test_spacing_of_the_request_wins_over_the_file() -> None:
    a = reconstruct(
        volume(spacing=(9.0, 1.0, 1.0)), TraceOptions(enhancer="none", spacing=(1.0, 1.0, 1.0))
    )
    b = reconstruct(volume(), TraceOptions(enhancer="none"))
    assert swc_text(a.tree) == swc_text(b.tree)


@pytest.mark.parametrize("value", [0, 9])
def test_a_constant_volume_gives_an_empty_tree_and_says_so(value: int) -> None:
    result = reconstruct(
        volume(np.full(SHAPE, value, dtype=np.uint8)), TraceOptions(enhancer="classical")
    )
    assert len(result.tree) == 0
    assert not result.mask.voxels.any()
    assert result.report.warnings == (
        f"every voxel is {value}: there is nothing to trace, the tree is empty",
    )


@pytest.mark.parametrize("enhancer", ["classical", "none"])
def test_an_inverted_image_is_noticed(enhancer: str) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(30, 8, SHAPE) + VOXELS * 0.7, 0, 255).astype(np.uint8)
    for voxels in (VOXELS, noisy):
        request = TraceOptions(enhancer=enhancer)  # type: ignore[arg-type]
        upright = reconstruct(volume(voxels), request)
        inverted = reconstruct(volume(255 - voxels), request)
        assert not any("inverted" in text for text in upright.report.warnings)
        assert any("inverted" in text for text in inverted.report.warnings)


def test_lengths_of_the_report_are_in_finest_voxels() -> None:
    """Along z, where a voxel is four times as long as wide, so is the tree."""
    upright = paint([line((25, 25, 4), (25, 25, 44))], (50, 50, 50))
    report = reconstruct(
        volume(upright), TraceOptions(enhancer="none", spacing=(0.5, 0.5, 2.0))
    ).report
    assert report.length == pytest.approx(4 * 42, abs=10)  # the round ends count too
    assert report.explained > 0.9
    assert report.supported == 1


def test_the_mask_keeps_the_voxel_size_of_the_request() -> None:
    result = reconstruct(volume(), TraceOptions(enhancer="none", spacing=(1, 2, 3)))
    assert result.mask.spacing == (3, 2, 1)


def test_a_root_that_had_to_be_moved_is_told_and_one_in_the_neurite_is_not() -> None:
    near = reconstruct(volume(), TraceOptions(enhancer="none", root=(8, 25, 15)))
    far = reconstruct(volume(), TraceOptions(enhancer="none", root=(8, 40, 15)))
    assert near.report.root_moved < 1
    assert far.report.root_moved == pytest.approx(13, abs=2)
    assert not any("root given" in text for text in near.report.warnings)
    assert any("root given lies 1" in text for text in far.report.warnings)
    with pytest.raises(BadParameter, match=r"^a\.tif: the root lies"):
        reconstruct(volume(), TraceOptions(enhancer="none", root=(0, 0, 0), spacing=(1, 1, 2)))


def test_a_mask_that_the_image_does_not_support_is_doubted() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(50, 5, SHAPE)
    image += VOXELS * 0.5
    elsewhere = paint([line((8, 8, 6), (82, 8, 6))], SHAPE) > 0
    right = agreement(image, VOXELS > 0)
    assert right.brighter == pytest.approx(1, abs=0.02)
    assert right.found == pytest.approx(1, abs=0.02)
    dreamt = agreement(image, elsewhere)
    assert dreamt.brighter == pytest.approx(0.5, abs=0.15)
    assert dreamt.found == pytest.approx(0, abs=0.02)
    assert agreement(rng.normal(50, 5, SHAPE), elsewhere).found is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_voxels_that_are_no_usable_numbers_are_refused_with_their_slice(bad: float) -> None:
    voxels = VOXELS.astype(np.float64)
    voxels[7, 3, 3] = bad
    with pytest.raises(BadVolume, match=r"a\.tif: slice 8 .* has 1 voxels that are NaN, .* Fiji"):
        reconstruct(volume(voxels), TraceOptions(enhancer="classical"))


def test_the_largest_half_precision_number_is_a_usable_one() -> None:
    voxels = VOXELS.astype(np.float16)
    voxels[7, 3, 3] = np.finfo(np.float16).max
    reconstruct(volume(voxels), TraceOptions(enhancer="classical"))


def test_a_2d_image_is_refused() -> None:
    with pytest.raises(BadVolume, match=r"a\.tif: is a 2D image of 90 x 50"):
        reconstruct(volume(VOXELS[:1]))


def test_an_unknown_model_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadParameter, match="model no-such: is not installed; installed: dineuro"):
        reconstruct(volume(), TraceOptions(model="no-such"))


def test_a_given_network_is_used_and_named(tmp_path: Path) -> None:
    """A network whose head says "neurite" of every voxel: the mask shows that it was asked."""
    network = Network(TINY)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(9.0)
    digest = save_weights(tmp_path / "mine.safetensors", network)
    result = reconstruct(
        volume(), TraceOptions(enhancer="dineuro", model=str(tmp_path / "mine.safetensors"))
    )
    assert result.model == ("mine.safetensors", digest)
    assert result.report.mask_share > 0.02
    assert result.report.brighter is not None


def test_a_field_of_axons_says_what_it_is_and_why() -> None:
    axons = [line((0, 5 + 10 * k, 5), (89, 5 + 10 * k, 25)) for k in range(5)]
    result = reconstruct(volume(paint(axons, SHAPE)), TraceOptions(enhancer="none"))
    assert (result.report.layout, result.report.trees) == ("field", 5)
    assert result.report.as_dict()["layout"] == "field"
    (why,) = (text for text in result.report.warnings if "field of axons" in text)
    assert "kept as 5 trees" in why
    assert "100% of the length" in why
    assert not any("thickest end" in text for text in result.report.warnings)
    one = reconstruct(volume(paint(axons, SHAPE)), TraceOptions(enhancer="none", trees="one"))
    assert (one.report.layout, one.report.trees) == ("neuron", 1)
    assert any("thickest end" in text for text in one.report.warnings)


def test_every_piece_on_request() -> None:
    two = paint([line((8, 10, 8), (82, 10, 8)), line((8, 40, 22), (60, 40, 22))], SHAPE)
    one = reconstruct(volume(two), TraceOptions(enhancer="none"))
    every = reconstruct(volume(two), TraceOptions(enhancer="none", trees="all"))
    assert (one.report.trees, every.report.trees) == (1, 2)
    assert one.report.explained == pytest.approx(74 / 126, abs=0.05)
    assert every.report.explained > 0.95
    assert one.report.left_out == pytest.approx(52, abs=4)
    assert every.report.left_out == 0


def test_gaps_are_counted_as_stretches() -> None:
    broken = VOXELS.copy()
    broken[:, :, 30:35] = 0
    broken[:, :, 60:66] = 0
    result = reconstruct(volume(broken), TraceOptions(enhancer="none"))
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


def test_slices_far_apart_are_shown_to_the_network_with_others_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    between = []

    def listen(voxels: np.ndarray, runtime: Runtime, options: SegmentOptions, *_: object) -> object:
        between.append(options.between)
        return np.zeros(voxels.shape, dtype=np.uint8)

    monkeypatch.setattr("dineuro.pipeline.enhancement.segment", listen)
    for step in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0):
        reconstruct(volume(), TraceOptions(enhancer="dineuro", spacing=(1.0, 1.0, step)))
    assert between == [0, 0, 0, 1, 1, 3]


def test_auto_bridges_the_network_s_pieces_by_what_the_classical_enhancer_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The neurite bends in the stretch that the network does not see."""
    bend = [line((8, 30, 20), (50, 30, 20)), line((50, 30, 20), (50, 44, 20))]
    rest = [line((50, 44, 20), (92, 44, 20)), line((8, 30, 20), (8, 10, 20))]
    neurite = paint([*bend, *rest, line((8, 10, 20), (92, 10, 20))], (40, 60, 100))
    seen = np.where(neurite > 0, np.uint8(250), np.uint8(0))
    seen[:, 28:47, 44:57] = 0
    monkeypatch.setattr("dineuro.pipeline.enhancement.segment", lambda *_: seen.copy())
    monkeypatch.setattr("dineuro.pipeline.enhancement.CLEAR", np.nan)
    stack = Volume((neurite // 3)[None], source="bend.tif")
    alone = reconstruct(stack, TraceOptions(enhancer="dineuro"))
    both = reconstruct(stack, TraceOptions(enhancer="auto"))
    assert both.enhancer == "dineuro"
    assert np.array_equal(both.mask.voxels, alone.mask.voxels)
    corner = np.array((50, 37, 20))
    assert np.linalg.norm(both.tree.xyz - corner, axis=1).min() < 2.5
    assert np.linalg.norm(alone.tree.xyz - corner, axis=1).min() > 4
    assert both.report.joined_gaps >= 1
    assert both.tree.length > 180
    monkeypatch.setattr("dineuro.pipeline.enhancement._LARGEST", stack.voxels.size - 1)
    too_large = reconstruct(stack, TraceOptions(enhancer="auto"))
    assert np.array_equal(too_large.tree.xyz, alone.tree.xyz)


def test_auto_loads_a_network_for_noise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def refuse(*_: object) -> NoReturn:
        loads.append("network")
        raise BadParameter("no network here")

    monkeypatch.setattr("dineuro.pipeline.reconstruct.cached_model", refuse)
    result = reconstruct(volume())
    assert (result.enhancer, result.model, loads) == ("classical", None, [])
    assert "load" not in result.seconds
    noise = np.random.default_rng(3).normal(60, 25, SHAPE)
    with pytest.raises(BadParameter, match="no network here"):
        reconstruct(volume((VOXELS / 5 + noise).clip(0, 255).astype(np.uint8)))
    with pytest.raises(BadParameter, match="no network here"):
        reconstruct(volume(), TraceOptions(model="dineuro-s1"))
    assert len(loads) == 2


def test_auto_takes_the_classical_enhancer_where_the_network_misses_what_stands_out(
    tmp_path: Path,
) -> None:
    """A network that never sees anything, on a line that anyone sees."""
    network = Network(TINY)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(-9.0)
    save_weights(tmp_path / "blind.safetensors", network)
    blind = str(tmp_path / "blind.safetensors")
    result = reconstruct(volume(), TraceOptions(model=blind))
    assert (result.enhancer, result.model) == ("classical", None)
    assert any(
        "the network's mask has 0% of what stands out" in text for text in result.report.warnings
    )
    assert len(result.tree) > 20
    insisted = reconstruct(volume(), TraceOptions(enhancer="dineuro", model=blind))
    assert insisted.enhancer == "dineuro"
    assert insisted.model is not None
    assert len(insisted.tree) == 0
    assert any("the mask and the image disagree" in text for text in insisted.report.warnings)


def test_a_network_that_is_unsure_of_all_that_it_sees_is_told() -> None:
    for seen, is_unsure in ((140, True), (230, False)):
        probability = np.where(VOXELS > 0, np.uint8(seen), np.uint8(20))
        told = reconstruct(
            volume(), TraceOptions(), probability=ProbabilityMap(probability, "dineuro")
        ).report
        assert told.sureness == pytest.approx(seen / 255, abs=1e-4)
        assert any("the network is unsure" in text for text in told.warnings) == is_unsure
    by_another = ProbabilityMap(np.where(VOXELS > 0, np.uint8(140), np.uint8(20)), "classical")
    told = reconstruct(volume(), TraceOptions(), probability=by_another).report
    assert told.sureness is None
    assert not any("unsure" in text for text in told.warnings)


@pytest.mark.parametrize(("seen", "taken"), [(150, "classical"), (240, "dineuro")])
def test_auto_takes_the_classical_enhancer_where_the_network_is_unsure(
    seen: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In noise of an unknown kind the network marks noise, and is unsure of it."""
    rng = np.random.default_rng(3)
    noisy = (VOXELS / 5 + rng.normal(60, 25, SHAPE)).clip(0, 255).astype(np.uint8)
    marked = np.where((VOXELS > 0) | (rng.random(SHAPE) < 0.01), np.uint8(seen), np.uint8(20))
    monkeypatch.setattr(
        "dineuro.pipeline.enhancement._segment", lambda *_, **__: marked.copy(), raising=True
    )
    result = reconstruct(volume(noisy), TraceOptions(passes=1))
    assert result.enhancer == taken
    told = any("the classical enhancer was used" in text for text in result.report.warnings)
    assert told == (taken == "classical")
    named = reconstruct(volume(noisy), TraceOptions(passes=1, model="dineuro-s1"))
    assert named.enhancer == "dineuro"


def test_a_soma_that_only_the_classical_enhancer_sees_is_taken_over_and_no_neurite_is() -> None:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (z - 15) ** 2 + (y - 25) ** 2 + (x - 45) ** 2 <= 7**2
    by_network = np.where(ball, 0, VOXELS).astype(np.uint8)  # the network leaves the soma out
    only_classical = paint([line((20, 8, 15), (70, 8, 15))], SHAPE)
    besides = np.maximum(np.where(ball, 200, VOXELS), only_classical).astype(np.uint8)
    together = _combine(by_network, besides.copy(), 128, CUBES)
    differs = (together >= 128) != ((by_network >= 128) | ball)
    assert differs.sum() < 0.05 * ball.sum()  # the ball's rim of single voxels
    assert together[only_classical > 0].max() == 127
    # Where the network shows a soma, the classical enhancer's makes no difference.
    own = np.where(ball, 255, by_network).astype(np.uint8)
    wider = np.where((z - 15) ** 2 + (y - 25) ** 2 + (x - 45) ** 2 <= 10**2, 200, besides)
    kept = _combine(own, wider.astype(np.uint8), 128, CUBES)
    assert ((kept >= 128) == (own >= 128)).all()
