"""The second pass: its examples, its conditions and its warning."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.rendered import LOOKS, SHAPE, passing
from numpy.typing import NDArray

from dineuro.pipeline import second_pass
from dineuro.pipeline.enhancement import ProbabilityMap
from dineuro.pipeline.reconstruct import reconstruct
from dineuro.pipeline.result import Result
from dineuro_bridge.errors import BadParameter, Cancelled
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.enhancers import selftraining
from dineuro_model.enhancers.selftraining import reclassify
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import render
from dineuro_tracing.scores import score_trees

#: A tube along x through noise that is half as bright: (Z, Y, X), and where it runs.
TUBE = (slice(14, 18), slice(22, 26))
VOXELS = np.random.default_rng(1).poisson(20, (32, 48, 120)).astype(np.uint8)
VOXELS[TUBE] += 25


def examples(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tube's voxels in a span of x, and empty ones far from it."""
    tube = np.zeros(VOXELS.shape, dtype=bool)
    tube[TUBE] = True
    tube[..., :first] = tube[..., last:] = False
    empty = np.zeros(VOXELS.shape, dtype=bool)
    empty[:, :14] = True
    return np.argwhere(tube), np.argwhere(empty)


def test_a_part_of_a_tube_teaches_the_rest() -> None:
    mask = reclassify(VOXELS, *examples(0, 60)) >= 128
    assert mask[TUBE][..., 64:].mean() > 0.9
    mask[10:22, 18:30] = False
    assert mask.mean() < 0.05


def test_the_same_comes_out_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reclassify(VOXELS, *examples(0, 60)).astype(int)
    monkeypatch.setattr(selftraining, "_BLOCK", (20, 31, 50))
    monkeypatch.setattr(selftraining, "_CHUNK", 1000)
    assert np.array_equal(reclassify(VOXELS, *examples(0, 60)), whole)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_sample_type_does_not_matter(dtype: type) -> None:
    # 8-bit voxels times seven are rounded in other places, which only what is at a limit feels.
    same = reclassify(VOXELS.astype(dtype) * 7, *examples(0, 60)).astype(int)
    other = np.abs(same - reclassify(VOXELS, *examples(0, 60))) > 8
    assert other.mean() < 0.005


