"""Arrays of parents: (N,) int64, the index of each node's parent, -1 for a root."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def parents_or_self(parents: Indices) -> Indices:
    """(N,) the parent of each node; a root is its own."""
    return np.where(parents >= 0, parents, np.arange(len(parents)))


def last_ancestors(above: Indices) -> Indices:
    """(N,) the node at which the way up from each node ends.

    Pointer jumping: each round doubles the steps taken.

    Args:
        above: (N,) the next node of each node's way; a node that names itself ends the way.
    """
    while not np.array_equal(further := above[above], above):
        above = further
    return above
