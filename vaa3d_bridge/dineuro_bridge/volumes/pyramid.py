"""What formats with several levels of resolution share: their facts for a person, and time."""

from __future__ import annotations

from collections.abc import Sequence

from dineuro_bridge.errors import BadParameter, BadVolume
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.source import Shape
from dineuro_bridge.volumes.terms import ZAxis


def level_text(shape: Shape, chunks: str, spacing: Spacing | None) -> str:
    """One level as a line: its size, what is read at once, and its voxel size.

    Args:
        shape: (C, Z, Y, X).
        chunks: what is read at once, such as "chunks of 64 x 64 x 64".
        spacing: (z, y, x) in µm.
    """
    text = f"{sizes_text(shape[:0:-1])}, {chunks}"
    if spacing is None:
        return text
    return f"{text}, {' x '.join(f'{step:g}' for step in spacing[::-1])} µm"


def sizes_text(sizes: Sequence[int]) -> str:
    """Sizes as "3 x 4 x 5"."""
    return " x ".join(map(str, sizes))


def time_is_z(path: object, points: int, depth: int, z_axis: ZAxis) -> bool:
    """Whether the time points of a volume are its slices.

    Args:
        path: of the volume, for messages.
        points: how many time points it has.
        depth: the slices of one of them.
        z_axis: what is asked for.

    Raises:
        BadVolume: several time points.
        BadParameter: time is asked for as z, and there is a z already or no time.
    """
    if z_axis == "t":
        if points < 2 or depth > 1:
            raise BadParameter(
                f"{path}: z_axis t: it has {points} time point(s) of {depth} slice(s)"
            )
        return True
    if points > 1:
        raise BadVolume(f"{path}: a time series of {points} volumes; save one time point")
    return False


def first_line(error: Exception) -> str:
    """The first line of a library's message, or the error's kind."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def coarser_spacing(spacing: Spacing | None, finest: Shape, level: Shape) -> Spacing | None:
    """(z, y, x) in µm of a level that covers the same place as the finest one."""
    if spacing is None:
        return None
    z, y, x = (s * a / b for s, a, b in zip(spacing, finest[1:], level[1:], strict=True))
    return z, y, x
