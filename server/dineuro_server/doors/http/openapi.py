"""What /openapi.json says of the routes whose bodies the framework does not read."""

from __future__ import annotations

from typing import Any

from dineuro_bridge.option_table import Option
from dineuro_bridge.options import OPTIONS
from dineuro_bridge.parts import Part
from dineuro_server.doors.http.negotiation import offers
from dineuro_server.doors.http.problems import MEDIA_TYPE
from dineuro_server.doors.http.records import JobRecord, Problem
from dineuro_server.doors.http.uploads import RAW_TYPES
from dineuro_server.jobs.kinds import JobKind

DESCRIPTION = """\
A microscope stack goes in; the neuron's tree (SWC), the enhanced volume and a report come back.

    curl --data-binary @neuron.tif 'http://localhost:8000/v1/trace?name=neuron.tif' > neuron.swc

Errors are problem+json (RFC 9457) with a `code` for programs and an `id` that stands in the log.
"""

_SWC_EXAMPLE = (
    "# DINeuro 0.1.0\n# image neuron.tif\n# n type x y z radius parent\n1 1 8 25 15 4.2 -1\n"
)
#: The description of a body that is no text.
BINARY = {"schema": {"type": "string", "format": "binary"}}
_CONTROLS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("priority", {"type": "integer", "minimum": -10, "maximum": 10, "default": 0},
     "Of your own jobs the highest goes first."),
    ("time_limit", {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e9},
     "Seconds that the job may run; the server's own limit is kept in any case."),
    ("deadline", {"type": "number", "minimum": 0, "exclusiveMaximum": 1e9},
     "Seconds to wait for the result; after that the answer is 202 with the job's address."),
    ("reuse", {"type": "boolean", "default": True},
     "Whether the answer may come from the store, where the same was asked before."),
    ("path", {"type": "string"},
     "A file or an OME-Zarr folder on the server's machine, below a folder that the server reads; "
     "no body."),
    ("fingerprint", {"type": "string"},
     "With `path`: of the client's own file, to notice that the path means another file there."),
)  # fmt: skip

PROBLEMS = {
    400: "The request cannot be understood.",
    401: "No token, or one that is not known.",
    403: "Not allowed.",
    404: "There is no such job or file, or the job is another's.",
    406: "The answer does not exist in any of the formats accepted.",
    409: "The idempotency key was used for another request, the job is in another state, or the "
    "file is another one.",
    412: "Somebody else has edited the tree; the answer has its record under `current`.",
    413: "Larger, or took more time or memory, than allowed.",
    415: "No volume that is read here.",
    422: "A parameter out of its range, or a damaged file.",
    428: "The request does not say which revision it is based on.",
    429: "Too many jobs or bytes of yours; Retry-After says when to try again.",
    503: "The queue is full, or the server stops; Retry-After says when to try again.",
    507: "The server's disk is full.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that are problems."""
    return {
        status: {"description": PROBLEMS[status], "model": Problem, "content": {MEDIA_TYPE: {}}}
        for status in statuses
    }


def content_schema(part: Part) -> dict[str, str]:
    """The JSON schema of a part's content."""
    return {
        "text": {"type": "string"},
        "json": {"type": "object"},
        "volume": BINARY["schema"],
        "binary": BINARY["schema"],
    }[part.content]


def _content(part: Part | None) -> dict[str, Any]:
    """The description of one media type of an answer; a part of None is the zip file."""
    if part is None:
        return BINARY
    example = {"example": _SWC_EXAMPLE} if part.name == "swc" else {}
    return {"schema": content_schema(part), **example}


def submission_docs(kind: JobKind) -> dict[str, Any]:
    """The keywords of a route that takes a volume."""
    results = {media_type: _content(part) for media_type, part in offers(kind).items()}
    parameters = [*_parameters(), *_headers()]
    if kind.retraces:
        parameters.append(
            _query_parameter("job", {"type": "string"}, "A finished job, traced again; no body.")
        )
    return {
        "responses": {
            200: {"description": "The result, as Accept wants it.", "content": results},
            202: {"description": "The job goes on; see Location.", "model": JobRecord},
            **problems(400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 503, 507),
        },
        "openapi_extra": {
            "parameters": parameters,
            "requestBody": {
                "required": False,
                "description": "The volume, unless `path` or `job` names it.",
                "content": {
                    **dict.fromkeys(RAW_TYPES[:5], BINARY),
                    "multipart/form-data": {"schema": _form_schema()},
                },
            },
        },
    }


def _parameters() -> list[dict[str, Any]]:
    """The query of a submission; lists are written with commas."""
    options = [_option_parameter(option) for option in OPTIONS.values()]
    return options + [_query_parameter(*control) for control in _CONTROLS]


def _option_parameter(option: Option) -> dict[str, Any]:
    unit = f" Unit: {option.unit}." if option.unit else ""
    return _query_parameter(option.name, option.schema(), option.help + unit, option.example)


def _query_parameter(
    name: str, schema: dict[str, Any], description: str, example: Any = None
) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": name, "in": "query", "required": False, "schema": schema,
        "description": description,
    }  # fmt: skip
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    if example is not None:
        parameter["examples"] = {"typical": {"value": example}}
    return parameter


def _headers() -> list[dict[str, Any]]:
    return [
        {
            "name": "Prefer", "in": "header", "required": False, "schema": {"type": "string"},
            "description": "`respond-async` answers with the job at once; `wait=10` waits 10 s.",
        },
        {
            "name": "Idempotency-Key", "in": "header", "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": "Sent again with the same key, a request gets the first one's job.",
        },
    ]  # fmt: skip


def _form_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "required": ["file"],
        "description": "The volume; the query's parameters may be fields of the form instead.",
    }
