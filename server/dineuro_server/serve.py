"""One server from start to end: engine, both doors, signals."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.files import reason
from dineuro_server.access.tokens import TokenFile, check_doors, host_and_port
from dineuro_server.doors.http.app import make_app
from dineuro_server.doors.http.service import Service
from dineuro_server.doors.zeromq.door import Door
from dineuro_server.engine import Engine
from dineuro_server.settings import Settings

#: Connections that are left when all jobs have been drained get so long (seconds).
_FAREWELL_S = 5

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Run until SIGTERM or Ctrl-C; then drain what runs, and leave what waits to the next start.

    A second signal does not wait for what runs: it is put back into the queue.

    Raises:
        BadParameter: a door to others without keys; an address that is none; a broken token file.
        FileAccess: the state folder or an address cannot be used.
    """
    check_doors(settings)
    tokens = None if settings.tokens is None else TokenFile(settings.tokens, settings)
    listening = _listening(settings.http)
    engine = Engine(settings, None if tokens is None else tokens.quota)
    stopped = _Stopped(engine)
    door = _zmq_door(engine, settings)
    engine.start()
    try:
        if door is not None:
            door.start()
        _serve_http(Service(engine, settings, tokens), listening, stopped)
    finally:
        if door is not None:
            door.close()
        engine.stop()
        log.info("stopped")


def _zmq_door(engine: Engine, settings: Settings) -> Door | None:
    """The ZeroMQ door, bound; None where it is off."""
    if settings.zmq == "off":
        return None
    try:
        door = Door(engine, settings.zmq, settings.keys)
    except BaseException:
        engine.stop(drain=False)
        raise
    log.info("ZeroMQ at %s%s", door.address, "" if settings.keys is None else ", CURVE")
    return door


class _Stopped:
    """Hears the signals; the first lets running jobs go on for a while, the second does not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._event = threading.Event()
        self.then: Callable[[], None] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        # A handler runs between two lines of the main thread, which may hold any lock.
        threading.Thread(target=self._leave, args=(not self._event.is_set(),)).start()
        self._event.set()

    def _leave(self, drain: bool) -> None:
        log.info("shutting down: %s", "running jobs may end" if drain else "at once")
        self._engine.leave(drain)
        self.then()


class _HttpServer(uvicorn.Server):
    """uvicorn, whose own handlers would end the process before the engine has ended its jobs."""

    def capture_signals(self) -> _Nothing:  # type: ignore[override]
        """Leave the signals to `_Stopped`."""
        return _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _serve_http(service: Service, listening: socket.socket, stopped: _Stopped) -> None:
    """Answer until stopped."""
    config = uvicorn.Config(
        make_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=int(service.settings.drain_s) + _FAREWELL_S,
        # A client that has begun a request's head and goes no further is not waited for.
        timeout_keep_alive=30,
    )
    server = _HttpServer(config)

    def end() -> None:
        server.should_exit = True

    stopped.then = end
    host, port = listening.getsockname()[:2]
    log.info("HTTP at http://%s:%d", f"[{host}]" if ":" in host else host, port)
    server.run(sockets=[listening])


def _listening(address: str) -> socket.socket:
    """A bound socket.

    Raises:
        FileAccess: the address cannot be used.
    """
    host, port = host_and_port(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        raise FileAccess(
            f"{address}: cannot be listened at: {reason(error)}: choose another with --http"
        ) from error
    return bound
