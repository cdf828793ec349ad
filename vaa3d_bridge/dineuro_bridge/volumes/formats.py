"""One door to all volume formats: the suffix says what a file should be, its content what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dineuro_bridge.errors import BadFile, FileAccess, UnsupportedFormat
from dineuro_bridge.files import read_start, reason
from dineuro_bridge.volumes import tiff, v3dpbd, v3draw
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Header, RowOrder, Volume

TIFF_SUFFIXES = (".tif", ".tiff")
RAW_SUFFIXES = (".v3draw", ".raw", ".raw5")
PACKED_SUFFIXES = (".v3dpbd", ".pbd")
SUFFIXES = TIFF_SUFFIXES + RAW_SUFFIXES + PACKED_SUFFIXES
#: Vaa3D's five-dimensional raw is only read.
WRITTEN_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".raw5")


def read_header(path: Path | str) -> Header:
    """What a volume's file says of itself, without reading its voxels.

    Raises:
        UnsupportedFormat: an unknown suffix, or something in the file that is not read.
        FileAccess: the path cannot be read.
        BadFile, BadVolume: empty, truncated, damaged, not what its suffix says, not a volume.
    """
    with _access(path):
        match _format(path):
            case "tiff":
                return tiff.read_header(path)
            case "v3dpbd":
                return v3dpbd.read_header(path)
            case _:
                return v3draw.read_header(path)


def read_volume(
    path: Path | str, *, row_order: RowOrder = "file", max_bytes: int = DEFAULT_MAX_BYTES
) -> Volume:
    """Read a volume; memory-mapped where the format allows it.

    Args:
        path: .tif, .tiff, .v3draw, .raw, .v3dpbd or .pbd.
        row_order: "vaa3d" flips the rows of those TIFFs that Vaa3D shows flipped, so that
            coordinates are as Vaa3D has them; it changes nothing for Vaa3D's own formats.
        max_bytes: a larger volume is refused before anything is allocated.

    Raises:
        LimitExceeded: larger than `max_bytes`.
        MissingDependency: a packed or compressed file on the thin install.
        And all that `read_header` raises.
    """
    with _access(path):
        match _format(path):
            case "tiff":
                return tiff.read(path, max_bytes, row_order)
            case "v3dpbd":
                return v3dpbd.read(path, max_bytes)
            case _:
                return v3draw.read(path, max_bytes)


def write_volume(path: Path | str, volume: Volume, *, compress: bool = False) -> None:
    """Write a volume in the format that the suffix names, whole or not at all.

    Args:
        path: .tif, .tiff, .v3draw, .raw, .v3dpbd or .pbd.
        volume: what to write; its sample type is never changed silently.
        compress: deflate the planes of a TIFF.

    Raises:
        UnsupportedFormat: an unknown suffix, or a sample type that the format cannot hold.
        FileAccess: the path cannot be written.
    """
    suffix = volume_suffix(path)
    if suffix not in WRITTEN_SUFFIXES:
        raise UnsupportedFormat(f"{path}: {suffix} is only read; write .v3draw")
    if suffix in TIFF_SUFFIXES:
        tiff.write(path, volume, compress=compress)
    elif suffix in PACKED_SUFFIXES:
        v3dpbd.write(path, volume)
    else:
        v3draw.write(path, volume)


def volume_suffix(path: Path | str) -> str:
    """The suffix in lower case, if it is one of a volume.

    Raises:
        UnsupportedFormat: it is none; the message lists those that are.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        known = " ".join(SUFFIXES)
        what = f"the suffix {suffix!r} is" if suffix else "a name without suffix is"
        raise UnsupportedFormat(f"{path}: {what} not one of a volume; known are {known}")
    return suffix


@contextlib.contextmanager
def _access(path: Path | str) -> Iterator[None]:
    """What the system says while a file is read names the file."""
    try:
        yield
    except FileAccess:
        raise
    except OSError as error:
        raise FileAccess(f"{path}: cannot be read: {reason(error)}") from error


def content_suffix(path: Path | str) -> str:
    """The suffix that fits a file's content, whatever its name is: .tif, .v3draw or .v3dpbd.

    Raises:
        UnsupportedFormat: it begins as none of them does.
        FileAccess, BadFile: it cannot be read, or is empty.
    """
    known = {"tiff": ".tif", "v3draw": ".v3draw", "v3dpbd": ".v3dpbd"}
    with _access(path):
        start = read_start(path, 24)
    found = _content(start)
    if found is None:
        raise UnsupportedFormat(
            f"{path}: is no TIFF, .v3draw or .v3dpbd volume by its first bytes (damaged?)"
        )
    return known[found]


def _content(start: bytes) -> str | None:
    """The format of a file that begins with these 24 bytes."""
    if tiff.is_tiff(start):
        return "tiff"
    if v3dpbd.is_v3dpbd(start):
        return "v3dpbd"
    return "v3draw" if v3draw.is_v3draw(start) else None


def _format(path: Path | str) -> str:
    """The format by content, if it agrees with the suffix."""
    suffix = volume_suffix(path)
    start = read_start(path, 24)
    found = _content(start)
    if found is None:
        raise BadFile(
            f"{path}: is no {suffix} file: it begins with {start[:8]!r} (damaged, or truncated)"
        )
    fitting = {"tiff": TIFF_SUFFIXES, "v3dpbd": PACKED_SUFFIXES, "v3draw": RAW_SUFFIXES}
    if suffix not in fitting[found]:
        raise BadFile(f"{path}: is a {found} file under the suffix {suffix}; rename it")
    return found
