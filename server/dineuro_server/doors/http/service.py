"""The dependencies of all routes: the engine, the settings, and the owner of the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dineuro_bridge.errors import Forbidden, LimitExceeded, Unauthorized
from dineuro_server.access.addresses import is_loopback
from dineuro_server.access.tokens import LOCAL, TokenFile
from dineuro_server.doors.http.conversions import Conversions
from dineuro_server.doors.http.path_finder import PathFinder
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job
from dineuro_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """One server behind its HTTP door.

    Attributes:
        engine: the engine of the jobs.
        settings: the server's settings.
        tokens: the admitted tokens; None if no token is required.
        zmq_healthy: whether the ZeroMQ door answers; True if it is off.
        conversions: makes the files of answers.
        paths: finds paths for edits.
    """

    engine: Engine
    settings: Settings
    tokens: TokenFile | None
    zmq_healthy: Callable[[], bool]
    conversions: Conversions = field(default_factory=Conversions)
    paths: PathFinder = field(default_factory=PathFinder)


async def service_of(request: Request) -> Service:
    """The server that a request is for."""
    service: Service = request.app.state.service
    return service


_bearer = HTTPBearer(
    auto_error=False,
    description="A token made by `dineuro keys token`, if the server requires one.",
)
ServiceOf = Annotated[Service, Depends(service_of)]
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def owner_of(
    request: Request,
    service: ServiceOf,
    credentials: Credentials,
) -> str:
    """The owner of a request.

    Raises:
        Unauthorized: the token is missing or invalid.
        Forbidden: the server requires no token, and a page of another site sent the request.
    """
    owner = _holder_of(service, credentials)
    if owner is None and not service.settings.insecure:
        _check_local(request)
    request.state.owner = owner or LOCAL  # for the log
    return owner or LOCAL


def watcher_of(service: ServiceOf, credentials: Credentials) -> str | None:
    """The reader of the figures: the holder of a token; None if no token is required.

    Prometheus addresses a container by the container's name, so that the Host header is not
    checked.

    Raises:
        Unauthorized: the token is missing or invalid.
    """
    return _holder_of(service, credentials)


def _holder_of(service: Service, credentials: HTTPAuthorizationCredentials | None) -> str | None:
    """The owner of the token; None if the server requires none."""
    if service.tokens is None:
        return None
    if credentials is None:
        raise Unauthorized("a token is needed: send 'Authorization: Bearer TOKEN'")
    return service.tokens.owner(credentials.credentials)


def _check_local(request: Request) -> None:
    """Refuse requests that a page of another site sent through a browser on this machine.

    Such a request has a foreign Origin, or a Host name that the site made point to this machine.

    Raises:
        Forbidden: it is such a request.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if not is_loopback(_split(f"//{host}").hostname or ""):
        raise Forbidden(f"{host}: this server is for its own machine only: use the name localhost")
    if origin is not None and _split(origin).netloc != host:
        raise Forbidden(f"{origin}: pages of other sites may not use this server")


def _split(address: str) -> SplitResult:
    """The parts of an address.

    Raises:
        Forbidden: the address is malformed.
    """
    try:
        return urlsplit(address)
    except ValueError as error:
        raise Forbidden(f"{address[:100]}: is no address") from error


OwnerOf = Annotated[str, Depends(owner_of)]


def job_of(job_id: str, service: ServiceOf, owner: OwnerOf) -> Job:
    """The job in the path, if it belongs to the owner of the request."""
    return service.engine.get(job_id, owner)


JobOf = Annotated[Job, Depends(job_of)]


async def body_of(request: Request, most: int, what: str) -> bytes:
    """The body of a request, at most so many bytes; `what` it is begins the sentence of the error.

    Raises:
        LimitExceeded: it is too long.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise LimitExceeded(f"{what} has at most {most} bytes")
    return bytes(body)
