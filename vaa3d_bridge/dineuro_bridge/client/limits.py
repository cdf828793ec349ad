"""The limits that a ZeroMQ server announces: a client checks them before it relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dineuro_bridge.errors import ServiceError

#: The largest limits that a server may announce: bytes, chunks, seconds.
_LARGEST_CHUNK, _LARGEST_CREDIT, _LONGEST_HEARTBEAT_S = 2**26, 1024, 600


def checked_limits(welcome: Mapping[str, Any]) -> Mapping[str, Any]:
    """The limits of a WELCOME.

    Raises:
        ServiceError: a limit with which no job could be done.
    """
    positive("chunk_bytes", welcome["chunk_bytes"], _LARGEST_CHUNK)
    positive("credit", welcome["credit"], _LARGEST_CREDIT)
    positive("heartbeat_s", welcome["heartbeat_s"], _LONGEST_HEARTBEAT_S)
    return welcome


def positive(name: str, value: float, most: float) -> Any:
    """A number of the server's that must be above 0 and at most `most`.

    Raises:
        ServiceError: it is not.
    """
    if not 0 < value <= most:
        raise ServiceError(f"the server's {name} is {value}: it must be above 0, at most {most}")
    return value
