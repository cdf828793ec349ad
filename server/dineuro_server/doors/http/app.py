"""The application: its routes, its problems, and a line in the log for every request."""

from __future__ import annotations

import logging
import time
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dineuro_server.doors.http import jobs, operation, page, problems, submissions
from dineuro_server.doors.http.openapi import DESCRIPTION
from dineuro_server.doors.http.service import Service

log = logging.getLogger(__name__)


def make_app(service: Service) -> ASGIApp:
    """The HTTP door of a server, as an ASGI application."""
    app = FastAPI(
        title="DINeuro",
        version=version("dineuro"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    problems.install(app)
    for router in (submissions.router, jobs.router, operation.router, page.router):
        app.include_router(router)
    operation.add_docs(app)
    return _AccessLog(app, service)


class _AccessLog:
    """Wraps the application: logs and counts every request."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 0

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, forward)
        except Exception:
            # `problems` has logged an error that it answered with 500; it is raised again here.
            # An error after the start of an answer is not in the log yet.
            if status != 500:
                log.exception("an answer was interrupted")
        finally:
            self._record(scope, status, time.monotonic() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self._service.engine.metrics.answered(scope["method"], route, status)
        level = logging.DEBUG if route in ("/livez", "/readyz", "/metrics") else logging.INFO
        log.log(
            level, "%s %s: %d after %.3f s", scope["method"], route, status, seconds,
            extra={
                "method": scope["method"], "route": route, "status": status,
                "seconds": round(seconds, 3),
            },
        )  # fmt: skip
