"""The ground floor: volumes, trees and the file formats that Vaa3D's users have."""

from dineuro_bridge.trees.marker import Marker, read_markers, write_markers
from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_header, read_volume, write_volume
from dineuro_bridge.volumes.volume import Header, Volume

__all__ = [
    "Header",
    "Marker",
    "Tree",
    "Volume",
    "read_header",
    "read_markers",
    "read_swc",
    "read_volume",
    "write_markers",
    "write_swc",
    "write_volume",
]
