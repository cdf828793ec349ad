"""Volumes that lie on the server's machine: checked when a job names them, and when it begins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dineuro_bridge.errors import (
    BadFile,
    Conflict,
    DineuroError,
    FileAccess,
    LimitExceeded,
    UnsupportedFormat,
)
from dineuro_bridge.fingerprint import fingerprint_of
from dineuro_bridge.volumes.formats import is_folder_volume
from dineuro_bridge.volumes.terms import Roi
from dineuro_server.jobs.headers import HeaderReader
from dineuro_server.jobs.pins import Pin, pinned
from dineuro_server.jobs.records import Place
from dineuro_server.jobs.roots import Roots, shown


class Places:
    """Finds the volumes that clients name.

    Args:
        roots: the folders that are served.
        headers: reads the headers of the volumes.
        max_bytes: limit of a file, and of a volume in memory.
        most_voxels: voxels of a channel above which a volume runs in blocks.
    """

    def __init__(
        self, roots: Roots, headers: HeaderReader, max_bytes: int, most_voxels: int
    ) -> None:
        self._roots, self._headers, self._max_bytes = roots, headers, max_bytes
        self._most_voxels = most_voxels

    def find(
        self, named: str, fingerprint: str | None, roi: Roi | None, *, in_blocks: bool = False
    ) -> Place:
        """The volume at a path; blocks while the file is read once, unless it runs in blocks.

        Args:
            named: the path as a client wrote it.
            fingerprint: the fingerprint of the client's own file; None skips the comparison.
            roi: the region that the job reads of a volume that is a folder.
            in_blocks: whether the job may run in blocks.

        Raises:
            Forbidden: see `Roots.find`; or the file may not be read.
            NotFound: there is no such file.
            Conflict: the fingerprint is another one, or the file changes while it is read.
            DineuroError: it is no volume that can be traced here; see `HeaderReader.check`.
        """
        root, path = self._roots.find(named)
        with pinned(root, path, named) as pin:
            before = pin.status()
            if pin.is_folder and not is_folder_volume(pin.path):
                raise UnsupportedFormat(f"{shown(named)}: is a folder and no volume: name a file")
            with _told_as(pin):
                if fingerprint is not None and fingerprint_of(pin.path) != fingerprint.lower():
                    raise Conflict(
                        f"{shown(named)}: is another file on the server's machine: send the file"
                    )
                most = self._most_voxels if in_blocks and roi is None else None
                checked = self._headers.check(
                    pin.path, self._max_bytes, roi, by_path=True, most_voxels=most
                )
                if not (pin.is_folder or checked.in_blocks) and before.nbytes > self._max_bytes:
                    raise LimitExceeded(
                        f"{pin.path}: is larger than {self._max_bytes} bytes, this server's limit"
                    )
                by_stamp = pin.is_folder or checked.in_blocks
                digest = _identity(pin, before.stamp, lambda _: None, by_stamp=by_stamp)
            if pin.status().exact != before.exact:
                raise Conflict(f"{shown(named)}: was changed while it was read: try again")
        return Place(
            root, path, named, checked.suffix, pin.is_folder, before.stamp, digest,
            checked.in_blocks,
        )  # fmt: skip


@contextmanager
def reopened(place: Place, tick: Callable[[int], None]) -> Iterator[Path]:
    """A path to the volume of a job, which is the same before and after the block.

    Args:
        place: the volume as it was when the job named it.
        tick: called with the number of bytes that are checked; its exceptions pass through.

    Raises:
        Conflict: it has changed since then, or it changes in the block.
        NotFound, Forbidden: it is not there, or may not be read any more.
    """
    changed = Conflict(f"{shown(place.named)}: was changed after the job was submitted: try again")
    with pinned(place.root, place.path, place.named) as pin:
        before = pin.status()
        if pin.is_folder != place.is_folder or before.stamp != place.stamp:
            raise changed
        if _identity(pin, before.stamp, tick, by_stamp=place.by_stamp) != place.sha256:
            raise changed
        yield pin.path
        if pin.status().exact != before.exact:
            raise changed


@contextmanager
def _told_as(pin: Pin) -> Iterator[None]:
    """Errors in the block name the client's path instead of the one of the descriptor."""
    try:
        yield
    except DineuroError as error:
        text = str(error).replace(str(pin.path), shown(pin.named))
        kind = BadFile if isinstance(error, FileAccess) else type(error)
        raise kind(text) from error


def _identity(pin: Pin, stamp: str, tick: Callable[[int], None], *, by_stamp: bool) -> str:
    """The SHA-256 of a file's bytes; where they may be too many, of its sizes, names and times."""
    if by_stamp:
        kind = "folder" if pin.is_folder else "file"
        return hashlib.sha256(f"{kind} {stamp}".encode()).hexdigest()
    return pin.sha256(tick)
