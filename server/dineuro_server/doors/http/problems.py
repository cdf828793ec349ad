"""Every error as problem+json (RFC 9457), with an id that stands in the log too.

What a client may know of an error is its message, which the project's own errors are written for.
Of anything else it learns the id alone; the log has the rest.
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dineuro_bridge.errors import DineuroError, FileAccess, TryLater, Unauthorized

MEDIA_TYPE = "application/problem+json"
#: What is said of errors that are the server's own: their messages may name its paths.
_OWN = "an error of the server's own: its log has it under this id"

log = logging.getLogger(__name__)


def problem(
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    cause: Exception | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as an answer, told in the log under the same id; there with its cause, if given."""
    identity = secrets.token_hex(8)
    level = logging.ERROR if status >= 500 and status not in (503, 507) else logging.INFO
    log.log(
        level, "problem %s: %s %s: %s", identity, status, code, detail,
        extra={"problem": identity}, exc_info=cause,
    )  # fmt: skip
    body = {
        "type": f"urn:dineuro:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "id": identity,
        **more,
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def problem_of(error: DineuroError, **more: Any) -> JSONResponse:
    """The problem that one of the project's own errors is.

    Args:
        error: it has a status, a code and a message that may be told.
        more: further members, such as the job's id.
    """
    headers = {}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="dineuro"'
    if isinstance(error, FileAccess):
        return problem(error.status, error.code, _OWN, headers, error, **more)
    return problem(error.status, error.code, str(error), headers, **more)


def install(app: FastAPI) -> None:
    """Have the application answer every error like this."""
    app.add_exception_handler(DineuroError, _own)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unexpected)


async def _own(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DineuroError):
        raise TypeError("registered for DineuroError alone")
    return problem_of(error)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """An error that nobody has thought of."""
    return problem(500, DineuroError.code, _OWN, cause=error)


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    """What the framework says: no such route, no such method, a broken form."""
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException alone")
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status_code, "bad_request")
    headers = None if error.headers is None else dict(error.headers)
    return problem(error.status_code, code, str(error.detail), headers)


async def _of_validation(_: Request, error: Exception) -> JSONResponse:
    """A path or query parameter that is not what its type says."""
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError alone")
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    return problem(422, "bad_parameter", f"{where}: {first['msg']}")
