"""A file or folder below a root, held by its descriptor: what is checked is what is read.

It is reached from its root without following a link, so that nobody who may write there can lead
the server elsewhere in between. A folder's contents cannot be held: they must have no links, and
are compared before and after they are read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import (
    DineuroError,
    Forbidden,
    LimitExceeded,
    NotFound,
    UnsupportedFormat,
)
from dineuro_bridge.files import descend
from dineuro_server.jobs.roots import shown

#: Files and folders in a volume that is a folder, and how deep they lie.
_MOST_ENTRIES, _DEEPEST = 2_000_000, 32
#: Bytes that are hashed at a time.
_PIECE = 2**22


@dataclass(frozen=True, slots=True)
class Status:
    """What the system says of a file or folder.

    Attributes:
        nbytes: size of the file, or of all files in the folder.
        stamp: a text that differs if the sizes, names or times of change differ.
        exact: the same, and it also differs if something was replaced and put back.
    """

    nbytes: int
    stamp: str
    exact: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A file or folder that is held open.

    Attributes:
        path: a path that leads to it, whatever happens to its name; for this user's processes.
        named: the path as the client wrote it, for messages.
        is_folder: whether it is a folder.
    """

    path: Path
    named: str
    is_folder: bool

    def status(self) -> Status:
        """What the system says of it now.

        Raises:
            UnsupportedFormat: the folder holds something else than files and folders.
            LimitExceeded: the folder holds too many files.
            Forbidden: a part of it may not be read.
        """
        with _explained(self.named):
            if not self.is_folder:
                now = self.path.stat()
                stamp = f"{now.st_size} {now.st_mtime_ns}"
                return Status(now.st_size, stamp, f"{stamp} {now.st_ctime_ns}")
            listing = _Listing(self.named)
            listing.add(self.path)
            return listing.status()

    def sha256(self, tick: Callable[[int], None]) -> str:
        """The SHA-256 of a file's bytes, in hexadecimal.

        Args:
            tick: called with the number of bytes so far; its exceptions pass through.

        Raises:
            Forbidden: the file may not be read.
        """
        digest, done = hashlib.sha256(), 0
        with _explained(self.named), self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                done += len(piece)
                tick(done)
        return digest.hexdigest()


@contextmanager
def pinned(root: str, path: str, named: str) -> Iterator[Pin]:
    """Hold a file or folder open.

    Args:
        root: the folder that is served.
        path: the path in it, without links.
        named: the path as the client wrote it.

    Raises:
        NotFound: there is no such file or folder, or a part of the path has become a link.
        UnsupportedFormat: it is a device, a pipe or the like.
        Forbidden: it may not be read.
    """
    with _explained(named):
        descriptor = descend(root, path)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            raise _missing(named)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UnsupportedFormat(f"{shown(named)}: is no regular file")
        place = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        if not os.access(place, os.R_OK):
            raise _closed(named)
        yield Pin(place, named, stat.S_ISDIR(mode))
    finally:
        os.close(descriptor)


class _Listing:
    """Sizes, names and times of everything in a folder."""

    def __init__(self, named: str) -> None:
        self._named = named
        self._stamp, self._exact = hashlib.sha256(), hashlib.sha256()
        self._count = self._nbytes = 0

    def add(self, folder: Path, inside: str = "", depth: int = 0) -> None:
        """Add a folder's contents.

        Raises:
            UnsupportedFormat, LimitExceeded: see `Pin.status`.
        """
        with os.scandir(folder / inside) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        self._count += len(ordered)
        if self._count > _MOST_ENTRIES or depth > _DEEPEST:
            raise LimitExceeded(
                f"{shown(self._named)}: holds more than {_MOST_ENTRIES} files, or folders in "
                "folders without end: store larger chunks, or shards"
            )
        for entry in ordered:
            now, name = entry.stat(follow_symlinks=False), f"{inside}{entry.name}"
            is_folder = stat.S_ISDIR(now.st_mode)
            if not is_folder and not stat.S_ISREG(now.st_mode):
                raise UnsupportedFormat(
                    f"{shown(self._named)}: holds {entry.name!r}, which is a link or no regular "
                    "file: copy the volume to a folder without links"
                )
            # A folder's own times change with its contents, which are listed themselves.
            own = "" if is_folder else f" {now.st_size} {now.st_mtime_ns}"
            self._stamp.update(f"{name}{own}\n".encode(errors="surrogateescape"))
            self._exact.update(f"{now.st_ino} {now.st_ctime_ns}\n".encode())
            if is_folder:
                self.add(folder, f"{name}/", depth + 1)
            else:
                self._nbytes += now.st_size

    def status(self) -> Status:
        """What was listed."""
        stamp = self._stamp.hexdigest()
        return Status(self._nbytes, stamp, f"{stamp} {self._exact.hexdigest()}")


def _missing(named: str) -> NotFound:
    return NotFound(f"{shown(named)}: there is no such file on the server's machine")


def _closed(named: str) -> Forbidden:
    return Forbidden(f"{shown(named)}: the server's user may not read it: send the file")


@contextmanager
def _explained(named: str) -> Iterator[None]:
    """Errors of the system in the block become those of a client's path."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DineuroError):
            raise
        if error.errno in (errno.EACCES, errno.EPERM):
            raise _closed(named) from error
        raise _missing(named) from error
