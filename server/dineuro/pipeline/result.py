"""The results of the pipeline, in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.report import Report
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.confidence import Segments
from dineuro_tracing.doubts import Doubt


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A reconstruction.

    Attributes:
        tree: in the unit of the options, coordinates of the full volume.
        mask: (1, Z, Y, X) uint8 of the full volume's size: 255 where the probability reaches the
            threshold, 0 elsewhere and outside the region.
        probability: (Z, Y, X) uint8 of the region, in which the tree was traced.
        overlay: the tree in voxels of the region, for pictures.
        intensity: (Z, Y, X) of the region, the samples of the input.
        report: figures and warnings.
        segments: the confidence of every segment; its nodes are the tree's.
        doubts: the most doubtful places, in voxels of the full volume.
        enhancer: the enhancer of the probability: "dineuro", "classical" or "none"; "mask" for a
            mask of the user.
        model: name and SHA-256 of the network; None without a network.
        options: the user's choices.
        runtime: what evaluated the network for this result, such as "openvino on cpu in bfloat16";
            None where no network was evaluated.
        device: the device that the user chose for the network.
        seconds: the time of every stage.
    """

    tree: Tree
    mask: Volume
    probability: NDArray[np.uint8]
    overlay: Tree
    intensity: NDArray[Any]
    report: Report
    segments: Segments
    doubts: tuple[Doubt, ...]
    enhancer: str
    model: tuple[str, str] | None
    runtime: str | None
    options: TraceOptions
    device: str
    seconds: dict[str, float]

    def __repr__(self) -> str:
        report = self.report
        return (
            f"Result({report.nodes} nodes, {report.trees} trees, {report.tips} tips, "
            f"length {report.length:.1f}, {report.certain:.0%} certain, "
            f"{len(self.doubts)} doubts, {len(report.warnings)} warnings)"
        )

    def _repr_png_(self) -> bytes:
        """Three projections with the tree, which Jupyter shows."""
        from dineuro.files.preview import preview  # a picture needs PIL, and no other result does

        file = io.BytesIO()
        preview(self.intensity, self.overlay).save(file, format="PNG")
        return file.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class EnhancedVolume:
    """An enhanced volume without a tree.

    Attributes:
        mask, probability, intensity, enhancer, model, runtime, options, device, seconds: see
            `Result`.
        figures: the figures of the mask under the names of `Report`.
    """

    mask: Volume
    probability: NDArray[np.uint8]
    intensity: NDArray[Any]
    figures: dict[str, Any]
    enhancer: str
    model: tuple[str, str] | None
    runtime: str | None
    options: TraceOptions
    device: str
    seconds: dict[str, float]
