"""Turns: of an owner's own work the most urgent comes first, and owners take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar


class Waiting(Protocol):
    """What waits for its turn: a job, or a call."""

    @property
    def owner(self) -> str:
        """Name of the owner."""

    @property
    def priority(self) -> int:
        """Its rank among what the same owner has; the highest comes first."""


_W = TypeVar("_W", bound=Waiting)
_R = TypeVar("_R")


class FairQueue:
    """Chooses who is next, and remembers when each owner was last served.

    The next one belongs to the owner whose last turn lies furthest back. Of that owner's it is the
    one of the highest priority, and of these the oldest. A priority therefore moves the owner's
    own work only.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._last_turn: dict[str, int] = {}

    def choose(self, waiting: Sequence[_W]) -> _W | None:
        """Choose the next one and count it as a turn of its owner.

        Args:
            waiting: all that wait, the oldest first.

        Returns:
            The next one; None if nothing waits.
        """
        if not waiting:
            return None
        chosen = min(waiting, key=lambda one: (self._last_turn.get(one.owner, 0), -one.priority))
        self._turns += 1
        self._last_turn[chosen.owner] = self._turns
        return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call that waits for a thread."""

    owner: str
    call: Callable[[], Any]
    outcome: Future[Any] = field(default_factory=Future)
    priority: int = 0

    def make(self) -> None:
        """Make the call, unless its outcome was cancelled."""
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            self.outcome.set_result(self.call())
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the outcome
            self.outcome.set_exception(error)


class FairThreads:
    """A few threads that make calls, those of each owner in turn; safe from several threads.

    Args:
        threads: number of calls at the same time.
        name: beginning of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._queue = FairQueue()
        self._waiting: list[_Call] = []

    def submit(self, owner: str, call: Callable[[], _R]) -> Future[_R]:
        """Make a call as soon as a thread is free and it is the owner's turn.

        Raises:
            RuntimeError: the threads have ended.
        """
        waiting = _Call(owner, call)
        with self._lock:
            self._waiting.append(waiting)
        self._pool.submit(self._make_next)
        return waiting.outcome

    def _make_next(self) -> None:
        with self._lock:
            call = self._queue.choose(self._waiting)
            if call is None:
                return
            self._waiting.remove(call)
        call.make()

    def close(self) -> None:
        """Cancel the calls that wait, and end the threads; blocks."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.outcome.cancel()
        self._pool.shutdown(cancel_futures=True)
