"""Throws out what was kept long enough; a clock that is set does not make it throw out more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_EVERY_S = 30.0
#: A wall clock that leaves the steady one behind by more (seconds) has been set.
_JUMP_S = 600.0

log = logging.getLogger(__name__)


class Sweeper(threading.Thread):
    """Calls `sweep` now and then, from a thread of its own, until it is ended.

    Args:
        sweep: throws out what is over.
        shift: moves the end of everything's keeping by so many seconds, when the clock was set.
    """

    def __init__(self, sweep: Callable[[], None], shift: Callable[[float], None]) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._sweep, self._shift = sweep, shift
        self._ended = threading.Event()
        self._clock = ClockWatch()

    def run(self) -> None:
        """Until `end`."""
        while not self._ended.wait(_EVERY_S):
            try:
                if (jump := self._clock.jump()) != 0.0:
                    log.warning(
                        "the clock was set by %.0f s: results are kept as long as before", jump
                    )
                    self._shift(jump)
                self._sweep()
            except Exception:
                # A sweep that failed is tried again; the server goes on without it.
                log.exception("the sweep failed: an error of DINeuro's own")

    def end(self) -> None:
        """End it; waits for a sweep that is going on."""
        self._ended.set()
        if self.is_alive():
            self.join()


class ClockWatch:
    """Sees that the wall clock was set, by a clock that nobody can set."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def jump(self) -> float:
        """Seconds by which the wall clock was set since the last look; 0 for a mere drift."""
        offset = self._wall() - self._steady()
        jump, self._offset = offset - self._offset, offset
        return jump if abs(jump) > _JUMP_S else 0.0
