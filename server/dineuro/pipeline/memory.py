"""The network's probability of the last volume, for a further request of the same volume.

The network takes most of the time of a job, and its probability depends on the image, the network
and the interpolation of slices alone. Everything after it depends on the options too, and is
computed anew. A request therefore gets the same result with a memory and without one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SegmentationMemory:
    """Holds one probability; not for two threads at the same time.

    Args:
        max_bytes: size of the largest probability that is held.
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        self._max_bytes = max_bytes
        self._key = b""
        self._probability: NDArray[np.uint8] | None = None

    def recall(
        self,
        intensity: NDArray[Any],
        network: str,
        compute: Callable[[], NDArray[np.uint8]],
    ) -> NDArray[np.uint8]:
        """The probability of an image, computed unless it is the last one.

        Args:
            intensity: (Z, Y, X), the image.
            network: a name of the network with everything else that the probability depends on.
            compute: computes the probability.

        Returns:
            (Z, Y, X) uint8, read-only.
        """
        key = _key(intensity, network)
        if self._probability is None or key != self._key:
            self._probability = None  # the memory is free while the next one is computed
            probability = compute()
            probability.flags.writeable = False
            if probability.nbytes > self._max_bytes:
                return probability
            self._key, self._probability = key, probability
        return self._probability


def _key(intensity: NDArray[Any], network: str) -> bytes:
    """A hash of the image and the network."""
    digest = hashlib.blake2b(f"{network} {intensity.dtype} {intensity.shape}".encode())
    for plane in intensity:  # one at a time: a view of the volume need not be contiguous
        digest.update(np.ascontiguousarray(plane).data)
    return digest.digest()
