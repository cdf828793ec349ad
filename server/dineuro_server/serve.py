"""One server from its start to its end: engine, both doors, signals."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from dineuro_bridge.errors import FileAccess
from dineuro_bridge.files import reason
from dineuro_server.access.addresses import check_doors, host_and_port
from dineuro_server.access.tokens import TokenFile
from dineuro_server.doors.http.app import make_app
from dineuro_server.doors.http.connections import BoundedProtocol
from dineuro_server.doors.http.service import Service
from dineuro_server.doors.zeromq.door import Door
from dineuro_server.engine import Engine
from dineuro_server.jobs.validation import check_dask
from dineuro_server.settings import Settings

#: Time that open connections have to end after the last running job (seconds).
_FAREWELL_S = 5
#: Files and connections that the server may have open.
_DESCRIPTORS = 65_536

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; blocks.

    Running jobs may end after the first signal; queued jobs wait for the next start. A second
    signal puts the running jobs back into the queue at once.

    Raises:
        BadParameter: a door that others can reach has no keys, or an address is wrong.
        FileAccess: the state folder, the token file or an address cannot be used.
        MissingDependency: a scheduler is named, and Dask is not installed.
    """
    check_doors(settings)
    if settings.scheduler is not None:
        check_dask(settings)
    _allow_descriptors()
    tokens = None if settings.tokens is None else TokenFile(settings.tokens, settings)
    listener = _listen(settings.http)
    engine = Engine(settings, None if tokens is None else tokens.quota)
    shutdown = _Shutdown(engine)
    door = _zmq_door(engine, settings)
    service = Service(engine, settings, tokens, lambda: door is None or door.healthy)
    engine.start()
    try:
        if door is not None:
            door.start()
        _serve_http(service, listener, shutdown)
    finally:
        service.conversions.close()
        service.paths.close()
        if door is not None:
            door.close()
        engine.stop()
        log.info("stopped")


def _allow_descriptors() -> None:
    """Raise the number of files and connections that this process may have open."""
    current, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, _DESCRIPTORS)
    if current < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


def _zmq_door(engine: Engine, settings: Settings) -> Door | None:
    """The ZeroMQ door, bound to its address; None if it is off."""
    if settings.zmq == "off":
        return None
    try:
        door = Door(engine, settings.zmq, settings.keys)
    except BaseException:
        engine.stop(drain=False)
        raise
    log.info("ZeroMQ at %s%s", door.address, "" if settings.keys is None else ", CURVE")
    return door


class _Shutdown:
    """Handles the signals: the first one drains the running jobs, the second one does not.

    Attributes:
        then: called when the engine has begun to leave.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._event = threading.Event()
        self.then: Callable[[], None] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        # A handler interrupts the main thread, which may hold any lock: another thread takes over.
        threading.Thread(target=self._leave, args=(not self._event.is_set(),)).start()
        self._event.set()

    def _leave(self, drain: bool) -> None:
        log.info("shutting down: %s", "running jobs may end" if drain else "at once")
        self._engine.leave(drain)
        self.then()


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process before the engine's jobs."""

    def capture_signals(self) -> _Nothing:  # type: ignore[override]
        """Leave the signals to `_Shutdown`."""
        return _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _serve_http(service: Service, listener: socket.socket, shutdown: _Shutdown) -> None:
    """Answer HTTP requests until the shutdown."""
    config = uvicorn.Config(
        make_app(service),
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=int(service.settings.drain_s) + _FAREWELL_S,
        # A connection without a complete request is closed after this time.
        timeout_keep_alive=30,
    )
    server = _HttpServer(config)

    def end() -> None:
        server.should_exit = True

    shutdown.then = end
    host, port = listener.getsockname()[:2]
    log.info("HTTP at http://%s:%d", f"[{host}]" if ":" in host else host, port)
    server.run(sockets=[listener])


def _listen(address: str) -> socket.socket:
    """A socket that is bound to HOST:PORT.

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
