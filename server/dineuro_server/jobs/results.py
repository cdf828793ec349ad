"""The files that a finished job leaves in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import NotFound
from dineuro_bridge.parts import PARTS, Part
from dineuro_server.jobs.kinds import KINDS, Kind

#: The files of a done job that a retrace of it reads.
REPORT, PROBABILITY = PARTS["report"].stored, PARTS["probability"].stored


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a finished job.

    Attributes:
        job: the job's id, for messages.
        kind: the kind of the job.
        folder: where the files are.
    """

    job: str
    kind: Kind
    folder: Path

    def path(self, part: Part) -> Path:
        """The file of a part.

        Raises:
            NotFound: a part that is not served, that the kind of job does not have, or that is
                missing because an earlier version did the job.
        """
        if not part.is_served or part not in KINDS[self.kind].parts:
            raise NotFound(f"job {self.job}: a job of the kind {self.kind} has no {part.name}")
        path = self.folder / part.stored
        if not path.exists():
            raise NotFound(
                f"job {self.job}: its {part.name} is missing: an earlier version, which had no "
                "such part, did the job, or the results have been removed"
            )
        return path

    def select(self, condition: Callable[[Part], bool]) -> dict[str, Path]:
        """The files of those parts that fulfil a condition and exist, by the name of the part."""
        paths = {
            part.name: self.folder / part.stored
            for part in KINDS[self.kind].parts
            if condition(part)
        }
        return {name: path for name, path in paths.items() if path.exists()}
