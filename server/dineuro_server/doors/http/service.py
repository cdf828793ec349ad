"""What all routes need: the engine, the settings, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dineuro_bridge.errors import Forbidden, Unauthorized
from dineuro_server.access.tokens import LOCAL, TokenFile, is_loopback
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job
from dineuro_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """One server behind its HTTP door; `tokens` is None where nobody is asked."""

    engine: Engine
    settings: Settings
    tokens: TokenFile | None


def service_of(request: Request) -> Service:
    """The server that a request came to."""
    service: Service = request.app.state.service
    return service


_bearer = HTTPBearer(
    auto_error=False, description="A token made by `dineuro keys token`, where the server asks."
)
ServiceOf = Annotated[Service, Depends(service_of)]


def owner_of(
    request: Request,
    service: ServiceOf,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Who is asking.

    Raises:
        Unauthorized: no token, or one that is not known.
        Forbidden: where no token is asked for, a browser was sent here by some page elsewhere.
    """
    owner = _holder_of(service, given)
    if owner is None and not service.settings.insecure:
        _check_local(request)
    return owner or LOCAL


def may_watch(
    service: ServiceOf, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Whoever has a token, or anyone where none is asked for: figures name no client and no file.

    Prometheus asks a container by a name of its own, so that the name is not looked at.

    Raises:
        Unauthorized: no token, or one that is not known.
    """
    _holder_of(service, given)


def _holder_of(service: Service, given: HTTPAuthorizationCredentials | None) -> str | None:
    """Whose token it is; None where none is asked for."""
    if service.tokens is None:
        return None
    if given is None:
        raise Unauthorized("a token is needed: send 'Authorization: Bearer TOKEN'")
    return service.tokens.owner(given.credentials)


def _check_local(request: Request) -> None:
    """Without tokens, any page that a browser on this machine shows could ask; it is turned away.

    A page elsewhere is known by its Origin, or by a name of its own that it led to this machine.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise Forbidden(f"{host}: this server is for its own machine: ask it as localhost")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Forbidden(f"{origin}: pages from elsewhere may not use this server")


OwnerOf = Annotated[str, Depends(owner_of)]


def job_of(job_id: str, service: ServiceOf, owner: OwnerOf) -> Job:
    """The job that the path names, if it is the asker's."""
    return service.engine.get(job_id, owner)


JobOf = Annotated[Job, Depends(job_of)]
