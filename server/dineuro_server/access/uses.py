"""The day of each token's last use, in the state folder: the token file may be read-only.

    STATE/uses.json    {SHA-256 of the token: day (UTC) of its last use}

The server alone writes the file, at the first use of a token on each day.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, date, datetime
from pathlib import Path

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.files import atomic_output, reason

_NAME = "uses.json"

log = logging.getLogger(__name__)


class LastUses:
    """The days of use, for a server; safe to use from several threads.

    Args:
        state: path of the state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._lock = threading.Lock()
        try:
            self._days = last_uses(state) or {}
        except FileAccess as error:  # is written anew
            log.warning("%s", error)
            self._days = {}

    def note(self, sha256: str) -> None:
        """Record that a token was used today; a token also counts where this cannot be written."""
        today = datetime.now(UTC).date()
        with self._lock:
            if self._days.get(sha256) == today:
                return
            self._days[sha256] = today
            text = json.dumps({digest: str(day) for digest, day in self._days.items()}, indent=1)
            try:
                with atomic_output(self._state / _NAME) as temporary:
                    temporary.touch(mode=0o600)
                    temporary.write_text(text + "\n", encoding="utf-8")
            except FileAccess as error:
                log.warning("the last use of a token is not noted: %s", error)


def last_uses(state: Path) -> dict[str, date] | None:
    """The day (UTC) of the last use of each token, by the token's SHA-256.

    Args:
        state: path of the state folder.

    Returns:
        The days; None if no server has used the folder.

    Raises:
        FileAccess: the file cannot be read, or holds no days.
    """
    path = state / _NAME
    try:
        if not path.exists():
            return {} if (state / "lock").exists() else None
        text = path.read_text(encoding="utf-8")
        return {digest: date.fromisoformat(day) for digest, day in json.loads(text).items()}
    except OSError as error:
        raise FileAccess(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise FileAccess(f"{path}: holds no days of use: delete it") from error
