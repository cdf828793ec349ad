"""The server's figures for Prometheus; no label holds a file or a job.

The figures of each owner are apart, because an owner may not count the jobs of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dineuro_bridge.errors import DineuroError
from dineuro_server.jobs.records import Job, State, WorkFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST
#: Figures that are measured at each request, with their help text.
GAUGES = {
    "queue": "Jobs that wait",
    "running": "Jobs that run",
    "uploads": "Uploads in progress",
    "ready": "1 when every worker is warm",
    "memory_bytes": "Memory of the server's process",
    "worker_memory_bytes": "Memory of all workers",
    "disk_free_bytes": "Free space on the disk of the state folder",
}
#: Returns the number of queued and running jobs by owner and state.
OwnerCounts = Callable[[], Mapping[tuple[str, State], int]]
#: Bounds of the histograms' buckets (seconds).
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


class Metrics:
    """The figures of one server, in a registry of their own.

    Args:
        gauges: the measurement of each name of `GAUGES`.
        owner_counts: counts the queued and running jobs by owner and state.
    """

    def __init__(
        self, gauges: Mapping[str, Callable[[], float]], owner_counts: OwnerCounts
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        for name, text in GAUGES.items():
            gauge = Gauge(f"dineuro_{name}", text, registry=self._registry)
            gauge.set_function(gauges[name])
        build = Gauge(
            "dineuro_build_info", "1; version of the server", ["version"], registry=self._registry
        )
        build.labels(version("dineuro")).set(1)
        self._owners = CollectorRegistry()
        self._owners.register(_OwnerJobs(owner_counts))
        self._wait = Histogram(
            "dineuro_queue_seconds",
            "Time from the submission of a job to its begin",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._ended = Counter(
            "dineuro_jobs",
            "Jobs that ended, by kind, state, error, and whether the store answered them",
            ["kind", "state", "code", "reused"],
            registry=self._registry,
        )
        self._lost = Counter(
            "dineuro_workers_lost", "Workers that died or were killed", registry=self._registry
        )
        self._stages = Histogram(
            "dineuro_stage_seconds",
            "Run time of a stage of a job",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._voxels = Counter(
            "dineuro_voxels", "Voxels of all volumes that were done", registry=self._registry
        )
        self._gpu = Gauge(
            "dineuro_gpu_memory_bytes",
            "Peak of the GPU memory of the last job",
            registry=self._registry,
        )
        self._requests = Counter(
            "dineuro_http_requests",
            "HTTP requests answered, by method, route and status",
            ["method", "route", "status"],
            registry=self._registry,
        )

    def begun(self, job: Job) -> None:
        """Measure how long a job waited in the queue, at its first begin."""
        if job.started is not None and job.attempts == 1:
            self._wait.observe(max(0.0, job.started - job.created))

    def ended(
        self,
        job: Job,
        state: State,
        error: DineuroError | None,
        figures: WorkFigures | None,
        *,
        reused: bool,
    ) -> None:
        """Count the end of a job.

        Args:
            job: the job before its end.
            state: "done", "failed" or "cancelled".
            error: the error of a job that is not done.
            figures: the worker's measurements of a job that it did.
            reused: whether the job was answered from the store.
        """
        code = "" if error is None else error.code
        self._ended.labels(job.kind, state, code, str(reused).lower()).inc()
        if figures is not None:
            for stage, seconds in figures.seconds.items():
                self._stages.labels(stage).observe(seconds)
            self._voxels.inc(figures.voxels)
            self._gpu.set(figures.gpu_bytes)

    def worker_lost(self) -> None:
        """Count a worker that died or was killed."""
        self._lost.inc()

    def answered(self, method: str, route: str, status: int) -> None:
        """Count an answered HTTP request; `route` is the pattern, not the path."""
        self._requests.labels(method, route, str(status)).inc()

    def page(self, *, owners: bool) -> bytes:
        """The figures in the text format of Prometheus.

        Args:
            owners: whether the figures of each owner are among them.
        """
        page = generate_latest(self._registry)
        return page + generate_latest(self._owners) if owners else page


class _OwnerJobs(Collector):
    """The queued and running jobs of each owner, counted at each request."""

    def __init__(self, counts: OwnerCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        family = GaugeMetricFamily(
            "dineuro_owner_jobs",
            "Jobs of an owner that wait or run",
            labels=["owner", "state"],
        )
        for (owner, state), count in self._counts().items():
            family.add_metric([owner, state], count)
        yield family

    def describe(self) -> list[Metric]:
        """Nothing, so that a registration does not measure."""
        return []
