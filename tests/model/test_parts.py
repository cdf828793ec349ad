"""The classical enhancer part by part: the same bytes as in memory, whatever the parts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_model.enhancers import classical
from dineuro_model.enhancers.blocks import Floats, Frame, n_blocks
from dineuro_model.enhancers.figures import Figures, Ridges, Tally
from dineuro_model.enhancers.parts import (
    MEASURE_MARGIN,
    BlockMap,
    Part,
    enhance_alone,
    enhance_part,
    map_blocks,
    measure_ground,
    measure_ridges,
)
from dineuro_model.mask_scores import dice
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render

SHAPE = (70, 130, 110)
#: No multiple of the blocks of 16 voxels that the ground is measured in.
EDGE = 60
CUBE = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def stack() -> NDArray[np.uint8]:
    rng = np.random.default_rng(4)
    return np.asarray(render(grow_tree(SHAPE, rng), SHAPE, rng, RenderSettings.medium()).voxels)


@pytest.fixture(scope="module")
def memory(stack: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Figures]:
    """The probability in memory, and the figures by which it was made."""
    seen = list[Figures]()
    usual = classical.part_probability

    def spy(*arguments: object) -> NDArray[np.uint8]:
        seen.append(arguments[3])  # type: ignore[arg-type]
        return usual(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classical, "part_probability", spy)
        return classical.enhance(stack, CUBE), seen[0]


def parts(
    stack: NDArray[np.uint8], margin: int, low: float, span: float
) -> Iterator[tuple[tuple[slice, ...], Part]]:
    """The place of each core, and its part."""
    for corner in np.ndindex(*(-(-n // EDGE) for n in SHAPE)):
        core = [
            slice(at * EDGE, min(n, (at + 1) * EDGE)) for at, n in zip(corner, SHAPE, strict=True)
        ]
        box = [slice(max(0, c.start - margin) // 4 * 4, min(n, c.stop + margin))
               for c, n in zip(core, SHAPE, strict=True)]  # fmt: skip
        z, y, x = (c.start for c in box)
        voxels = stack[tuple(box)]
        inner = [slice(c.start - b.start, c.stop - b.start) for c, b in zip(core, box, strict=True)]
        frame = Frame(SHAPE, (z, y, x), (voxels.shape[0], voxels.shape[1], voxels.shape[2]))
        yield tuple(core), Part(voxels, frame, (inner[0], inner[1], inner[2]), low, span, CUBE)


def block_map(values: Floats, frame: Frame) -> BlockMap:
    which = map_blocks(frame)
    z, y, x = (each.start for each in which)
    return BlockMap(values[which], (z, y, x))


def test_parts_have_the_bytes_of_the_whole(
    stack: NDArray[np.uint8], memory: tuple[NDArray[np.uint8], Figures]
) -> None:
    whole, figures = memory
    medians = np.full(n_blocks(SHAPE), np.nan, dtype=np.float32)
    noise = medians.copy()
    for _, part in parts(stack, MEASURE_MARGIN, figures.low, figures.span):
        medians[part.core_frame.blocks()] = measure_ground(part).medians
    for _, part in parts(stack, MEASURE_MARGIN, figures.low, figures.span):
        measure = measure_ridges(part, block_map(medians, part.frame))
        noise[part.core_frame.blocks()] = measure.noise
    assert np.isfinite(medians).all()
    assert np.isfinite(noise).all()
    margin = -(-max(classical.reach(CUBE)) // 4) * 4
    made = np.full(SHAPE, 7, dtype=np.uint8)
    for core, part in parts(stack, margin, figures.low, figures.span):
        ground = block_map(medians, part.frame)
        made[core] = enhance_part(part, figures, ground, block_map(noise, part.frame))
    assert np.count_nonzero(whole >= 128) > 1000
    assert np.array_equal(made, whole)


def test_a_part_takes_the_memory_of_four_copies_of_it_in_float32(
    memory: tuple[NDArray[np.uint8], Figures],
) -> None:
    """Its surroundings are as large as its core here; each copy of all of it costs a worker."""
    _, figures = memory
    margin = -(-max(classical.reach(CUBE)) // 4) * 4
    edge = 64 + 2 * margin
    voxels = np.random.default_rng(2).integers(0, 90, (edge,) * 3).astype(np.uint8)
    inner = (slice(margin, margin + 64),) * 3
    frame = Frame((edge,) * 3, (0, 0, 0), (edge,) * 3)
    part = Part(voxels, frame, inner, figures.low, figures.span, CUBE)
    values = np.full(n_blocks((edge,) * 3), 0.05, dtype=np.float32)
    tracemalloc.start()
    try:
        enhance_part(part, figures, block_map(values, frame), block_map(values, frame))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4.3 * 4 * voxels.size


def test_the_figures_of_parts_are_nearly_those_of_the_whole(
    stack: NDArray[np.uint8], memory: tuple[NDArray[np.uint8], Figures]
) -> None:
    _, figures = memory
    medians = np.full(n_blocks(SHAPE), np.nan, dtype=np.float32)
    middle, ridges, ground = list[Tally](), list[Tally](), list[Tally]()
    for _, part in parts(stack, MEASURE_MARGIN, figures.low, figures.span):
        measure = measure_ground(part)
        medians[part.core_frame.blocks()] = measure.medians
        middle.append(measure.middle)
        assert figures.darkest <= measure.darkest <= measure.brightest <= figures.brightest
    for _, part in parts(stack, MEASURE_MARGIN, figures.low, figures.span):
        found = measure_ridges(part, block_map(medians, part.frame))
        ridges.append(found.ridges)
        ground.append(found.background)
    merged = Ridges.of_tally(Tally.sum(ridges))
    assert merged.threshold == pytest.approx(figures.threshold, rel=0.02)
    assert merged.least == pytest.approx(figures.least, rel=0.02)
    assert merged.bright == pytest.approx(figures.bright, rel=0.02)
    assert Tally.sum(ground).deviation() == pytest.approx(figures.noise, rel=0.02)
    assert Tally.sum(middle).quantile(0.5) == pytest.approx(figures.middle, rel=0.02)


def test_tallies_of_parts_add_up_to_that_of_the_whole() -> None:
    values = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    whole = Tally.of(values)
    summed = Tally.sum(Tally.of(part) for part in np.array_split(values, 7))
    assert np.array_equal(whole.values, summed.values)
    assert np.array_equal(whole.counts, summed.counts)
    assert (np.diff(whole.values) > 0).all()
    assert whole.quantile(0.5) == pytest.approx(float(np.median(values)), abs=2e-3)
    assert whole.deviation() == pytest.approx(1.0, rel=0.05)


def test_a_block_that_was_not_measured_takes_the_nearest() -> None:
    values = np.array([[[1.0, np.nan, np.nan, 4.0]]], dtype=np.float32)
    assert BlockMap(values, (0, 0, 0)).filled().tolist() == [[[1.0, 1.0, 4.0, 4.0]]]
    assert not BlockMap(np.full((1, 1, 2), np.nan, dtype=np.float32), (0, 0, 0)).filled().any()


def test_a_part_that_nobody_measured_is_enhanced_by_its_own_ground(
    stack: NDArray[np.uint8], memory: tuple[NDArray[np.uint8], Figures]
) -> None:
    probability, figures = memory
    box = (slice(0, 70), slice(20, 90), slice(24, 110))
    frame = Frame(SHAPE, (0, 20, 24), (70, 70, 86))
    inner = (slice(0, 70), slice(0, 70), slice(0, 86))
    part = Part(stack[box], frame, inner, figures.low, figures.span, CUBE)
    assert dice(enhance_alone(part, figures) >= 128, probability[box] >= 128) > 0.9
