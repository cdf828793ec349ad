"""`Task`: one piece of work in a thread, which tells the window how it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QObject, Signal

from dineuro_bridge.errors import Cancelled
from dineuro_bridge.progress import Progress, ProgressCallback

#: Seconds for which a closed window waits for its server to hear that a job is cancelled.
_GOODBYE_S = 2.0


class Task(QObject):
    """One piece of work in a thread; its signals arrive in the thread of the widget.

    Args:
        work: gets a callback, which stops it where the task is cancelled.
        about: what the work is for.

    Signals:
        progressed: a `Progress`.
        ended: the task itself, its result and None; or the task, None and the error.
    """

    progressed = Signal(object)
    ended = Signal(object, object, object)

    def __init__(self, work: Callable[[ProgressCallback], Any], about: Any) -> None:
        super().__init__()
        self.about = about
        self._work, self._cancelled = work, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin the work."""
        self._thread.start()

    def cancel(self) -> None:
        """End the work at its next step; nothing is signalled any more."""
        self._cancelled.set()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the work."""
        self._thread.join(seconds)

    @property
    def runs(self) -> bool:
        """Whether the work has not ended yet, also after it was cancelled."""
        return self._thread.is_alive()

    def _run(self) -> None:
        result = error = None
        try:
            result = self._work(self._watch)
        except Exception as problem:  # noqa: BLE001 - it is shown to the user
            error = problem
        self._say(self.ended, self, result, error)

    def _watch(self, step: Progress) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the trace was cancelled")
        self._say(self.progressed, step)

    def _say(self, signal: Any, *values: object) -> None:
        if not self._cancelled.is_set():
            try:
                signal.emit(*values)
            except RuntimeError:  # the window was closed, and Qt's half of this object is gone
                self._cancelled.set()


def end_all(tasks: Sequence[Task], _: object = None) -> None:
    """End what runs, because napari closes; a server hears of it if it answers at once."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        task.wait(_GOODBYE_S)
