"""The order of the queue: fair between owners, by priority and age within one owner's jobs."""

from __future__ import annotations

from collections.abc import Sequence

from dineuro_server.jobs.records import Job


class FairQueue:
    """Chooses the next job, and remembers when each owner was last served.

    The next job belongs to the owner whose last turn lies furthest back. Of that owner's jobs it
    is the one of the highest priority, and of these the oldest. A priority therefore moves the
    owner's own jobs only.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._last_turn: dict[str, int] = {}

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """Choose the next job and count it as a turn of its owner.

        Args:
            waiting: all queued jobs, the oldest first.

        Returns:
            The next job; None if no job waits.
        """
        if not waiting:
            return None
        job = min(waiting, key=lambda job: (self._last_turn.get(job.owner, 0), -job.priority))
        self._turns += 1
        self._last_turn[job.owner] = self._turns
        return job
