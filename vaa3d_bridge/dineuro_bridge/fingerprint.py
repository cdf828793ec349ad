"""The fingerprint of a volume: whether a path means the same file for a client and its server.

It covers the size and a few pieces, so that it takes milliseconds for a file of any size. It tells
files apart that differ by mistake, and not those that were made alike on purpose.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.files import reading

#: A file up to this size counts whole (bytes); a larger one counts by evenly spaced pieces.
WHOLE_BYTES = 2**20
PIECES, PIECE_BYTES = 16, 2**16
#: The first files of a folder that count, each by its beginning.
_FILES = 16


def fingerprint_of(path: Path | str) -> str:
    """The fingerprint of a file, or of a folder that is one volume.

    It is the SHA-256 (hexadecimal) of the size as a decimal number, a line feed, and the bytes of
    the file. Of a file above 1 MiB, these bytes are 16 pieces of 64 KiB. Piece i begins at
    floor(i * (size - 65536) / 15). The first 16 files of a folder count, in the order of their
    names at each depth. Each has its path in the folder and a line feed before its size, and only
    its first 64 KiB count.

    Raises:
        FileAccess: the file cannot be read.
    """
    place = Path(path)
    digest = hashlib.sha256()
    with reading(path):
        if place.is_dir():
            for name in itertools.islice(_files_of(place), _FILES):
                inner = place / name
                digest.update(f"{name}\n{inner.stat().st_size}\n".encode(errors="surrogateescape"))
                with inner.open("rb") as file:
                    digest.update(file.read(PIECE_BYTES))
            return digest.hexdigest()
        if not place.is_file():  # a pipe would block
            raise FileAccess(f"{path}: is no regular file")
        with place.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{size}\n".encode())
            for start, count in _pieces(size):
                file.seek(start)
                digest.update(file.read(count))
    return digest.hexdigest()


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    """Yield the beginning and the length of each piece that counts."""
    if size <= WHOLE_BYTES:
        yield 0, size
        return
    for number in range(PIECES):
        yield number * (size - PIECE_BYTES) // (PIECES - 1), PIECE_BYTES


def _files_of(folder: Path, inside: str = "") -> Iterator[str]:
    """Yield the files of a folder by their paths in it; links are left out."""
    with os.scandir(folder / inside) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = f"{inside}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _files_of(folder, f"{name}/")
        elif entry.is_file(follow_symlinks=False):
            yield name
