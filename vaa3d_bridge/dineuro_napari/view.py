"""The layers of a result in a viewer, and where a click or a doubt lies in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dineuro_napari.editing import State, touched_nodes
from dineuro_napari.image import Picture
from dineuro_napari.layers import (
    confidences,
    doubt_colours,
    doubt_layer,
    mask_layer,
    tree_data,
    tree_layer,
)
from dineuro_napari.runs import Outcome

#: Pixels around a click within which a node is met, and pixels of a voxel at a doubt at least.
_REACH, _CLOSE = 8.0, 3.0
#: Voxels of a line of sight to both sides of its begin.
_FAR = 1e5


class ResultLayers:
    """The layers of a result.

    Args:
        viewer: napari's.
        picture: that was traced.
        outcome: of the trace.
    """

    def __init__(self, viewer: Any, picture: Picture, outcome: Outcome) -> None:
        self.viewer, self.picture, self.outcome = viewer, picture, outcome
        self._confidence = confidences(outcome.tree, outcome.report.get("segments", ()))
        self._doubts = list(outcome.report.get("doubts", ()))
        self._state: State | None = None
        self.tree: Any = None
        self.doubts: Any = None
        self.chosen: Any = None

    def show(
        self, state: State, keys: Mapping[str, Callable[[], None]], click: Callable[..., Any]
    ) -> None:
        """Add the layers; the tree's is the chosen one, and has the keys and the clicks."""
        name, place = self.picture.name, self.picture.placement
        add = self._add
        add(mask_layer(self.outcome.mask, self.picture.shape, f"{name} mask", place))
        self.doubts = add(doubt_layer(self._doubts, f"{name} doubts", place))
        self.chosen = add(
            (
                np.zeros((0, 3)),
                {"name": f"{name} selection", "ndim": 3, "size": 3, "face_color": "white", **place},
                "points",
            )
        )
        self.tree = add(
            tree_layer(
                state.tree, state.ids, name=f"{name} tree", confidence=self._confidence,
                placement=place,
            )
        )  # fmt: skip
        self._state = state
        self.tree.mouse_drag_callbacks.append(click)
        for key, action in keys.items():
            self.tree.bind_key(key, lambda _, action=action: action(), overwrite=True)
        self.viewer.layers.selection.active = self.tree
        self.update(state)

    def update(self, state: State) -> None:
        """Show the tree after an edit."""
        self._state = state
        data, columns = tree_data(state.tree, state.ids, self._confidence)
        self.tree.data = data
        self.tree.features = columns
        self.tree.refresh_colors()
        self.tree.events.edge_color()  # napari does not draw the new colours by itself
        self.tree.metadata["comments"] = state.tree.comments
        if self.doubts in self.viewer.layers and self._doubts:
            self.doubts.border_color = doubt_colours(self._doubts, state.answers)

    def mark(self, node: int | None) -> None:
        """Show what an edit of a node touches."""
        if self._state is None or self.chosen not in self.viewer.layers:
            return
        none = node is None or node not in self._state.ids
        self.chosen.data = np.zeros((0, 3)) if none else touched_nodes(self._state, int(node or 0))
        self.chosen.selected_data = set()

    def look_at(self, place: Any) -> None:
        """Move slices and camera to a place, z, y, x in voxels."""
        world = np.asarray(self.tree.data_to_world(place), dtype=np.float64)[-3:]
        axes = list(range(self.viewer.dims.ndim))[-3:]
        self.viewer.dims.set_point(axes, world.tolist())
        camera = camera_of(self.viewer)
        camera.center = world.tolist()
        camera.zoom = max(camera.zoom, _CLOSE / float(np.min(np.abs(self.tree.scale))))

    def _add(self, layer: Any) -> Any:
        data, arguments, kind = layer
        return getattr(self.viewer, f"add_{kind}")(data, **arguments)


def line_of_sight(layer: Any, event: Any) -> tuple[Any, Any]:
    """Both ends of the line of a click, z, y, x in voxels; the same place twice in a slice."""
    begin = np.asarray(layer.world_to_data(event.position), dtype=np.float64)
    if event.view_direction is None or len(event.dims_displayed) < 3:
        return begin, begin
    beyond = np.add(event.position, event.view_direction)
    along = np.asarray(layer.world_to_data(beyond), dtype=np.float64) - begin
    return begin - _FAR * along, begin + _FAR * along


def reach_of(viewer: Any, layer: Any) -> float:
    """The distance in voxels within which a click meets a node."""
    return float(max(1.0, _REACH / (camera_of(viewer).zoom * np.min(np.abs(layer.scale)))))


def camera_of(viewer: Any) -> Any:
    """The camera, which napari 0.9 moved."""
    return getattr(viewer, "scene", viewer).camera
