"""The files that a finished job leaves in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dineuro_server.jobs.records import Kind

#: Files of a done job that a retrace of it reads.
REPORT, PROBABILITY = "report.json", "probability.v3dpbd"


@dataclass(frozen=True, slots=True)
class Results:
    """The files of a finished job; None where its kind has no tree.

    Attributes:
        swc: the tree.
        mask: (1, Z, Y, X) uint8, 0 and 255, as .v3draw.
        report: JSON.
        preview: PNG, three projections.
        doubts: the places to look at first, as .marker.
        view: for a browser, see `dineuro.files.view`.
    """

    swc: Path | None
    mask: Path
    report: Path
    preview: Path
    doubts: Path | None
    view: Path

    @classmethod
    def of(cls, folder: Path, kind: Kind) -> Results:
        """Those in a job's folder, by its kind."""
        has_tree = kind != "enhance"
        return cls(
            swc=folder / "tree.swc" if has_tree else None,
            mask=folder / "mask.v3draw",
            report=folder / REPORT,
            preview=folder / "preview.png",
            doubts=folder / "doubts.marker" if has_tree else None,
            view=folder / "view.u8",
        )
