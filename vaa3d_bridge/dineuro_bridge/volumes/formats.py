"""The registry of image formats, and reading and writing through it.

The suffix says what a file should be, its content what it is; both must agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadFile, BadParameter, FileAccess, UnsupportedFormat
from dineuro_bridge.files import read_start, reading
from dineuro_bridge.volumes import (
    czi,
    imaris,
    microscopes,
    ome_zarr,
    stores,
    terafly,
    tiff,
    v3dpbd,
    v3draw,
)
from dineuro_bridge.volumes.foreign import foreign_content, foreign_suffix
from dineuro_bridge.volumes.remote import RemotePlace, address_of
from dineuro_bridge.volumes.slices import SliceFolder, natural_order
from dineuro_bridge.volumes.source import (
    DEFAULT_READING,
    SNIFFED_BYTES,
    Format,
    Reading,
    Source,
)
from dineuro_bridge.volumes.terms import Roi, RowOrder
from dineuro_bridge.volumes.views import PartSource
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Header, Volume

#: Everything about formats derives from this table.
FORMATS: tuple[Format, ...] = (
    tiff.FORMAT, v3draw.FORMAT, v3dpbd.FORMAT, ome_zarr.FORMAT, imaris.FORMAT,
    stores.N5, stores.PRECOMPUTED, terafly.FORMAT, czi.FORMAT, microscopes.LIF, microscopes.ND2,
)  # fmt: skip


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
    address = address_of(path) if how.remote else None
    if address is not None:
        return _open_remote(RemotePlace(address), how)
    with reading(path):
        if how.stack_folder and Path(path).is_dir() and not is_folder_volume(path):
            files = slice_files(Path(path))
            if not files:
                _refuse_foreign(path)
            return SliceFolder(path, files, open_volume)
        each = _format(path)
        if how.z_axis == "t" and not each.has_time:
            raise BadParameter(f"{path}: z_axis t: a {each.name} file has no time axis")
        return each.open(path, how)


def _open_remote(place: RemotePlace, how: Reading) -> Source:
    """Open a volume at an address by its metadata; errors as `open_volume`."""
    each = next((each for each in FORMATS if each.remote and each.sniff(place, b"")), None)
    if each is None:
        known = ", ".join(each.name for each in FORMATS if each.remote)
        raise FileAccess(
            f"{place}: there is no volume at this address ({known}): give the address of the "
            "folder with its metadata"
        )
    if how.z_axis == "t" and not each.has_time:
        raise BadParameter(f"{place}: z_axis t: a {each.name} file has no time axis")
    return each.open(place, how)


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
    roi: Roi | None = None,
) -> Volume:
    """Read a volume; memory-mapped where the format allows it.

    Args:
        path: of a volume in one of `FORMATS`.
        row_order: "vaa3d" flips the rows of those TIFFs that Vaa3D shows flipped, so that
            coordinates are as Vaa3D has them; it changes nothing for Vaa3D's own formats.
        max_bytes: a larger volume, or part of it, is refused before anything is allocated.
        how: how the file is to be understood.
        roi: half-open x0, y0, z0, x1, y1, z1; the voxels outside need not be read, and
            `Volume.whole` is the size of the full volume then.

    Raises:
        BadParameter: the region is empty or leaves the volume.
        LimitExceeded: larger than `max_bytes`.
        MissingDependency: a packed or compressed file on the thin install.
        And all that `open_volume` raises.
    """
    with open_volume(path, how) as source:
        flipped = row_order == "vaa3d" and source.rows_upside_down
        box = roi if source.reads_boxes and how.z_axis != "c" else None
        part = PartSource(source, box, flipped=flipped)
        part.header.check(path, max_bytes)
        volume = Volume(
            part.read(), source.spacing, row_order=row_order, source=Path(path).name,
            warnings=source.header.warnings,
            origin=(0, 0, 0) if box is None else box[2::-1],
            whole=None if box is None else source.shape[1:],
        )  # fmt: skip
    return volume.with_channels_as_slices() if how.z_axis == "c" else volume


def write_source(
    path: Path | str, source: Source, *, max_bytes: int = DEFAULT_MAX_BYTES, **options: Any
) -> None:
    """Write a source's finest level in the format that the suffix names, whole or not at all.

    It is written box by box where both formats allow it.

    Args:
        path: its suffix is one of `written_suffixes()`.
        source: what to write.
        max_bytes: a larger volume is refused where it has to be read as a whole.
        options: those that the format has; see `Format.options`.

    Raises:
        LimitExceeded: larger than `max_bytes`.
        And all that `write_volume` raises.
    """
    target = _written_format(path)
    if target.write_source is not None and source.reads_boxes:
        target.write_source(path, source, **options)
        return
    source.header.check(source.path, max_bytes)
    if target.write is not None:
        target.write(path, Volume(source.read(), source.spacing), **options)


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
    target = _written_format(path)
    options = {"compress": compress} if "compress" in target.options else {}
    if target.write is not None:
        target.write(path, volume, **options)


def _written_format(path: Path | str) -> Format:
    """The format that the suffix of a path names, if it is written under this suffix."""
    target = format_of_name(path)
    suffix = Path(path).suffix.lower()
    if suffix not in target.written_suffixes:
        raise UnsupportedFormat(f"{path}: {suffix} is only read; write .v3draw")
    return target


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
    """The format of a file by its first bytes, or of a folder, whatever its name is.

    Raises:
        UnsupportedFormat: it begins as no format does.
        FileAccess, BadFile: it cannot be read, or is empty.
    """
    folder = _folder_format(path)
    if folder is not None:
        return folder
    start = read_start(path, SNIFFED_BYTES)
    content = _sniffed(path, start)
    if content is None:
        foreign = foreign_content(start)
        if foreign is not None:
            raise UnsupportedFormat(f"{path}: is no volume, but {foreign}")
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
    """Whether a path is a file with the suffix of a volume, or a folder that is a volume."""
    suffix = path.suffix.lower()
    known = any(suffix in each.suffixes for each in FORMATS if not each.folder)
    return (known and path.is_file()) or is_folder_volume(path)


def is_folder_volume(path: Path | str) -> bool:
    """Whether a path is a folder that is one volume by its metadata, whatever its name is."""
    return _folder_format(path) is not None


def _folder_format(path: Path | str) -> Format | None:
    place = Path(path)
    if not place.is_dir():
        return None
    return next((each for each in FORMATS if each.folder and each.sniff(place, b"")), None)


def _format(path: Path | str) -> Format:
    """The format by content, if it agrees with the suffix; a folder's suffix does not matter."""
    folder = _folder_format(path)
    if folder is not None:
        return folder
    suffix = Path(path).suffix.lower()
    try:
        named = format_of_name(path)
    except UnsupportedFormat:
        _refuse_foreign(path)
        raise
    if named.folder and not Path(path).is_dir():
        raise FileAccess(f"{path}: is no folder; a {named.name} volume is one")
    if named.folder:
        raise BadFile(f"{path}: holds no metadata of an {named.name} volume (copied in part?)")
    start = read_start(path, SNIFFED_BYTES)
    content = _sniffed(path, start)
    if content is None:
        raise BadFile(f"{path}: {_no_volume(suffix, start)}")
    if content is not named:
        raise BadFile(f"{path}: is a {content.name} file under the suffix {suffix}; rename it")
    return content


