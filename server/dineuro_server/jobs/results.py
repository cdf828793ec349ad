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
        """The file of a part that clients may fetch.

        Raises:
            NotFound: a part that is not served; or as `kept`.
        """
        if not part.is_served:
            raise self._no(part)
        return self.kept(part)

    def kept(self, part: Part) -> Path:
        """The file of any part, also of one that the server keeps for itself.

        Raises:
            NotFound: a part that the kind of job does not have, or that is missing because an
                earlier version did the job.
        """
        if part not in KINDS[self.kind].parts:
            raise self._no(part)
        path = self.folder / part.stored
        if not path.exists():
            raise NotFound(
                f"job {self.job}: its {part.name} is missing: an earlier version, which had no "
                "such part, did the job, or the results have been removed"
            )
        return path

    def _no(self, part: Part) -> NotFound:
        return NotFound(f"job {self.job}: a job of the kind {self.kind} has no {part.name}")

    def select(self, condition: Callable[[Part], bool]) -> dict[str, Path]:
        """The files of those parts that fulfil a condition and exist, by the name of the part."""
        paths = {
            part.name: self.folder / part.stored
            for part in KINDS[self.kind].parts
            if condition(part)
        }
        return {name: path for name, path in paths.items() if path.exists()}
