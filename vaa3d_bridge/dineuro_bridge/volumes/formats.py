"""The registry of image formats, and reading and writing through it.

The suffix says what a file should be, its content what it is; both must agree.
"""

from __future__ import annotations

from pathlib import Path

from dineuro_bridge.errors import BadFile, BadParameter, FileAccess, UnsupportedFormat
from dineuro_bridge.files import read_start, reading
from dineuro_bridge.volumes import tiff, v3dpbd, v3draw
from dineuro_bridge.volumes.slices import SliceFolder, natural_order
from dineuro_bridge.volumes.source import (
    DEFAULT_READING,
    SNIFFED_BYTES,
    Format,
    Reading,
    Source,
)
from dineuro_bridge.volumes.terms import RowOrder
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Header, Volume

#: Everything about formats derives from this table.
FORMATS: tuple[Format, ...] = (tiff.FORMAT, v3draw.FORMAT, v3dpbd.FORMAT)

#: Microscopes' own formats that Fiji can export, with their makers.
_EXPORTED = {
    ".czi": "Zeiss .czi", ".nd2": "Nikon .nd2", ".lif": "Leica .lif", ".xlef": "Leica .xlef",
    ".oib": "Olympus .oib", ".oif": "Olympus .oif", ".oir": "Olympus .oir",
    ".vsi": "Olympus .vsi", ".ims": "Imaris .ims", ".lsm5": "Zeiss .lsm5", ".zvi": "Zeiss .zvi",
    ".dv": "DeltaVision .dv", ".sld": "SlideBook .sld", ".nrrd": "NRRD", ".nii": "NIfTI",
}  # fmt: skip


def suffixes() -> tuple[str, ...]:
    """The suffixes of all formats, in lower case."""
    return tuple(suffix for each in FORMATS for suffix in each.suffixes)


def written_suffixes() -> tuple[str, ...]:
    """The suffixes under which volumes are written."""
    return tuple(suffix for each in FORMATS for suffix in each.written_suffixes)


def open_volume(path: Path | str, how: Reading = DEFAULT_READING) -> Source:
    """Open a volume without reading its voxels; use it in a `with` block.

    Args:
        path: of a volume in one of `FORMATS`.
        how: how the file is to be understood; `z_axis` "c" is applied by `read_volume` alone.

    Raises:
        BadParameter: slices along time of a file without time axis.
        UnsupportedFormat: an unknown suffix, or a variant of the format that is not read.
        FileAccess: the path cannot be read.
        BadFile, BadVolume: empty, truncated, damaged, not what its suffix says, not a volume.
    """
    with reading(path):
        if how.stack_folder and Path(path).is_dir():
            return SliceFolder(path, slice_files(Path(path)), open_volume)
        each = _format(path)
        if how.z_axis == "t" and not each.has_time:
            raise BadParameter(f"{path}: z_axis t: a {each.name} file has no time axis")
        return each.open(path, how)


def read_header(path: Path | str, how: Reading = DEFAULT_READING) -> Header:
    """What a volume's file says of itself, without reading its voxels; raises as `open_volume`."""
    with open_volume(path, how) as source:
        return source.header


def read_volume(
    path: Path | str,
    *,
    row_order: RowOrder = "file",
    max_bytes: int = DEFAULT_MAX_BYTES,
    how: Reading = DEFAULT_READING,
) -> Volume:
    """Read a volume; memory-mapped where the format allows it.

    Args:
        path: of a volume in one of `FORMATS`.
        row_order: "vaa3d" flips the rows of those TIFFs that Vaa3D shows flipped, so that
            coordinates are as Vaa3D has them; it changes nothing for Vaa3D's own formats.
        max_bytes: a larger volume is refused before anything is allocated.
        how: how the file is to be understood.

    Raises:
        LimitExceeded: larger than `max_bytes`.
        MissingDependency: a packed or compressed file on the thin install.
        And all that `open_volume` raises.
    """
    with open_volume(path, how) as source:
        source.header.check(path, max_bytes)
        voxels = source.read()
        if row_order == "vaa3d" and source.rows_upside_down:
            voxels = voxels[:, :, ::-1]
        volume = Volume(
            voxels, source.spacing, row_order=row_order, source=Path(path).name,
            warnings=source.header.warnings,
        )  # fmt: skip
    return volume.with_channels_as_slices() if how.z_axis == "c" else volume


