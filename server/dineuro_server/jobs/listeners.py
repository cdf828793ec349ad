"""Callbacks that are called when something happens to a job."""

from __future__ import annotations

import threading
from collections.abc import Callable

Callback = Callable[[], None]


class Listeners:
    """The callbacks of each job; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[str, list[Callback]] = {}

    def add(self, job_id: str, callback: Callback) -> Callback:
        """Call `callback` at every event of a job.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            self._callbacks.setdefault(job_id, []).append(callback)

        def unsubscribe() -> None:
            with self._lock:
                callbacks = self._callbacks.get(job_id, [])
                if callback in callbacks:
                    callbacks.remove(callback)
                if not callbacks:
                    self._callbacks.pop(job_id, None)

        return unsubscribe

    def notify(self, job_id: str) -> None:
        """Call the callbacks of one job."""
        with self._lock:
            callbacks = list(self._callbacks.get(job_id, ()))
        for callback in callbacks:
            callback()

    def notify_all(self) -> None:
        """Call the callbacks of all jobs."""
        with self._lock:
            job_ids = list(self._callbacks)
        for job_id in job_ids:
            self.notify(job_id)
