"""The bounds on what the server accepts: queue, quotas, disk, and uploads in progress."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from dineuro_bridge.errors import QueueFull, QuotaExceeded, TryLater
from dineuro_server.jobs.headers import HeaderReader
from dineuro_server.jobs.spool import Spool, check_room
from dineuro_server.jobs.store import JobStore
from dineuro_server.settings import Settings

#: Uploads in progress, of all owners together and of one owner.
MAX_UPLOADS, OWNER_UPLOADS = 1024, 640
#: Retry time for an owner whose disk quota is used up (seconds).
_FULL_RETRY = 3600


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of one owner: queued and running jobs, and bytes on disk."""

    jobs: int
    nbytes: int


class Admission:
    """Admits jobs and uploads to a store; safe to use from several threads.

    Args:
        store: the store.
        settings: the limits.
        quota_of: returns the quota of an owner; None gives every owner that of the settings.

    Attributes:
        lock: guards the other attributes.
        headers: reads the headers of volumes.
        upload_bytes: bytes of each owner's open uploads.
        stored: number of each owner's uploads that have entered the store.
        pins: inputs that stay in the store although no job has them yet, with their upload count.
    """

    def __init__(
        self,
        store: JobStore,
        settings: Settings,
        quota_of: Callable[[str], Quota] | None,
    ) -> None:
        self._store, self._settings = store, settings
        self._quota_of = quota_of or (lambda _: Quota(settings.owner_jobs, settings.owner_bytes))
        self.lock = threading.RLock()
        self.headers = HeaderReader()
        self._uploads: Counter[str] = Counter()
        self.upload_bytes: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()
        self.pins: Counter[str] = Counter()

    @property
    def uploads(self) -> int:
        """Number of uploads in progress."""
        return self._uploads.total()

    def admit(self, owner: str, nbytes: int, retry_after: int) -> None:
        """Check that one more job with an upload of `nbytes` bytes can be accepted.

        Args:
            owner: name of the owner.
            nbytes: bytes that the upload adds to the store; 0 for an input that is already there.
            retry_after: seconds after which a job may have ended.

        Raises:
            QueueFull, QuotaExceeded, DiskFull: the job cannot be accepted.
        """
        if self._store.count("queued") >= self._settings.max_queue:
            raise QueueFull(f"the queue is full: {self._settings.max_queue} jobs wait", retry_after)
        quota, usage = self._quota_of(owner), self._store.usage(owner)
        used = usage.nbytes + self.upload_bytes[owner]
        if usage.jobs >= quota.jobs:
            raise QuotaExceeded(
                f"{usage.jobs} of your jobs wait or run, which is your limit", retry_after
            )
        if used + nbytes > quota.nbytes:
            raise _over_quota(used, quota)
        check_room(self._store.folder, self._settings.min_free_bytes, nbytes)

    def spool(self, owner: str, name: str) -> Spool:
        """Open the spool of a new upload.

        Args:
            owner: name of the owner.
            name: name of the image, for messages.

        The bytes of open uploads count in the owner's quota.

        Raises:
            TryLater: too many uploads are in progress.
            DiskFull: the disk has no room.
        """
        with self.lock:
            if self.uploads >= MAX_UPLOADS or self._uploads[owner] >= OWNER_UPLOADS:
                raise TryLater("too many uploads at the same time: try again when some are done", 5)
            self._uploads[owner] += 1
        upload = _Upload(self, owner)
        try:
            self.headers.prepare()
            return Spool(
                self._store,
                name,
                max_bytes=self._settings.max_bytes,
                min_free=self._settings.min_free_bytes,
                headers=self.headers,
                grow=upload.grow,
                pin=upload.pin,
                release=upload.release,
            )
        except BaseException:
            upload.release(None)
            raise

    def room(self, owner: str) -> tuple[Quota, int]:
        """The quota of an owner, and the bytes of it that are not in the store yet."""
        quota = self._quota_of(owner)
        return quota, quota.nbytes - self._store.usage(owner).nbytes

    def left(self, owner: str) -> int:
        """The bytes that an owner has left."""
        return self.room(owner)[1]

    def close(self) -> None:
        """End the processes that read headers."""
        self.headers.close()

    def count_end(self, owner: str) -> None:
        """Count the end of one of an owner's uploads."""
        self._uploads[owner] -= 1

    def drop(self, sha256: str | None) -> None:
        """Remove an input from the store, unless a job has it or an upload is about to use it."""
        with self.lock:
            if sha256 is not None and self.pins[sha256] <= 0:
                del self.pins[sha256]
                self._store.remove_blob(sha256)


class _Upload:
    """The share of one open upload in its owner's quota.

    Args:
        admission: counts the uploads.
        owner: name of the owner.
    """

    def __init__(self, admission: Admission, owner: str) -> None:
        self._admission, self._owner = admission, owner
        self._stored = -1
        self._written = 0

    def grow(self, nbytes: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            QuotaExceeded: the owner's open uploads exceed the room.
        """
        admission = self._admission
        with admission.lock:
            # What another upload has stored meanwhile is room no more.
            if self._stored != admission.stored[self._owner]:
                self._quota, self._room = admission.room(self._owner)
                self._stored = admission.stored[self._owner]
            open_bytes = admission.upload_bytes[self._owner]
            if open_bytes + nbytes > self._room:
                raise _over_quota(self._quota.nbytes - self._room + open_bytes, self._quota)
            self._written += nbytes
            admission.upload_bytes[self._owner] += nbytes

    def pin(self, sha256: str) -> None:
        """Keep a finished input, which counts with its job from now on."""
        with self._admission.lock:
            self._admission.pins[sha256] += 1
            self._admission.upload_bytes[self._owner] -= self._written
            self._written = 0

    def release(self, sha256: str | None) -> None:
        """End the upload, and let its input go if no job has it."""
        with self._admission.lock:
            self._admission.count_end(self._owner)
            self._admission.upload_bytes[self._owner] -= self._written
            self._written = 0
            if sha256 is not None:
                self._admission.stored[self._owner] += 1
                self._admission.pins[sha256] -= 1
                self._admission.drop(sha256)


def _over_quota(used: int, quota: Quota) -> QuotaExceeded:
    return QuotaExceeded(
        f"your inputs, results and uploads take {used} bytes, and this one exceeds your limit of "
        f"{quota.nbytes} bytes: delete jobs that you no longer need",
        _FULL_RETRY,
    )
