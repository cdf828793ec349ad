"""What is let in: quotas, the bounds of queue and disk, and uploads that no job has yet."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from dineuro_bridge.errors import QueueFull, QuotaExceeded, TryLater
from dineuro_server.jobs.spool import Spool, check_room
from dineuro_server.jobs.store import JobStore
from dineuro_server.settings import Settings

#: Uploads at a time, of all owners and of one.
MAX_UPLOADS, OWNER_UPLOADS = 1024, 640
#: Whoever has too much on the disk has to delete something first (seconds).
_FULL_RETRY = 3600


@dataclass(frozen=True, slots=True)
class Quota:
    """What one owner may have: jobs that wait or run, and bytes on the disk."""

    jobs: int
    nbytes: int


class Intake:
    """The gate of a store; safe from several threads.

    Args:
        store: what it guards.
        settings: the bounds.
        quota_of: an owner's quota; None gives all that of the settings.
    """

    def __init__(
        self,
        store: JobStore,
        settings: Settings,
        quota_of: Callable[[str], Quota] | None,
    ) -> None:
        self._store, self._settings = store, settings
        self._quota_of = quota_of or (lambda _: Quota(settings.owner_jobs, settings.owner_bytes))
        self._lock = threading.RLock()
        self._uploads: Counter[str] = Counter()
        #: Inputs that are kept although no job has them yet, and for how many senders.
        self._pins: Counter[str] = Counter()

    @property
    def uploads(self) -> int:
        """How many are under way."""
        return self._uploads.total()

    def admit(self, owner: str, nbytes: int, retry_after: int) -> None:
        """Whether one more job with an upload of so many bytes fits in.

        Args:
            owner: whose it is.
            nbytes: that are to come; 0 where they are there already.
            retry_after: seconds after which a job may have ended.

        Raises:
            QueueFull, QuotaExceeded, DiskFull: it does not.
        """
        if self._store.count("queued") >= self._settings.max_queue:
            waiting = self._settings.max_queue
            raise QueueFull(f"the queue is full: {waiting} jobs wait", retry_after)
        quota, usage = self._quota_of(owner), self._store.usage(owner)
        if usage.jobs >= quota.jobs:
            raise QuotaExceeded(
                f"{usage.jobs} jobs of yours wait or run, as many as you may have", retry_after
            )
        if usage.nbytes + nbytes > quota.nbytes:
            raise QuotaExceeded(
                f"your inputs and results take {usage.nbytes} bytes, with this one more than the "
                f"{quota.nbytes} that you may have: delete jobs that you no longer need",
                _FULL_RETRY,
            )
        check_room(self._store.folder, self._settings.min_free_bytes, nbytes)

    def spool(self, owner: str, name: str) -> Spool:
        """Where an upload goes.

        Raises:
            TryLater: too many are under way.
            DiskFull: there is no room.
        """
        with self._lock:
            if self.uploads >= MAX_UPLOADS or self._uploads[owner] >= OWNER_UPLOADS:
                raise TryLater("too many uploads at a time: try again when some are done", 5)
            self._uploads[owner] += 1

        def release(sha256: str | None) -> None:
            with self._lock:
                self._uploads[owner] -= 1
                if sha256 is not None:
                    self._pins[sha256] -= 1
                    self.drop(sha256)

        try:
            return Spool(
                self._store,
                name,
                max_bytes=self._settings.max_bytes,
                min_free=self._settings.min_free_bytes,
                pin=self._pin,
                release=release,
            )
        except BaseException:
            release(None)
            raise

    def _pin(self, sha256: str) -> None:
        with self._lock:
            self._pins[sha256] += 1

    def drop(self, sha256: str | None) -> None:
        """Throw out an input, unless a job has it or is about to be made of it."""
        with self._lock:
            if sha256 is not None and self._pins[sha256] <= 0:
                del self._pins[sha256]
                self._store.remove_blob(sha256)
