"""The application: its routes, its problems, and what every answer has in common."""

from __future__ import annotations

import logging
import time
from collections.abc import Set
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dineuro_bridge.errors import BadParameter
from dineuro_server.doors.http import (
    edits,
    jobs,
    operation,
    page,
    paths,
    problems,
    submissions,
    tiles,
)
from dineuro_server.doors.http.openapi import DESCRIPTION
from dineuro_server.doors.http.service import Service

#: Routes whose requests are logged at the level "debug".
_FREQUENT = ("/livez", "/readyz", "/metrics")

log = logging.getLogger(__name__)


def make_app(service: Service) -> ASGIApp:
    """The HTTP door of a server, as an ASGI application."""
    app = FastAPI(
        title="DINeuro",
        version=version("dineuro"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_check_query)],
    )
    app.state.service = service
    problems.install(app)
    for module in (submissions, jobs, tiles, edits, paths, operation, page):
        app.include_router(module.router)
    operation.add_docs(app)
    return _Answers(app, service)


async def _check_query(request: Request) -> None:
    """Refuse parameters that a route does not have; a submission checks its own.

    Raises:
        BadParameter: names the unknown parameter.
    """
    if request.method == "POST":
        return
    names = _query_names(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in names:
            valid = f": this address has {', '.join(sorted(names))}" if names else ""
            raise BadParameter(f"{name[:40]}: is no parameter here{valid}")


def _query_names(dependant: Dependant) -> Set[str]:
    """The query parameters of a route and of its dependencies."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query_names(one) for one in dependant.dependencies))


class _Answers:
    """Wraps the application: headers for all answers, HEAD for every GET, log and count."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if is_head else scope
        start, status = time.monotonic(), 0

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope["path"], MutableHeaders(scope=message))
                await send(message)
                if is_head:  # the answer ends here; the server then reports a disconnect
                    await send({"type": "http.response.body", "body": b""})
            elif not is_head:
                await send(message)

        try:
            await self._app(inner, receive, forward)
        except Exception:
            # `problems` has logged an error that it answered with 500; it is raised again here.
            # An error after the start of an answer is not in the log yet.
            if status != 500:
                log.exception("an answer was interrupted")
        finally:
            self._record(scope, inner, status, time.monotonic() - start)

    def _record(self, scope: Scope, inner: Scope, status: int, seconds: float) -> None:
        """Log and count an answered request."""
        method, path = scope["method"], scope["path"]
        route = getattr(inner.get("route"), "path", None)
        self._service.engine.metrics.answered(method, route or "unmatched", status)
        peer = (scope.get("client") or ("", 0))[0]
        owner = inner.get("state", {}).get("owner", "")
        log.log(
            logging.DEBUG if route in _FREQUENT else logging.INFO,
            "%s %s: %d after %.3f s, %s from %s",
            method,
            path[:200],
            status,
            seconds,
            owner or "nobody",
            peer,
            extra={
                "method": method,
                "route": route or path[:200],
                "status": status,
                "seconds": round(seconds, 3),
                "owner": owner,
                "peer": peer,
            },
        )


def _add_headers(path: str, headers: MutableHeaders) -> None:
    """Answers are private and are what their type says, unless their route says otherwise."""
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if not path.startswith(operation.STATIC):
        headers.setdefault("Cache-Control", "no-store")
