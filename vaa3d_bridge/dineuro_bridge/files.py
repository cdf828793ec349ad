"""Reading and writing files: errors name the file, and no output is left half-written."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dineuro_bridge.errors import BadFile, FileAccess


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Errors of the system in the block become `FileAccess` errors that name the path."""
    try:
        yield
    except FileAccess:
        raise
    except OSError as error:
        raise FileAccess(f"{path}: cannot be read: {reason(error)}") from error


def descend(root: str, path: str) -> int:
    """The descriptor of a file or folder below a folder, which is reached without following a link.

    It is only held, and not opened for reading: to open a device or a pipe would have effects.

    Args:
        root: the folder.
        path: the path in it.

    Raises:
        OSError: a part is missing, or is a link and not the last one.
    """
    at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in PurePosixPath(path).parts:
        try:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


@contextlib.contextmanager
def atomic_output(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds.

    On any error, an interrupt included, the temporary file is removed and the former file stays.
    The temporary name keeps the suffix, because some writers choose the format by it.

    Raises:
        FileAccess: the folder does not exist, is not writable, or the disk is full.
    """
    target = Path(path)
    if "\0" in str(path) or not target.name:
        raise FileAccess(f"{str(path)!r}: is no name of a file")
    # The temporary name is short, because the target's may be as long as the system allows.
    temporary = target.with_name(f".{secrets.token_hex(6)}{target.suffix}")
    try:
        if target.is_dir():
            raise FileAccess(f"{path}: is a folder; name a file")
        yield temporary
        temporary.replace(target)
    except FileAccess:
        raise
    except OSError as error:
        raise FileAccess(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def folder_output(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which gets that name when the block succeeds.

    On any error, an interrupt included, the temporary folder is removed.

    Raises:
        FileAccess: the path exists, its folder is not writable, or the disk is full.
    """
    target = Path(path)
    if "\0" in str(path) or not target.name:
        raise FileAccess(f"{str(path)!r}: is no name of a folder")
    if target.exists() or target.is_symlink():
        raise FileAccess(f"{path}: exists; remove it, or name another folder")
    temporary = target.with_name(f".{secrets.token_hex(6)}{target.suffix}")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(target)
    except FileAccess:
        raise
    except OSError as error:
        raise FileAccess(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def size_of_file(path: Path | str) -> int:
    """The size in bytes of a file that can be read and is not empty.

    Raises:
        FileAccess: the file is missing, is no regular file, or may not be read.
        BadFile: it is empty.
    """
    place = Path(path)
    if "\0" in str(path):
        raise FileAccess(f"{str(path)!r}: is no name of a file")
    with reading(path):
        if place.is_dir():
            raise FileAccess(f"{path}: is a folder; name a file")
        size = place.stat().st_size
    if not os.access(place, os.R_OK):
        raise FileAccess(f"{path}: cannot be read: permission denied")
    if not place.is_file():
        raise FileAccess(f"{path}: is no regular file")
    if size == 0:
        raise BadFile(f"{path}: the file is empty")
    return size


def read_bytes(path: Path | str) -> bytes:
    """The whole of a small file; errors as `size_of_file`."""
    size_of_file(path)
    with reading(path):
        return Path(path).read_bytes()


def read_start(path: Path | str, count: int) -> bytes:
    """The first bytes of a file, fewer where it is shorter; errors as `size_of_file`."""
    size_of_file(path)
    with reading(path), Path(path).open("rb") as file:
        return file.read(count)


def reason(error: OSError) -> str:
    """The system's text of an error without the path, which the message names already."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def write_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Write a report as JSON, whole or not at all: one line for each entry or item of a list."""
    entries = [f"  {json.dumps(name)}: {_item_lines(value)}" for name, value in record.items()]
    with atomic_output(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _item_lines(value: Any) -> str:
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
