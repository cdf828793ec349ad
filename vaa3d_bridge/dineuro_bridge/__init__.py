"""Volumes, trees and their file formats, which every other package builds on."""

from dineuro_bridge.trees.marker import Marker, read_markers, write_markers
from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume, write_volume
from dineuro_bridge.volumes.volume import Header, Volume

__all__ = [
    "Header",
    "Marker",
    "Tree",
    "Volume",
    "open_volume",
    "read_header",
    "read_markers",
    "read_swc",
    "read_volume",
    "write_markers",
    "write_swc",
    "write_volume",
]
