"""Opening and writing: errors that name the path, and nothing half-written whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import BadFile, DineuroError, FileAccess, UnsupportedFormat
from dineuro_bridge.files import atomic_output, read_bytes, read_start, size_of_file
from dineuro_bridge.volumes import tiff, v3draw
from dineuro_bridge.volumes.formats import (
    FORMATS,
    format_of_name,
    read_header,
    read_volume,
    write_volume,
)
from dineuro_bridge.volumes.volume import Volume

VOLUME = Volume(np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4))
SUFFIXES = [suffix for each in FORMATS if not each.folder for suffix in each.suffixes]
WRITTEN = (".tif", ".tiff", ".v3draw", ".raw", ".v3dpbd", ".pbd")
AS_ROOT = os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [ValueError, BadFile, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("stood", [True, False])
def test_any_exception_inside_leaves_what_stood_there(
    error: type[BaseException], stood: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.swc"
    if stood:
        path.write_text("old")
    with pytest.raises(error, match="inside"), atomic_output(path) as temporary:
        temporary.write_text("half")
        raise error("inside")
    assert names(tmp_path) == (["a.swc"] if stood else [])
    assert not stood or path.read_text() == "old"


def test_the_new_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.swc"
    path.write_text("old")
    with atomic_output(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".swc")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.swc"]


def test_an_error_before_anything_is_written_needs_no_temporary(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_output(tmp_path / "a.swc"):
        raise RuntimeError
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_writer_that_fails_half_way_leaves_the_old_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(path, VOLUME)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tifffile.TiffWriter.write", full)
    monkeypatch.setattr("numpy.ascontiguousarray", full)
    with pytest.raises(FileAccess, match=r"cannot be written: no space left") as caught:
        write_volume(path, Volume(VOLUME.voxels + 1))
    assert str(caught.value).startswith(str(path))
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_a_long_name_that_the_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".tif")
    path.write_bytes(b"the system allows it")
    write_volume(path, VOLUME)
    assert np.array_equal(read_volume(path).voxels, VOLUME.voxels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_paths_that_cannot_be_read(suffix: str, tmp_path: Path) -> None:
    folder, empty = tmp_path / f"folder{suffix}", tmp_path / f"empty{suffix}"
    folder.mkdir()
    empty.touch()
    for reader in (read_volume, read_header):
        with pytest.raises(FileAccess, match="is a folder"):
            reader(folder)
        with pytest.raises(FileAccess, match="no such file"):
            reader(tmp_path / f"missing{suffix}")
        with pytest.raises(FileAccess, match="not a directory"):
            reader(empty / f"a{suffix}")
        with pytest.raises(BadFile, match="is empty"):
            reader(empty)


@pytest.mark.parametrize("suffix", [".tif", ".v3draw", ".v3dpbd", ".marker"])
def test_a_name_that_no_system_allows_is_an_access_error(suffix: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/a\0b{suffix}"
    with pytest.raises(FileAccess):
        read_bytes(path)
    with pytest.raises(FileAccess), atomic_output(path):
        pass
    assert names(tmp_path) == []


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "a.raw"
    os.mkfifo(pipe)
    with pytest.raises(FileAccess, match="no regular file"):
        read_volume(pipe)


@pytest.mark.skipif(AS_ROOT, reason="root may read and write everything")
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    write_volume(path, VOLUME)
    path.chmod(0)
    with pytest.raises(FileAccess, match="permission denied"):
        read_volume(path)
    tmp_path.chmod(0o555)
    with pytest.raises(FileAccess, match="cannot be written: permission denied"):
        write_volume(tmp_path / "b.raw", VOLUME)
    tmp_path.chmod(0o755)
    assert names(tmp_path) == ["a.raw"]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_folders_that_cannot_take_a_file(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / "file").touch()
    for place in ("missing", "file"):
        with pytest.raises(FileAccess, match="cannot be written"):
            write_volume(tmp_path / place / f"a{suffix}", VOLUME)
    with pytest.raises(FileAccess, match="is a folder"):
        write_volume(tmp_path / f"folder{suffix}", VOLUME)
    assert names(tmp_path) == ["file", f"folder{suffix}"]
    assert names(tmp_path / f"folder{suffix}") == []


def test_sizes_and_starts(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abcdef")
    assert size_of_file(path) == 6
    assert (read_start(path, 4), read_start(path, 99)) == (b"abcd", b"abcdef")
    assert read_bytes(path) == b"abcdef"


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("named", SUFFIXES)
def test_the_suffix_and_the_content_have_to_agree(written: str, named: str, tmp_path: Path) -> None:
    source, path = tmp_path / f"source{written}", tmp_path / f"a{named.upper()}"
    write_volume(source, VOLUME)
    source.rename(path)
    kinds: list[Callable[[str], bool]] = [
        lambda s: s in (".tif", ".tiff", ".lsm", ".stk"),
        lambda s: "raw" in s,
        lambda s: "pbd" in s,
    ]  # fmt: skip
    if any(kind(written) and kind(named) for kind in kinds):
        assert np.array_equal(read_volume(path).voxels, VOLUME.voxels)
    else:
        with pytest.raises(BadFile, match=rf"under the suffix {named}; rename it"):
            read_volume(path)


@pytest.mark.parametrize("name", ["a.png", "a", ".tif", "a.tif.gz", "a.swc", "a.v3draw~"])
def test_unknown_suffixes_are_refused_before_the_path_is_looked_at(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    for use in (format_of_name, lambda p: write_volume(p, VOLUME)):
        with pytest.raises(UnsupportedFormat, match=r"known are \.tif"):
            use(path)
    for reader in (read_volume, read_header):
        with pytest.raises(UnsupportedFormat, match=r"known are \.tif|are not read: .*"):
            reader(path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.zvi", "Zeiss .zvi files are not read: open it in Fiji"),
        ("a.mha", "MetaImage files are not read: open it in Fiji"),
        ("a.h5", "HDF5 files are not read: open it in Fiji"),
        ("a.npy", "NumPy files are not read: save the array"),
        ("a.jpeg", "JPEG files are not read: one picture is no stack"),
        ("a.tif.gz", "packed files are not read: unpack it first"),
        ("a.nii.gz", "packed files are not read: unpack it first"),
        ("a.companion.ome", "metadata files are not read: name the .tif beside it"),
        ("a.swc", "tree files are not read: name the stack"),
    ],
)
def test_another_programs_file_is_named_with_what_to_do(
    name: str, said: str, tmp_path: Path
) -> None:
    for path in (tmp_path / name, tmp_path / name.upper()):
        with pytest.raises(UnsupportedFormat) as caught:
            read_header(path)
        assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xd8\xff\xe0JFIF", "is no .tif file, but a JPEG picture: one picture is no stack"),
        (b"\x89PNG\r\n", "is no .tif file, but a PNG picture: "),
        (b"\x1f\x8b\x08", "is no .tif file, but packed with gzip: unpack it first"),
        (b"PK\x03\x04", "is no .tif file, but a zip archive: unpack it first"),
        (b"\x89HDF\r\n", "is no .tif file, but an HDF5 file (also Imaris): open it in Fiji"),
        (b"NRRD0004", "is no .tif file, but an NRRD file: open it in Fiji"),
        (b"<!DOCTYPE html>", "is no .tif file, but a web page: download the file itself"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "is no .tif file, but a placeholder of git",
        ),
        (bytes(5000), "is no .tif file, but full of zeros: copy or download it again"),
    ],
    ids=["jpeg", "png", "gzip", "zip", "hdf5", "nrrd", "page", "lfs", "zeros"],
)
def test_what_another_content_is_is_said_with_what_to_do(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_bare_voxels_are_not_the_raw_format_of_vaa3d(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(range(200)))
    with pytest.raises(BadFile, match=r"is no \.raw file of Vaa3D: .*File > Import > Raw"):
        read_header(path)


@pytest.mark.parametrize("name", ["a.btf", "a.tf8", "a.svs", "a.tif.part", "a"])
def test_a_volume_under_another_suffix_is_told_its_suffix(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_volume(path, VOLUME)
    other = path.rename(tmp_path / name)
    with pytest.raises(UnsupportedFormat, match=r"is a tiff file by its content: .* \.tif$"):
        read_header(other)


@pytest.mark.parametrize("content", [b"\0" * 100, b"II*", b"raw_image_stack_by_hpen", b"GIF89a"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unknown_content_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for reader in (read_volume, read_header):
        with pytest.raises(BadFile, match=rf"a\{suffix}: is no \{suffix} file"):
            reader(path)


def test_a_reading_error_of_the_system_names_the_file_in_both_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    write_volume(path, VOLUME)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tifffile.TiffFile", broken)
    for reader in (read_volume, read_header):
        with pytest.raises(FileAccess, match=r"a\.tif: cannot be read: input/output error"):
            reader(path)


def test_a_format_of_its_own_module_refuses_another_formats_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_volume(path, VOLUME)
    with pytest.raises(BadFile, match=r"is no \.v3draw file"):
        v3draw.read_header(path)
    write_volume(tmp_path / "a.raw", VOLUME)
    with pytest.raises(DineuroError, match=r"a\.raw: damaged TIFF"):
        tiff.read_header(tmp_path / "a.raw")


def test_a_full_disk_is_an_access_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with (
        pytest.raises(FileAccess, match=r"a\.txt: cannot be written: no space left"),
        atomic_output(path) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
