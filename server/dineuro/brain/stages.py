"""`Run`: one stage after the other, each with the work that is not done yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dineuro.brain.store.folder import Entry, Ledger
from dineuro.brain.tasks import Job
from dineuro.brain.workers import Item, Task, Workers
from dineuro_bridge.progress import Progress, ProgressCallback, silent


@dataclass(slots=True)
class Run:
    """One run of the command.

    Attributes:
        job: what every task knows.
        workers: who does the tasks.
        ledger: what is done.
        progress: called after each task; it may raise.
        holes: the work that failed.
        warnings: sentences for the user.
    """

    job: Job
    workers: Workers
    ledger: Ledger
    progress: ProgressCallback = silent
    holes: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def stage(
        self, name: str, task: Task, items: Iterable[Item], *inputs: Any
    ) -> dict[int, dict[str, Any]]:
        """Do the items of a stage that are not done yet, and return the figures of all.

        Args:
            name: of the stage.
            task: the function.
            items: the number and the arguments of each.
            inputs: what all of them are made from, as JSON values: work that was done from other
                inputs is done again.
        """
        wanted = dict(items)
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        found = {n: f for n, f in self.ledger.done(name, digest).items() if n in wanted}
        open_items = [(n, arguments) for n, arguments in wanted.items() if n not in found]
        count = len(found)
        self.progress(Progress(name, count, len(wanted)))
        try:
            for entry in self.workers.run(name, task, open_items):
                self.ledger.record(entry, digest)
                count += 1
                if entry.figures is None:
                    self.holes.append(entry)
                else:
                    found[entry.number] = entry.figures
                self.progress(Progress(name, count, len(wanted)))
        except KeyboardInterrupt:
            for entry in self.workers.rest():
                self.ledger.record(entry, digest)
            raise
        return {n: found[n] for n in sorted(found)}

    def without_holes(self, blocks: Iterable[int]) -> list[int]:
        """The blocks of which no stage has failed."""
        failed = {entry.number for entry in self.holes if entry.stage != "trees"}
        return [block for block in blocks if block not in failed]
