"""The check of a request: its limits, and its parameters with all defaults written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec

from dineuro_bridge.errors import BadParameter, MissingDependency
from dineuro_bridge.option_table import retrace_names
from dineuro_bridge.options import OPTIONS, TraceOptions, check_in_blocks
from dineuro_model.catalog import ModelInfo
from dineuro_server.jobs.kinds import KINDS, JobKind, kind_named
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.settings import Settings

#: Options that a retrace may change; the others stay those of the earlier job.
RETRACE_OPTIONS = retrace_names(OPTIONS.values())


def checked(
    spec: JobSpec, models: Sequence[ModelInfo], earlier_job: Callable[[str], Job]
) -> JobSpec:
    """The request with all parameters written out, and with the input of a retrace.

    Args:
        spec: the request of a client.
        models: the installed networks. A request names one of them; a path would reveal which
            files exist on the server.
        earlier_job: returns the earlier job of a retrace by its id; its errors pass through.

    Raises:
        BadParameter: names the parameter that is wrong.
    """
    in_blocks = spec.place is not None and spec.place.in_blocks
    kind = KINDS["brain"] if in_blocks else kind_named(spec.kind)
    if not -10 <= spec.priority <= 10:
        raise BadParameter(f"priority {spec.priority}: must be from -10 to 10")
    if spec.time_limit_s is not None and not 0 < spec.time_limit_s < 1e9:
        raise BadParameter(f"time limit {spec.time_limit_s}: must be positive seconds")
    if spec.source is not None:
        return _retrace(kind, spec, earlier_job)
    if spec.input is None:
        raise BadParameter(f"{spec.kind}: needs an input, or for a retrace an earlier job")
    options = TraceOptions.from_dict(spec.parameters)
    names = [model.name for model in models]
    if options.model is not None and options.model not in names:
        raise BadParameter(
            f"model {options.model}: is not installed; installed: {', '.join(names)}"
        )
    if kind.in_blocks:
        check_in_blocks(options)
    return replace(spec, kind=kind.name, parameters=options.as_dict())


def _retrace(kind: JobKind, spec: JobSpec, earlier_job: Callable[[str], Job]) -> JobSpec:
    if not kind.retraces or spec.source is None:
        raise BadParameter(f"{spec.kind}: needs an input; only a retrace takes a job")
    source = earlier_job(spec.source)
    fixed = [name for name in spec.parameters if name not in RETRACE_OPTIONS]
    if fixed:
        raise BadParameter(
            f"{fixed[0]}: is that of the earlier job and cannot change; a retrace may set "
            f"{', '.join(RETRACE_OPTIONS)}"
        )
    options = TraceOptions.from_dict({**source.parameters, **spec.parameters})
    return replace(spec, parameters=options.as_dict(), input=source.input, place=source.place)


def check_dask(settings: Settings) -> None:
    """Refuse what would run in blocks without the library for it.

    Raises:
        MissingDependency: Dask is not installed.
    """
    if settings.block_workers[0] + bool(settings.scheduler) and not find_spec("distributed"):
        raise MissingDependency(
            "volumes that are larger than the memory need Dask on the server: pip install "
            "'dineuro[brain]' there, or trace a part (roi)"
        )
