"""Sources made of other things: a volume in memory, and a part of another source."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.volumes.source import Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header, Volume, check_roi


class VolumeSource(Source):
    """A volume in memory as a source."""

    def __init__(self, volume: Volume) -> None:
        self._voxels = volume.voxels
        channels, depth, height, width = self._voxels.shape
        shape = (channels, depth, height, width)
        header = Header("memory", shape, self._voxels.dtype, warnings=volume.warnings)
        super().__init__(volume.source, header)
        # The spacing of a volume was judged when it was read.
        self.header = replace(header, spacing=volume.spacing)

    def _read(self, box: Roi, level: int) -> NDArray[Any]:  # noqa: ARG002  (one level)
        x0, y0, z0, x1, y1, z1 = box
        return self._voxels[:, z0:z1, y0:y1, x0:x1]


class PartSource(Source):
    """A box and a channel of another source's finest level, which stays open.

    Args:
        source: the other source.
        box: half-open x0, y0, z0, x1, y1, z1 of its rows as they are shown; None is all.
        channel: counted from 1; None is all.
        flipped: whether its rows are shown in the opposite order.

    Raises:
        BadParameter: there is no such box or channel.
        BadVolume: a dimension below 1.
    """

    def __init__(
        self,
        source: Source,
        box: Roi | None = None,
        channel: int | None = None,
        *,
        flipped: bool = False,
    ) -> None:
        source.header.check(source.path, sys.maxsize)
        channels, depth, height, width = source.shape
        if channel is not None and not 1 <= channel <= channels:
            raise BadParameter(
                f"{source.path}: has no channel {channel}; it has {channels}, counted from 1"
            )
        self._box = (0, 0, 0, width, height, depth) if box is None else box
        check_roi(source.path, self._box, (width, height, depth))
        self._source, self._flipped = source, flipped
        self._channels = slice(None) if channel is None else slice(channel - 1, channel)
        x0, y0, z0, x1, y1, z1 = self._box
        count = channels if channel is None else 1
        super().__init__(
            source.path, replace(source.header, shape=(count, z1 - z0, y1 - y0, x1 - x0))
        )

    @property
    def reads_boxes(self) -> bool:
        """As the other source."""
        return self._source.reads_boxes

    def _read(self, box: Roi, level: int) -> NDArray[Any]:  # noqa: ARG002  (one level)
        ox, oy, oz = self._box[:3]
        x0, y0, z0, x1, y1, z1 = box
        y0, y1 = y0 + oy, y1 + oy
        if self._flipped:
            height = self._source.shape[2]
            y0, y1 = height - y1, height - y0
        voxels = self._source.read((x0 + ox, y0, z0 + oz, x1 + ox, y1, z1 + oz))
        return (voxels[:, :, ::-1] if self._flipped else voxels)[self._channels]
