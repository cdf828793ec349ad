"""`StageTimer`: the time that each stage of a run takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Records how long the stages of a run take.

        stages = StageTimer()
        with stages("trace"):
            ...

    Attributes:
        seconds: the time of every complete stage, in the order of their ends; the times of a stage
            that runs several times are added. The time of a stage within another counts once, as
            that of the inner one.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Record the time until the end of the `with` block; a block that raises is not recorded.

        Args:
            stage: the name of the stage.
        """
        before, self._within = self._within, 0.0
        start = time.perf_counter()
        yield
        whole = time.perf_counter() - start
        self.seconds[stage] = self.seconds.get(stage, 0.0) + whole - self._within
        self._within = before + whole
