"""Who wants to know when something happens to a job."""

from __future__ import annotations

import threading
from collections.abc import Callable

Wake = Callable[[], None]


class Listeners:
    """Calls by job; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakes: dict[str, list[Wake]] = {}

    def add(self, job: str, wake: Wake) -> Callable[[], None]:
        """Call `wake` from now on; returns what ends that."""
        with self._lock:
            self._wakes.setdefault(job, []).append(wake)

        def leave() -> None:
            with self._lock:
                wakes = self._wakes.get(job, [])
                if wake in wakes:
                    wakes.remove(wake)
                if not wakes:
                    self._wakes.pop(job, None)

        return leave

    def tell(self, job: str) -> None:
        """Something happened to the job."""
        with self._lock:
            wakes = list(self._wakes.get(job, ()))
        for wake in wakes:
            wake()

    def tell_all(self) -> None:
        """Something happened to all of them."""
        with self._lock:
            jobs = list(self._wakes)
        for job in jobs:
            self.tell(job)
