"""The process that finds paths in stored probabilities: one request a line, one answer a line.

    (at the start)                                               ->  {}
    {"probability": PATH, "origin": [x, y, z], "from": [x, y, z], "to": [x, y, z],
     "threshold": …, "spacing": [z, y, x] or null, "limit_s": …}  ->  {"path": [[x, y, z, r], …],
                                                                      "supported": 0..1}
                                                                  or  {"code": …, "detail": …}

It keeps the last probability unpacked, so that a second path in it takes milliseconds, and drops it
when nobody asks for a while. Its memory is bounded.
"""

from __future__ import annotations

import json
import math
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import DineuroError, MemoryLimit
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.volumes.formats import read_volume
from dineuro_tracing.between import path_between

#: Bytes of the largest probability, and the memory beyond it that a search may take.
MOST_BYTES, _ROOM_BYTES = 2**31, 3 * 2**30
#: Seconds after which an unused probability is dropped.
_IDLE_S = 60.0


class Finder:
    """Finds paths, one after the other."""

    def __init__(self) -> None:
        self.forget()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The path of a request; errors become their code and text."""
        origin = np.array(request["origin"], dtype=np.float64)
        try:
            start, end = (np.array(request[name]) - origin for name in ("from", "to"))
            spacing = request["spacing"]
            found = path_between(
                self._probability(request["probability"]),
                tuple(start.tolist()),
                tuple(end.tolist()),
                threshold=request["threshold"],
                scale=VoxelScale(None if spacing is None else tuple(spacing)),
            )
        except DineuroError as error:
            return {"code": error.code, "detail": str(error)}
        except MemoryError:
            return {"code": MemoryLimit.code, "detail": "the search takes too much memory"}
        points = found.points + np.array([*origin, 0])
        return {"path": np.round(points, 2).tolist(), "supported": round(found.supported, 3)}

    def forget(self) -> None:
        """Drop the probability."""
        self._path, self._voxels = "", np.zeros((0, 0, 0), dtype=np.uint8)

    def _probability(self, path: str) -> NDArray[np.uint8]:
        if path != self._path:
            self.forget()
            self._voxels = read_volume(Path(path), max_bytes=MOST_BYTES).channel(1)
            self._path = path
        return self._voxels


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = size + MOST_BYTES + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # The loops are compiled before the first request, which has a time.
    path_between(np.full((3, 3, 3), 9, np.uint8), (0.0, 0.0, 0.0), (2.0, 2.0, 2.0), threshold=8)
    finder = Finder()
    print("{}", flush=True)  # noqa: T201  (the pipe to the server)
    while True:
        if not select.select([sys.stdin], [], [], _IDLE_S)[0]:
            finder.forget()
            continue
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        signal.alarm(math.ceil(request["limit_s"]) + 1)  # where the server was killed meanwhile
        print(json.dumps(finder.answer(request)), flush=True)  # noqa: T201  (see above)
        signal.alarm(0)


if __name__ == "__main__":
    main()
