"""The server's log: text lines for people, or one JSON object a line; no payload is logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

#: The fields that a record may have besides its message.
_FIELDS = ("problem", "job", "owner", "method", "route", "status", "seconds", "peer")


class JsonLines(logging.Formatter):
    """Time, level, logger and message of a record, with those of `_FIELDS` that it has."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of the log."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Time, level and message of a record, with the id of its job."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line of the log; control characters in it are escaped, so that none forges a line."""
        job = getattr(record, "job", None)
        line = super().formatMessage(record) + ("" if job is None else f" [job {job}]")
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def configure(style: str, level: str) -> None:
    """Log to standard error.

    Args:
        style: "json" for machines, "text" for people.
        level: lowest level that is logged: "debug", "info", "warning" or "error".
    """
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The access log of the HTTP door already has the lines of uvicorn.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
