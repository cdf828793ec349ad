"""The registry of image formats, and reading and writing through it.

The suffix says what a file should be, its content what it is; both must agree.
"""

from __future__ import annotations

from pathlib import Path

from dineuro_bridge.errors import BadFile, BadParameter, FileAccess, UnsupportedFormat
from dineuro_bridge.files import read_start, reading
from dineuro_bridge.volumes import tiff, v3dpbd, v3draw
from dineuro_bridge.volumes.foreign import foreign_content, foreign_suffix
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
            files = slice_files(Path(path))
            if not files:
                _refuse_foreign(path)
            return SliceFolder(path, files, open_volume)
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
    """Whether a path exists and has the suffix of a volume; its content is not looked at."""
    suffix = path.suffix.lower()
    return any(
        suffix in each.suffixes and (path.is_dir() if each.folder else path.is_file())
        for each in FORMATS
    )


def _format(path: Path | str) -> Format:
    """The format by content, if it agrees with the suffix."""
    suffix = Path(path).suffix.lower()
    try:
        named = format_of_name(path)
    except UnsupportedFormat:
        _refuse_foreign(path)
        raise
    if named.folder and not Path(path).is_dir():
        raise FileAccess(f"{path}: is no folder; a {named.name} volume is one")
    start = b"" if named.folder else read_start(path, SNIFFED_BYTES)
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
