"""The image that is enhanced and traced: the region without faults that look like neurites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.enhancement import Enhancement
from dineuro.pipeline.region import Region
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import VoxelScale
from dineuro_model.repair.prepare import Prepared, as_it_is, prepare


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """A region as the enhancers and the tracer read it.

    Attributes:
        intensity: (Z, Y, X), bright neurites on a dark ground; the region's own voxels where they
            have no fault.
        unknown: (Z, Y, X), the voxels without an image; None where every voxel has one.
        scale: the voxel size.
        is_inverted: whether bright and dark were exchanged.
        remarks: sentences for the user about what was done.
    """

    intensity: NDArray[Any]
    unknown: NDArray[np.bool_] | None
    scale: VoxelScale
    is_inverted: bool = False
    remarks: tuple[str, ...] = ()

    def without_unknown(self, enhancement: Enhancement) -> Enhancement:
        """The enhancement with a probability of 0 where nothing is known."""
        if self.unknown is None:
            return enhancement
        probability = np.where(self.unknown, np.uint8(0), enhancement.probability)
        return replace(enhancement, probability=probability)


def prepare_region(
    region: Region, options: TraceOptions, *, is_mask: bool = False
) -> PreparedImage:
    """Find and mend the faults of a region.

    Args:
        region: the part of the volume that is traced.
        options: of the trace; the enhancer "none" takes the intensity as it is.
        is_mask: whether a mask is traced, and no image.
    """
    intensity = region.intensity
    if is_mask:
        made = Prepared(intensity)
    elif options.enhancer == "none":
        made = as_it_is(intensity, options.contrast)
    else:
        made = prepare(intensity, options.contrast)
    return PreparedImage(made.intensity, made.unknown, region.scale, made.is_inverted, made.remarks)
