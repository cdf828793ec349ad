"""Asynchronous following of a job: its events as they happen, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Event, Job


@contextmanager
def _woken_by(engine: Engine, job_id: str) -> Iterator[asyncio.Event]:
    """An event of this loop that is set at every event of a job."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(woken.set)

    unsubscribe = engine.subscribe(job_id, wake)
    try:
        yield woken
    finally:
        unsubscribe()


async def events_of(engine: Engine, job: Job, after: int) -> AsyncIterator[Event]:
    """The events of a job, until it has ended or waits for the next start of the server.

    Args:
        engine: the engine of the job.
        job: the job.
        after: number of the last event to leave out.

    Raises:
        NotFound: the job is removed meanwhile.
    """

    def current() -> tuple[Job, list[Event]]:
        # The job is read first, so that the events of a job that has ended include its end.
        return engine.get(job.id, job.owner), engine.events(job.id, job.owner, after)

    with _woken_by(engine, job.id) as woken:
        while True:
            woken.clear()
            latest, events = await run_in_threadpool(current)
            for event in events:
                after = event.number
                yield event
            if latest.ended or (engine.stopping and latest.state == "queued"):
                return
            await woken.wait()


async def ended(engine: Engine, job: Job, timeout: float) -> Job:
    """The job once it has ended, or its state after `timeout` seconds.

    A queued job is returned at once when the server shuts down.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    with _woken_by(engine, job.id) as woken:
        while not job.ended and (left := deadline - loop.time()) > 0:
            woken.clear()
            job = await run_in_threadpool(engine.get, job.id, job.owner)
            if job.ended or (engine.stopping and job.state == "queued"):
                break
            try:
                await asyncio.wait_for(woken.wait(), left)
            except TimeoutError:
                break
    return await run_in_threadpool(engine.get, job.id, job.owner)
