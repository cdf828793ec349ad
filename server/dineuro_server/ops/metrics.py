"""What a server tells Prometheus. No label carries a client's name, file or job."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from dineuro_bridge.errors import DineuroError
from dineuro_server.jobs.records import Job, State
from dineuro_server.workers.task import TaskDone

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


class Metrics:
    """The figures of one server, in a registry of their own.

    Args:
        gauges: by name what is measured when somebody asks, each with its help text.
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        for name, (text, measure) in gauges.items():
            Gauge(f"dineuro_{name}", text, registry=self._registry).set_function(measure)
        self._ended = Counter(
            "dineuro_jobs",
            "Jobs that ended, by kind, end, error and whether the store had the answer",
            ["kind", "state", "code", "reused"],
            registry=self._registry,
        )
        self._lost = Counter(
            "dineuro_workers_lost", "Workers that died or were killed", registry=self._registry
        )
        self._stages = Histogram(
            "dineuro_stage_seconds",
            "How long a stage of a job took",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._voxels = Counter("dineuro_voxels", "Voxels gone through", registry=self._registry)
        self._gpu = Gauge(
            "dineuro_gpu_memory_bytes",
            "The most GPU memory that the last job took",
            registry=self._registry,
        )
        self._requests = Counter(
            "dineuro_http_requests",
            "HTTP requests answered, by method, route and status",
            ["method", "route", "status"],
            registry=self._registry,
        )

    def ended(
        self,
        job: Job,
        state: State,
        error: DineuroError | None,
        done: TaskDone | None,
        *,
        reused: bool,
    ) -> None:
        """A job has ended."""
        code = "" if error is None else error.code
        self._ended.labels(job.kind, state, code, str(reused).lower()).inc()
        if done is not None:
            for stage, seconds in done.seconds.items():
                self._stages.labels(stage).observe(seconds)
            self._voxels.inc(done.voxels)
            self._gpu.set(done.gpu_bytes)

    def worker_lost(self) -> None:
        """A worker died or was killed."""
        self._lost.inc()

    def answered(self, method: str, route: str, status: int) -> None:
        """An HTTP request was answered; `route` is the pattern and not the path."""
        self._requests.labels(method, route, str(status)).inc()

    def page(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)