def _refuse_foreign(path: Path | str) -> None:
    """Refuse another program's file by its suffix, and a volume that needs another suffix.

    BigTIFFs are called .btf, and downloads .part.
    """
    if Path(path).is_file():
        content = _sniffed(path, read_start(path, SNIFFED_BYTES))
        if content is not None:
            suffix = content.suffixes[0]
            raise UnsupportedFormat(
                f"{path}: is a {content.name} file by its content: rename it to {suffix}"
            )
    foreign = foreign_suffix(path)
    if foreign is not None:
        raise UnsupportedFormat(f"{path}: {foreign}")


def _no_volume(suffix: str, start: bytes) -> str:
    """What a file is that is no volume in spite of its suffix."""
    foreign = foreign_content(start)
    if foreign is not None:
        return f"is no {suffix} file, but {foreign}"
    if suffix == ".raw":
        return (
            "is no .raw file of Vaa3D: if it holds bare voxels, open it in Fiji (File > Import > "
            "Raw) and save the stack as .tif"
        )
    return f"is no {suffix} file: it begins with {start[:8]!r} (damaged, or truncated)"


def _sniffed(path: Path | str, start: bytes) -> Format | None:
    """The format whose `sniff` accepts a path and its first bytes."""
    return next((each for each in FORMATS if each.sniff(Path(path), start)), None)
