"""Every error as problem+json (RFC 9457), with an id that is also in the log.

A client gets the message of the project's own errors, which are written for it. Of any other error
it gets the id only, and the log has the rest.
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
#: The detail of internal errors, whose messages may hold paths of the server.
_INTERNAL = "an error of the server's own: its log has it under this id"

log = logging.getLogger(__name__)


def problem_response(
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    cause: Exception | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as a response; the log gets it under the same id.

    Args:
        status: the HTTP status.
        code: the error's word for programs.
        detail: the error's sentence for people.
        headers: further headers.
        cause: exception whose traceback goes into the log; None for expected errors.
        more: further members of the problem, such as the job's id.
    """
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
    """The problem of one of the project's own errors.

    Args:
        error: the error; its class has the status and the code.
        more: further members of the problem, such as the job's id.
    """
    headers = {}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="dineuro"'
    if isinstance(error, FileAccess):
        return problem_response(error.status, error.code, _INTERNAL, headers, error, **more)
    return problem_response(error.status, error.code, str(error), headers, **more)


def install(app: FastAPI) -> None:
    """Have the application answer every error with a problem."""
    app.add_exception_handler(DineuroError, _dineuro_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)


async def _dineuro_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DineuroError):
        raise TypeError("registered for DineuroError only")
    return problem_of(error)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """The problem of an unexpected error."""
    return problem_response(500, DineuroError.code, _INTERNAL, cause=error)


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    """The problem of the framework's own errors, such as an unknown route or method."""
    if not isinstance(error, HTTPException):
        raise TypeError("registered for HTTPException only")
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status_code, "bad_request")
    headers = None if error.headers is None else dict(error.headers)
    return problem_response(error.status_code, code, str(error.detail), headers)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    """The problem of a path or query parameter that does not fit its type."""
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for RequestValidationError only")
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    return problem_response(422, "bad_parameter", f"{where}: {first['msg']}")
