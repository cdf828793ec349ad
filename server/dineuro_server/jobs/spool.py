"""An upload: written to disk in chunks, hashed while it arrives, stored whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from dineuro_bridge.errors import BadFile, BadRequest, DineuroError, DiskFull, LimitExceeded
from dineuro_server.jobs.headers import HeaderReader
from dineuro_server.jobs.records import Blob
from dineuro_server.jobs.store import JobStore

#: The free space of the disk is checked after each of these many bytes.
_CHECK_BYTES = 2**26
#: Rate below which a door gives an upload up, after a time of grace (bytes per second).
SLOWEST_BYTES_S = 2**14


class Spool:
    """One upload, as a context manager: an upload that is not finished is removed at the end.

    A finished input stays in the store at least until the end of the block, even before a job
    has it. One thread at a time may use a spool.

    Args:
        store: the store that receives the input.
        name: name of the image, for messages.
        max_bytes: limit of the upload, and of the volume in it.
        min_free: bytes of the disk that stay free.
        headers: reads the header of the finished upload.
        grow: called with the number of bytes before they are written; it may refuse them.
        pin: called with the SHA-256 just before the input enters the store.
        release: called once at the end, with the pinned SHA-256 or None.

    Attributes:
        nbytes: bytes written so far.
    """

    def __init__(
        self,
        store: JobStore,
        name: str,
        *,
        max_bytes: int,
        min_free: int,
        headers: HeaderReader,
        grow: Callable[[int], None],
        pin: Callable[[str], None],
        release: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self._name = name
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._headers = headers
        self._grow, self._pin, self._release = grow, pin, release
        self._path = store.folder / "spool" / f"{secrets.token_hex(12)}.part"
        self._hash = hashlib.sha256()
        self._pinned: str | None = None
        self._checked_at = 0
        self._open = True
        self.nbytes = 0
        check_room(store.folder, min_free)
        try:
            self._file = self._path.open("xb", buffering=0)
        except OSError as error:
            self._raise(error)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append bytes to the upload.

        Raises:
            LimitExceeded: the upload exceeds `max_bytes`.
            QuotaExceeded: the upload exceeds its owner's quota.
            DiskFull: the disk has no room.
        """
        self.nbytes += len(chunk)
        if self.nbytes > self._max_bytes:
            raise LimitExceeded(
                f"{self._name}: the upload is larger than {self._max_bytes} bytes, this server's "
                "limit"
            )
        if self.nbytes - self._checked_at > _CHECK_BYTES:
            self._checked_at = self.nbytes
            check_room(self._store.folder, self._min_free)
        self._grow(len(chunk))
        self._hash.update(chunk)
        left = memoryview(chunk)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._raise(error)

    def finish(self, sha256: str | None = None) -> Blob:
        """Check the complete upload and move it into the store.

        Args:
            sha256: SHA-256 that the sender announced, in hexadecimal; None skips the comparison.

        Raises:
            BadRequest: the upload is empty.
            BadFile: the hash differs: the upload was damaged in transit.
            DineuroError: the header is not that of a volume which can be traced here; see
                `HeaderReader.check`.
        """
        if not self.nbytes:
            raise BadRequest(f"{self._name}: the upload is empty: send the volume's bytes")
        digest = self._hash.hexdigest()
        check_digest(self._name, sha256, digest)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            suffix = self._check_header()
            self._pin(digest)
            self._pinned = digest
            target = self._store.blob_path(digest, suffix)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(target)
        except OSError as error:
            if isinstance(error, DineuroError):
                raise
            self._raise(error)
        return self._store.add_blob(digest, suffix, self.nbytes)

    def close(self) -> None:
        """Remove an unfinished upload, and release the pin of a finished one."""
        if not self._open:
            return
        self._open = False
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._release(self._pinned)

    def _check_header(self) -> str:
        """The suffix by content, after the header has passed its check."""
        try:
            return self._headers.check(self._path, self._max_bytes).suffix
        except DineuroError as error:
            raise renamed(error, self._path, self._name) from error

    def _raise(self, error: OSError) -> NoReturn:
        """Raise DiskFull for a full disk, and the error itself for any other reason."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{self._name}: the server's disk is full: try again later") from error
        raise error


def check_room(folder: Path, min_free: int, nbytes: int = 0) -> None:
    """Check that `min_free` bytes of the disk stay free after `nbytes` more bytes.

    Raises:
        DiskFull: they do not.
    """
    if shutil.disk_usage(folder).free - nbytes < min_free:
        raise DiskFull("the server's disk is full: try again later, or ask who runs it")


def renamed(error: DineuroError, path: Path, name: str) -> DineuroError:
    """The same error with the client's name of the image instead of the server's path."""
    text = str(error).replace(str(path), name)
    return type(error)(text.replace(str(path.parent), "").replace(path.name, name))


def check_digest(name: str, announced: str | None, digest: str) -> None:
    """Compare the SHA-256 of an upload with the announced one; None skips the comparison.

    Raises:
        BadFile: they differ.
    """
    if announced is not None and announced.lower() != digest:
        raise BadFile(
            f"{name}: was damaged on its way: its SHA-256 is {digest[:12]}…, "
            f"{announced[:12]}… was announced: send it again"
        )
