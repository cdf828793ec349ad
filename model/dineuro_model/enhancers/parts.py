"""The classical enhancer for a volume that is larger than the memory, part by part.

A part is a core with its surroundings. Three passes over all cores measure the volume: the blocks'
medians, then the ridges and the noise, and with them a last pass gives the probability. With equal
figures each core has the bytes that the enhancer gives the whole volume in memory. Of its own
accord the threshold differs a little, because ridges are tallied; and a cell body that is wider
than the surroundings is judged by the part of it that is in view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_model.enhancers.blocks import (
    Floats,
    Frame,
    Size,
    Slices,
    between,
    block_medians,
    block_noise,
    even_noise,
    n_blocks,
    sampled,
    without_neurites,
)
from dineuro_model.enhancers.broad import body_sample
from dineuro_model.enhancers.classical import (
    Scale,
    around_neurites,
    breadth,
    denoised,
    normalised,
    on_ridges,
    part_probability,
)
from dineuro_model.enhancers.clearness import Variation, noise_around
from dineuro_model.enhancers.figures import Figures, Tally

#: Blocks of the ground that the opened and smoothed ground of one block depends on, to each side.
GROUND_MARGIN = 3
#: Voxels around a core that the first two passes need: a block, and the reach of a ridge.
MEASURE_MARGIN = 20
#: Voxels from the first sampled voxel of a block to the last, at most, and one.
_BLOCK_REACH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A core with its surroundings, in intensities.

    Attributes:
        intensity: (Z, Y, X), finite.
        frame: the place of the part in the volume.
        core: (z, y, x), the core in the part.
        low, span: see `Figures`.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """

    intensity: NDArray[Any]
    frame: Frame
    core: Slices
    low: float
    span: float
    scale: Scale

    @property
    def core_frame(self) -> Frame:
        """The place of the core in the volume."""
        z, y, x = (a + c.start for a, c in zip(self.frame.start, self.core, strict=True))
        depth, height, width = (c.stop - c.start for c in self.core)
        return Frame(self.frame.size, (z, y, x), (depth, height, width))

    def smooth(self) -> Floats:
        """The denoised part."""
        return denoised(normalised(self.intensity, self.low, self.span), self.scale)

    def middle_sample(self, smooth: Floats) -> Floats:
        """The voxels of the core in which bodies are searched; the volume has the same ones."""
        return body_sample(smooth[self.core])


@dataclass(frozen=True, slots=True, eq=False)
class GroundMeasure:
    """What a core says of the ground.

    Attributes:
        medians: of the blocks that begin in the core.
        darkest, brightest: of the denoised core.
        middle: denoised voxels in the rows and columns of bodies.
    """

    medians: Floats
    darkest: float
    brightest: float
    middle: Tally


@dataclass(frozen=True, slots=True, eq=False)
class RidgeMeasure:
    """What a core says of noise and neurites.

    Attributes:
        ridges: contrasts of ridge points.
        background: contrasts of sampled voxels.
        noise: of the blocks that begin in the core.
    """

    ridges: Tally
    background: Tally
    noise: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockMap:
    """A value for each block around a part; NaN where nothing was measured.

    Attributes:
        values: (depth, height, width).
        first: the number of the first block along each axis.
    """

    values: Floats
    first: Size

    def filled(self) -> Floats:
        """The values, and the nearest one where nothing was measured; 0 without any."""
        missing = np.isnan(self.values)
        if not missing.any():
            return self.values
        if missing.all():
            return np.zeros_like(self.values)
        nearest = ndimage.distance_transform_edt(
            missing, return_distances=False, return_indices=True
        )
        return np.asarray(self.values[tuple(nearest)])


def map_blocks(frame: Frame) -> Slices:
    """The blocks that a `BlockMap` of a part covers."""
    around = frame.blocks_around()
    z, y, x = (
        slice(max(0, each.start - GROUND_MARGIN), min(n, each.stop + GROUND_MARGIN))
        for each, n in zip(around, n_blocks(frame.size), strict=True)
    )
    return z, y, x


def measure_ground(part: Part) -> GroundMeasure:
    """The first pass over a core with `MEASURE_MARGIN` around it."""
    smooth = part.smooth()
    core = smooth[part.core]
    return GroundMeasure(
        block_medians(smooth, part.frame, part.core_frame.blocks()),
        float(core.min()),
        float(core.max()),
        Tally.of(part.middle_sample(smooth)),
    )


def measure_ridges(part: Part, medians: BlockMap) -> RidgeMeasure:
    """The second pass over a core with `MEASURE_MARGIN` around it."""
    contrast = _contrast(part.smooth(), part.frame, medians)
    blocks = part.core_frame.blocks()
    crest = on_ridges(contrast, part.core)
    return RidgeMeasure(
        Tally.of(contrast[part.core][crest]),
        Tally.of(sampled(contrast, part.frame, blocks)),
        block_noise(contrast, part.frame, blocks),
    )


def measure_contrast(part: Part, medians: BlockMap, threshold: float) -> Variation:
    """What a core with `MEASURE_MARGIN` around it says of the noise around neurites.

    Args:
        part: the core.
        medians: of the ground.
        threshold: of the volume, see `Figures`.
    """
    values = normalised(part.intensity, part.low, part.span)
    contrast = _contrast(part.smooth(), part.frame, medians)
    return noise_around(values, around_neurites(contrast, threshold, part.scale), part.core)


def enhance_part(
    part: Part, figures: Figures, medians: BlockMap, noise: BlockMap
) -> NDArray[np.uint8]:
    """The probability of a core that has `classical.reach` around it, (Z, Y, X) uint8.

    The part starts at a row and a column that are multiples of 4.
    """
    depth, height, width = (c.stop - c.start for c in part.core)
    if not figures.bright:
        return np.zeros((depth, height, width), dtype=np.uint8)
    smooth = part.smooth()
    broad = breadth(smooth, figures, part.scale, part.core)
    # Copies of the box let the arrays of the whole part go, one after the other.
    box = broad.box
    contrast = _contrast(smooth, part.frame, medians)[box].copy()
    del smooth
    around = between(even_noise(noise.filled()), part.frame, noise.first)[box].copy()
    return part_probability(broad, contrast, around, figures, part.scale)


def enhance_alone(part: Part, figures: Figures) -> NDArray[np.uint8]:
    """As `enhance_part`, for a part of which no pass measured anything: by its own ground."""
    smooth, frame = part.smooth(), part.frame
    z, y, x = (
        n if a + n == whole else max(1, n - _BLOCK_REACH)
        for a, n, whole in zip(frame.start, frame.shape, frame.size, strict=True)
    )
    blocks = Frame(frame.size, frame.start, (z, y, x)).blocks()
    medians = _placed(frame, blocks, block_medians(smooth, frame, blocks))
    noise = _placed(frame, blocks, block_noise(_contrast(smooth, frame, medians), frame, blocks))
    return enhance_part(part, figures, medians, noise)


def _placed(frame: Frame, blocks: Slices, values: Floats) -> BlockMap:
    """The map of a part of which some blocks are known."""
    which = map_blocks(frame)
    every = np.full([s.stop - s.start for s in which], np.nan, dtype=np.float32)
    place = tuple(slice(b.start - s.start, b.stop - s.start)
                  for b, s in zip(blocks, which, strict=True))  # fmt: skip
    every[place] = values
    return BlockMap(every, (which[0].start, which[1].start, which[2].start))


def _contrast(smooth: Floats, frame: Frame, medians: BlockMap) -> Floats:
    ground = without_neurites(medians.filled())
    found = between(ground, frame, medians.first)
    return np.subtract(smooth, found, out=found)
