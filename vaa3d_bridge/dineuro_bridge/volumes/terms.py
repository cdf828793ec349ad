"""Types of options and headers that need no numpy, so that a command's help is quick."""

from __future__ import annotations

from typing import Literal

#: The order of a TIFF's rows: that of the file, or that of Vaa3D's display.
RowOrder = Literal["file", "vaa3d"]
#: The axis along which a file keeps its slices: z, time or channels.
ZAxis = Literal["z", "t", "c"]
#: Half-open box x0, y0, z0, x1, y1, z1 in voxels.
Roi = tuple[int, int, int, int, int, int]
