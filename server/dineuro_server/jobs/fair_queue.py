"""Whose turn it is: fair between owners, by priority and age within one owner's jobs."""

from __future__ import annotations

from collections.abc import Sequence

from dineuro_server.jobs.records import Job


class Turns:
    """Remembers who was served when, and chooses by that.

    Among the owners who have a job waiting it is the turn of the one who was served least lately;
    of that owner's jobs the highest priority goes first, then the oldest. So a priority moves
    one's own jobs and nobody else's.
    """

    def __init__(self) -> None:
        self._count = 0
        self._served: dict[str, int] = {}

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """The next of the waiting jobs (the oldest first); its owner has had a turn with that."""
        if not waiting:
            return None
        job = min(waiting, key=lambda job: (self._served.get(job.owner, 0), -job.priority))
        self._count += 1
        self._served[job.owner] = self._count
        return job
