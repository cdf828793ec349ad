"""What a file is that holds no volume, by its suffix or its first bytes, and how it becomes one."""

from __future__ import annotations

from pathlib import PurePath

#: How a file of a microscope becomes one that is read.
FIJI = (
    "open it in Fiji (File > Import > Bio-Formats) and save the stack as .tif, which keeps the "
    "voxel size"
)
_LARGE = (
    "open it in Fiji (File > Import > HDF5 or N5) and save the neuron at full resolution as .tif"
)
_PICTURE = "one picture is no stack: export the microscope's slices as .tif"
_UNPACK = "unpack it first"
_PYTHON = "save the array (Z, Y, X) as .tif, for example with tifffile.imwrite"

#: What a file of this suffix is, and what to do.
_SUFFIXES: dict[str, tuple[str, str]] = {
    **{suffix: (f"{maker} {suffix}", FIJI) for maker, suffixes in {
        "Zeiss": (".zvi", ".lsm5"), "Leica": (".xlef", ".xlif", ".lof", ".lei"),
        "Olympus": (".oib", ".oif", ".oir", ".vsi"),
        "DeltaVision": (".dv", ".r3d"), "SlideBook": (".sld", ".sldy"), "Bio-Rad": (".pic",),
        "Volocity": (".mvd2",), "Gatan": (".dm3", ".dm4"), "Opera": (".flex",),
        "Image Cytometry Standard": (".ics", ".ids"), "Image-Pro": (".ipw",),
        "Amira": (".am", ".amiramesh"), "Openlab": (".liff",),
    }.items() for suffix in suffixes},
    ".nrrd": ("NRRD", FIJI), ".nhdr": ("NRRD", FIJI),
    ".nii": ("NIfTI", FIJI), ".hdr": ("Analyze", FIJI),
    ".mha": ("MetaImage", FIJI), ".mhd": ("MetaImage", FIJI), ".mrc": ("MRC", FIJI),
    ".dcm": ("DICOM", FIJI), ".vtk": ("VTK", FIJI), ".klb": ("KLB", FIJI),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), ("HDF5", _LARGE)),
    **dict.fromkeys((".npy", ".npz"), ("NumPy", _PYTHON)), ".mat": ("MATLAB", _PYTHON),
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEG", _PICTURE)),
    **{suffix: (suffix[1:].upper(), _PICTURE) for suffix in (".png", ".gif", ".bmp", ".webp",
                                                            ".psd", ".svg", ".pdf")},
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), ("JPEG 2000", _PICTURE)),
    **dict.fromkeys((".avi", ".mp4", ".mov", ".mpg"), ("film", FIJI)),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz"),
                    ("packed", _UNPACK)),
    **dict.fromkeys((".ome", ".xml"), ("metadata", "name the .tif beside it")),
    **dict.fromkeys((".swc", ".eswc"), ("tree", "name the stack that the tree was traced in")),
}  # fmt: skip

#: The same by the first bytes, which tell what a file under a wrong suffix is.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (b"\x89PNG", "a PNG picture", _PICTURE),
    (b"GIF8", "a GIF picture", _PICTURE),
    (b"BM", "a BMP picture", _PICTURE),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture", _PICTURE),
    (b"%PDF", "a PDF document", _PICTURE),
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ", "packed with xz", _UNPACK),
    (b"(\xb5/\xfd", "packed with zstd", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file (also Imaris)", _LARGE),
    (b"\xd0\xcf\x11\xe0", "an Olympus .oib or Zeiss .zvi file", FIJI),
    (b"OLYMPUSRAWFORMAT", "an Olympus .oir file", FIJI),
    (b"NRRD", "an NRRD file", FIJI),
    (b"\x93NUMPY", "a NumPy file", _PYTHON),
    (b"MATLAB 5.0", "a MATLAB file", _PYTHON),
    (b"version https://git-lfs", "a placeholder of git", "fetch the file with git lfs pull"),
    (b"<!DOCTYPE", "a web page", "download the file itself, not the page about it"),
    (b"<!doctype", "a web page", "download the file itself, not the page about it"),
    (b"<html", "a web page", "download the file itself, not the page about it"),
    (b"<?xml", "a text of XML", "name the .tif beside it"),
)


def foreign_suffix(path: PurePath | str) -> str | None:
    """What a file or folder is by its suffix, and what to do; None for a suffix not known here."""
    known = _SUFFIXES.get(PurePath(path).suffix.lower())
    return None if known is None else f"{known[0]} files are not read: {known[1]}"


def foreign_content(start: bytes) -> str | None:
    """The same by the first bytes of a file, as the end of a sentence that begins with "is"."""
    for mark, what, remedy in _STARTS:
        if start.startswith(mark):
            return f"{what}: {remedy}"
    if start and not start.strip(b"\0"):
        return "full of zeros: copy or download it again"
    return None
