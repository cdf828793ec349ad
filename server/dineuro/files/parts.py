"""The functions that write the parts of a result, by the name of the part.

The table of the parts is `dineuro_bridge.parts.PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dineuro.files.outputs import Outputs, link_results
from dineuro.files.preview import write_preview
from dineuro.files.proofreading import as_markers, graded, pieces_of, segment_records
from dineuro.files.slices import write_slices
from dineuro.files.view import write_view
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.files import write_record
from dineuro_bridge.trees.marker import write_markers
from dineuro_bridge.trees.swc import write_eswc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Everything that the parts of one volume's result are written from.

    Attributes:
        volume: the input; its source is what the results call it.
        result: what the pipeline made; an `EnhancedVolume` has no tree.
        tree: the tree with its comments; empty without a tree.
        record: the report without the segments' grades, as JSON values.
        outputs: where the parts for the user go.
    """

    volume: Volume
    result: Result | EnhancedVolume
    tree: Tree
    record: Mapping[str, Any]
    outputs: Outputs

    @property
    def traced(self) -> Result:
        """The result of a run that made a tree.

        Raises:
            TypeError: the run made no tree, so that no part of it may need one.
        """
        if not isinstance(self.result, Result):
            raise TypeError("this part needs a tree, and the run made none")
        return self.result


def check_names(outputs: Outputs) -> None:
    """Refuse names that are no part of a result.

    Raises:
        BadParameter: there is no such part.
    """
    for name in outputs:
        if name not in WRITERS:
            raise BadParameter(f"{name}: is no part of a result; those are {', '.join(WRITERS)}")


def write_parts(outcome: Outcome, outputs: Outputs) -> None:
    """Write parts of a result, each file whole or not at all.

    Args:
        outcome: what the parts are written from.
        outputs: the path of each part.

    Raises:
        FileAccess: a place cannot be written to.
    """
    for name, write in WRITERS.items():
        if name in outputs:
            write(outputs[name], outcome)


def _write_tree(path: Path, outcome: Outcome) -> None:
    """SWC, or ESWC with the grades of the segments, by the suffix."""
    if path.suffix.lower() == ".eswc":
        write_eswc(path, graded(outcome.tree, outcome.traced.segments))
    else:
        write_swc(path, outcome.tree)


def _write_mask(path: Path, outcome: Outcome) -> None:
    write_volume(path, outcome.result.mask, compress=True)


def _write_preview(path: Path, outcome: Outcome) -> None:
    result = outcome.result
    overlay = result.overlay if isinstance(result, Result) else Tree.empty()
    write_preview(path, result.intensity, overlay)


def _write_doubts(path: Path, outcome: Outcome) -> None:
    write_markers(path, as_markers(outcome.traced.doubts))


def _write_pieces(path: Path, outcome: Outcome) -> None:
    write_swc(path, pieces_of(outcome.traced.doubts))


def _write_linker(path: Path, outcome: Outcome) -> None:
    link_results(path, Path(outcome.volume.source), outcome.outputs)


def _write_report(path: Path, outcome: Outcome) -> None:
    record = dict(outcome.record)
    if isinstance(outcome.result, Result):
        record["segments"] = segment_records(outcome.result.segments)
    write_record(path, record)


def _write_view(path: Path, outcome: Outcome) -> None:
    result, roi = outcome.result, outcome.result.options.roi
    mask = result.mask if roi is None else result.mask.cropped(roi)
    x, y, z = (0, 0, 0) if roi is None else roi[:3]
    write_view(path, result.intensity, mask.channel(1), (z, y, x))


def _write_slices(path: Path, outcome: Outcome) -> None:
    # The whole volume, also around a region: a person looks where a neurite goes on.
    write_slices(path, outcome.volume.channel(outcome.result.options.channel or 1))


def _write_probability(path: Path, outcome: Outcome) -> None:
    write_volume(path, Volume(outcome.result.probability[None]))


#: The function that writes each part, in the order of writing: the linker file and the report name
#: the other files and come after them.
WRITERS: dict[str, Callable[[Path, Outcome], None]] = {
    "swc": _write_tree,
    "mask": _write_mask,
    "preview": _write_preview,
    "doubts": _write_doubts,
    "pieces": _write_pieces,
    "ano": _write_linker,
    "report": _write_report,
    "view": _write_view,
    "slices": _write_slices,
    "probability": _write_probability,
}
