"""The server's log: lines for people, or one JSON object a line for machines. Never a payload."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

#: What a record may carry besides its message.
_FIELDS = ("problem", "job", "owner", "method", "route", "status", "seconds", "door")


class JsonLines(logging.Formatter):
    """Time, level, logger, message, and those of the known fields that a record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
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
    """Time, level and message, with the job that it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line."""
        job = getattr(record, "job", None)
        return super().formatMessage(record) + ("" if job is None else f" [job {job}]")


def configure(style: str, level: str) -> None:
    """Log to standard error: "json" for machines, "text" for people."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its lines tell what ours tell already.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
