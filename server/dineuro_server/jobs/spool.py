"""An upload on its way to disk: written in chunks, hashed as it comes, whole or not at all."""

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
from dineuro_bridge.volumes.formats import format_of_content, read_header
from dineuro_bridge.volumes.volume import Header
from dineuro_server.jobs.records import Blob
from dineuro_server.jobs.store import JobStore

#: The room left on the disk is looked at each time so many bytes have been written.
_LOOK = 2**26


class Spool:
    """One upload. Use it in a `with` block: what is not finished when it ends is removed.

    A finished input stays for as long as the block lasts even if no job has it yet; after that the
    engine may throw out what no job was made of. Not for two threads at once.

    Args:
        store: where it ends up.
        name: of the image, for messages.
        max_bytes: more is refused, of the upload and of the volume in it.
        min_free: bytes of the disk that must stay free.
        pin: called with the SHA-256 just before the input gets into the store.
        release: called once at the end of the block, with what was pinned.
    """

    def __init__(
        self,
        store: JobStore,
        name: str,
        *,
        max_bytes: int,
        min_free: int,
        pin: Callable[[str], None],
        release: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self._name = name
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._pin, self._release = pin, release
        self._path = store.folder / "spool" / f"{secrets.token_hex(12)}.part"
        self._hash = hashlib.sha256()
        self._pinned: str | None = None
        self._looked_at = 0
        self._open = True
        self.nbytes = 0
        self.header: Header | None = None
        check_room(store.folder, min_free)
        try:
            self._file = self._path.open("xb", buffering=0)
        except OSError as error:
            self._failed(error)

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
        """Take the next bytes.

        Raises:
            LimitExceeded: they are more than allowed.
            DiskFull: the disk has no room for them.
        """
        self.nbytes += len(chunk)
        if self.nbytes > self._max_bytes:
            raise LimitExceeded(
                f"{self._name}: the upload is larger than {self._max_bytes} bytes, this server's "
                "limit"
            )
        if self.nbytes - self._looked_at > _LOOK:
            self._looked_at = self.nbytes
            check_room(self._store.folder, self._min_free)
        self._hash.update(chunk)
        left = memoryview(chunk)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._failed(error)

    def finish(self, sha256: str | None = None) -> Blob:
        """All has been written: check the file's header, and put it into the store.

        Args:
            sha256: what the sender says that its hash is, in hexadecimal; None does not look.

        Raises:
            BadRequest: nothing was written.
            BadFile: another hash: the upload was damaged on its way.
            DineuroError: the header is not that of a volume which may be traced here; see
                `read_header` and `Header.check`.
        """
        if not self.nbytes:
            raise BadRequest(f"{self._name}: the upload is empty: send the volume's bytes")
        found = self._hash.hexdigest()
        if sha256 is not None and sha256.lower() != found:
            raise BadFile(
                f"{self._name}: was damaged on its way: its SHA-256 is {found[:12]}…, "
                f"{sha256[:12]}… was announced: send it again"
            )
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            suffix = self._checked()
            self._pin(found)
            self._pinned = found
            target = self._store.blob_path(found, suffix)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(target)
        except OSError as error:
            if isinstance(error, DineuroError):
                raise
            self._failed(error)
        return self._store.add_blob(found, suffix, self.nbytes)

    def close(self) -> None:
        """Remove what is not finished; let go of what is."""
        if not self._open:
            return
        self._open = False
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._release(self._pinned)

    def _checked(self) -> str:
        """The suffix by content, once the header has been found good."""
        try:
            suffix = format_of_content(self._path).suffixes[0]
            named = self._path.with_suffix(suffix)
            self._path.rename(named)
            self._path = named
            self.header = read_header(named)
            self.header.check(named, self._max_bytes)
        except DineuroError as error:
            raise renamed(error, self._path, self._name) from error
        return suffix

    def _failed(self, error: OSError) -> NoReturn:
        """The system refused: no room, or a defect that only the log may know."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{self._name}: the server's disk is full: try again later") from error
        raise error


def check_room(folder: Path, min_free: int, nbytes: int = 0) -> None:
    """Refuse what would leave less than `min_free` bytes of the disk.

    Raises:
        DiskFull: it would.
    """
    if shutil.disk_usage(folder).free - nbytes < min_free:
        raise DiskFull("the server's disk is full: try again later, or ask who runs it")


def renamed(error: DineuroError, path: Path, name: str) -> DineuroError:
    """The same error about the name that the client knows, and no word of the server's folders."""
    text = str(error).replace(str(path), name)
    return type(error)(text.replace(str(path.parent), "").replace(path.name, name))