def write_volume(path: Path | str, volume: Volume, *, compress: bool = False) -> None:
    """Write a volume in the format that the suffix names, whole or not at all.

    Args:
        path: its suffix is one of `written_suffixes()`.
        volume: what to write; its sample type is never changed silently.
        compress: deflate the voxels, where the format has such a choice.

    Raises:
        UnsupportedFormat: an unknown suffix, or a sample type that the format cannot hold.
        FileAccess: the path cannot be written.
    """
    target = format_of_name(path)
    suffix = Path(path).suffix.lower()
    if target.write is None or suffix not in target.written_suffixes:
        raise UnsupportedFormat(f"{path}: {suffix} is only read; write .v3draw")
    if "compress" in target.options:
        target.write(path, volume, compress=compress)
    else:
        target.write(path, volume)


def format_of_name(path: Path | str) -> Format:
    """The format that the suffix of a path names; the path is not looked at.

    Raises:
        UnsupportedFormat: it names none; the message lists those that exist.
    """
    suffix = Path(path).suffix.lower()
    for each in FORMATS:
        if suffix in each.suffixes:
            return each
    what = f"the suffix {suffix!r} is" if suffix else "a name without suffix is"
    raise UnsupportedFormat(f"{path}: {what} not one of a volume; known are {' '.join(suffixes())}")


def format_of_content(path: Path | str) -> Format:
    """The format of a file by its first bytes, whatever its name is.

    Raises:
        UnsupportedFormat: it begins as no format does.
        FileAccess, BadFile: it cannot be read, or is empty.
    """
    content = _sniffed(path, read_start(path, SNIFFED_BYTES))
    if content is None:
        usual = [each.suffixes[0].removeprefix(".") for each in FORMATS]
        raise UnsupportedFormat(
            f"{path}: is no volume ({', '.join(usual)}) by its first bytes (damaged?)"
        )
    return content


def slice_files(folder: Path) -> list[Path]:
    """The volumes of a folder in the natural order of their names, which are slices of a stack."""
    files = [path for path in folder.iterdir() if path.name[:1] != "." and is_volume(path)]
    return sorted(files, key=natural_order)


def is_volume(path: Path) -> bool:
    """Whether a path exists and has the suffix of a volume; its content is not looked at."""
    suffix = path.suffix.lower()
    return any(
        suffix in each.suffixes and (path.is_dir() if each.folder else path.is_file())
        for each in FORMATS
    )


def _format(path: Path | str) -> Format:
    """The format by content, if it agrees with the suffix."""
    suffix = Path(path).suffix.lower()
    if suffix in _EXPORTED:
        raise UnsupportedFormat(
            f"{path}: {_EXPORTED[suffix]} files are not read: open it in Fiji (File > Import > "
            "Bio-Formats) and save the stack as .tif, which keeps the voxel size"
        )
    named = format_of_name(path)
    if named.folder and not Path(path).is_dir():
        raise FileAccess(f"{path}: is no folder; a {named.name} volume is one")
    start = b"" if named.folder else read_start(path, SNIFFED_BYTES)
    content = _sniffed(path, start)
    if content is None:
        raise BadFile(
            f"{path}: is no {suffix} file: it begins with {start[:8]!r} (damaged, or truncated)"
        )
    if content is not named:
        raise BadFile(f"{path}: is a {content.name} file under the suffix {suffix}; rename it")
    return content


def _sniffed(path: Path | str, start: bytes) -> Format | None:
    """The format whose `sniff` accepts a path and its first bytes."""
    return next((each for each in FORMATS if each.sniff(Path(path), start)), None)