def test_flat_voxels_are_seen_as_they_lie() -> None:
    tube, empty = (p[p[:, 0] % 2 == 0] // (2, 1, 1) for p in examples(0, 60))
    mask = reclassify(VOXELS[::2], tube, empty, (2.0, 1.0, 1.0)) >= 128
    assert mask[7:9, 22:26, 64:].mean() > 0.9
    assert mask.mean() < 0.05


def test_the_curvatures_are_the_eigenvalues_of_the_hessian() -> None:
    z, y, x = np.mgrid[-8:9, -8:9, -8:9].astype(np.float64)
    hessian = np.array([[3.0, 0.5, -1.0], [0.5, -2.0, 0.25], [-1.0, 0.25, 1.0]])
    steps = np.array([2.0, 1.0, 0.5])
    at = np.stack([z, y, x], axis=-1) * steps
    bowl = np.einsum("...i,ij,...j->...", at, hessian, at) / 2
    curvatures = np.empty((1, 3), dtype=np.float32)
    middle = np.array([[8, 8, 8]])
    selftraining._curvatures(bowl.astype(np.float32), middle, steps, curvatures)
    assert curvatures[0] == pytest.approx(np.linalg.eigvalsh(hessian), abs=1e-4)
    selftraining._curvatures(np.zeros_like(bowl, dtype=np.float32), middle, steps, curvatures)
    assert not curvatures.any()


def test_it_can_be_cancelled() -> None:
    def no(_: Progress) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        reclassify(VOXELS, *examples(0, 60), progress=no)


@pytest.fixture(scope="module")
def near() -> tuple[Volume, Result, Result, float]:
    """A neuron in noise, its results with one pass and with two, and the gain in F1@2."""
    settings, count = LOOKS["near"]
    rng = np.random.default_rng(605)
    tree = grow_tree(SHAPE, rng)
    rendering = render(tree, SHAPE, rng, settings, distractors=[passing(rng) for _ in range(count)])
    volume = Volume(rendering.voxels[None], source="near.tif")
    once, twice = (
        reconstruct(volume, TraceOptions(enhancer="classical", passes=n)) for n in (1, 2)
    )
    before, after = (score_trees(r.tree, rendering.tree).at2.f1 for r in (once, twice))
    return volume, once, twice, after - before


@pytest.mark.slow
def test_in_noise_it_finds_much_more_than_the_classical_enhancer(
    near: tuple[Volume, Result, Result, float],
) -> None:
    volume, once, twice, gain = near
    assert gain > 0.1
    assert (once.report.passes, twice.report.passes) == (1, 2)
    phrase = "the stack was judged again"
    assert not any(phrase in text for text in once.report.warnings)
    assert any(phrase in text for text in twice.report.warnings)
    assert {"second_pass"} == set(twice.seconds) - set(once.seconds)
    # What was sure stays: all of the first mask along certain segments.
    sure = once.segments.of_nodes(once.overlay) >= 0.9
    nodes = np.rint(once.overlay.xyz[sure][:, ::-1]).astype(int)
    inside = once.mask.voxels[0][tuple(nodes.T)] > 0
    assert (twice.mask.voxels[0][tuple(nodes[inside].T)] > 0).all()
    again = reconstruct(volume, TraceOptions(enhancer="classical", passes=2))
    assert swc_text(again.tree) == swc_text(twice.tree)


@pytest.mark.slow
def test_it_is_left_out_where_it_is_of_no_use(
    near: tuple[Volume, Result, Result, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, once, _, _ = near
    # One that adds nothing is dropped, and one that is expected to be less right.
    same, worse = once.probability, np.roll(once.probability, 40, axis=2)
    for growth, probability in ((1.2, same), (0.0, worse)):
        limits = replace(second_pass._LIMITS["classical"], growth=growth)
        monkeypatch.setitem(second_pass._LIMITS, "classical", limits)
        monkeypatch.setattr(second_pass, "probability_again", lambda *_, it=probability: it)
        dropped = reconstruct(volume, TraceOptions(enhancer="classical"))
        assert dropped.report.passes == 1
        assert swc_text(dropped.tree) == swc_text(once.tree)
    # A root that the second pass does not find is no reason to lose the first.
    elsewhere = np.zeros_like(once.probability)
    elsewhere[:6, :6, :40] = 255
    monkeypatch.setattr(second_pass, "probability_again", lambda *_: elsewhere)
    monkeypatch.setattr(second_pass, "_GREATEST_LOSS", 1.0)
    usual = second_pass._LIMITS["classical"]
    monkeypatch.setitem(second_pass._LIMITS, "classical", replace(usual, growth=0.0))
    assert reconstruct(volume, TraceOptions(enhancer="classical")).report.passes == 2
    root = (*once.overlay.xyz[5].tolist(),)
    kept = reconstruct(volume, TraceOptions(enhancer="classical", root=root))
    assert (kept.report.passes, len(kept.tree) > 5) == (1, True)

    # Neither where a probability is given, nor in a clear image, nor where the first is sure.
    monkeypatch.setattr(second_pass, "probability_again", lambda *_: pytest.fail("asked"))
    earlier = ProbabilityMap(once.probability, "classical")
    assert (
        reconstruct(volume, TraceOptions(enhancer="classical"), probability=earlier).report.passes
        == 1
    )
    assert reconstruct(Volume(VOXELS[None]), TraceOptions(enhancer="none")).report.passes == 1
    for limits in (replace(usual, clearness=0.0), replace(usual, certain_share=0.0)):
        monkeypatch.setitem(second_pass._LIMITS, "classical", limits)
        assert reconstruct(volume, TraceOptions(enhancer="classical")).report.passes == 1


def test_a_tree_without_a_certain_segment_teaches_nothing() -> None:
    once = reconstruct(Volume(VOXELS[None]), TraceOptions(enhancer="classical", passes=1))
    assert len(once.segments)
    for confidence, is_taught in ((0.95, True), (0.3, False)):
        segments = replace(once.segments, confidence=np.full(len(once.segments), confidence))
        training = second_pass.examples(VOXELS, once.probability, once.overlay, segments, 128)
        assert (training is not None) == is_taught


@pytest.mark.parametrize("noise", [0.0, 1.0, 8.0])
def test_how_clearly_neurites_stand_out_of_the_noise(noise: float) -> None:
    image = np.random.default_rng(2).normal(100, noise, VOXELS.shape) + np.arange(120) / 10
    image[TUBE] += 24
    clearness = second_pass.Examples(*examples(0, 120)).clearness(image)
    assert clearness == pytest.approx(24 / noise, rel=0.1) if noise else clearness > 100
    assert second_pass.Examples(*examples(0, 120)).clearness(np.full(VOXELS.shape, 7)) == math.inf


def test_the_mean_of_two_odds() -> None:
    first = np.array([[[0, 128, 255, 255, 64]]], dtype=np.uint8)
    second = np.array([[[0, 128, 255, 0, 191]]], dtype=np.uint8)
    mean = second_pass._mean_odds(first, second)[0, 0]
    assert mean.tolist()[:2] == [1, 128]
    assert mean[2] == 254
    assert abs(int(mean[3]) - 128) <= 1
    assert abs(int(mean[4]) - 128) <= 1


@pytest.mark.parametrize("passes", [0, 3])
def test_a_number_of_passes_that_cannot_be_is_refused(passes: int) -> None:
    for wrong in (passes, passes + 0.5, "both"):
        with pytest.raises(BadParameter, match="passes"):
            TraceOptions.from_dict({"passes": wrong})
    with pytest.raises(BadParameter, match="passes"):
        TraceOptions(passes=passes)
    assert TraceOptions.from_dict({"passes": "1"}).passes == 1
