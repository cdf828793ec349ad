"""The thread that removes expired results, also after the wall clock was set."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

#: Time between two sweeps (seconds).
_INTERVAL_S = 30.0
#: A difference between wall clock and monotonic clock beyond this is a jump (seconds).
_JUMP_S = 600.0

log = logging.getLogger(__name__)


class Sweeper(threading.Thread):
    """Calls `sweep` at regular intervals until `end`.

    Args:
        sweep: removes what has expired.
        shift: moves all expiries by a number of seconds; called when the wall clock was set.
    """

    def __init__(self, sweep: Callable[[], None], shift: Callable[[float], None]) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._sweep, self._shift = sweep, shift
        self._ended = threading.Event()
        self._clock = ClockWatch()

    def run(self) -> None:
        """Sweep until `end` is called."""
        while not self._ended.wait(_INTERVAL_S):
            try:
                if (jump := self._clock.jump()) != 0.0:
                    log.warning(
                        "the clock was set by %.0f s: the expiry of all results moves with it", jump
                    )
                    self._shift(jump)
                self._sweep()
            except Exception:
                # The next sweep tries again; the server works without this one.
                log.exception("the sweep failed: an error of DINeuro's own")

    def end(self) -> None:
        """End the thread; blocks until the sweep in progress is complete."""
        self._ended.set()
        if self.is_alive():
            self.join()


class ClockWatch:
    """Detects that the wall clock was set, by comparing it with the monotonic clock.

    Args:
        wall: the wall clock (seconds).
        steady: a clock that cannot be set (seconds).
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def jump(self) -> float:
        """Seconds by which the wall clock was set since the last call; 0 for a mere drift."""
        offset = self._wall() - self._steady()
        jump, self._offset = offset - self._offset, offset
        return jump if abs(jump) > _JUMP_S else 0.0
