"""The addresses of the doors, and the rule for doors that others can reach."""

from __future__ import annotations

import ipaddress

from dineuro_bridge.errors import BadParameter
from dineuro_server.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_and_port(address: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT or tcp://HOST:PORT.

    Raises:
        BadParameter: the address has another form.
    """
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise BadParameter(f"{address}: must be HOST:PORT, such as 127.0.0.1:8000")
    return host.strip("[]"), int(port)


def check_doors(settings: Settings) -> None:
    """Refuse to open a door that others can reach without tokens or keys.

    Raises:
        BadParameter: tokens or keys are missing and neither `insecure` nor `local` is set, or an
            address is wrong.
    """
    open_to_all = settings.insecure or settings.local
    if settings.zmq != "off":
        if not settings.zmq.startswith("tcp://"):
            raise BadParameter(f"{settings.zmq}: must be tcp://HOST:PORT, or off")
        host, _ = host_and_port(settings.zmq)
        if settings.keys is None and not open_to_all and not is_loopback(host):
            raise BadParameter(
                f"{settings.zmq}: can be reached from other machines and needs CURVE keys (dineuro "
                "keys curve; --keys FOLDER); --insecure admits everyone"
            )
    host, _ = host_and_port(settings.http)
    if settings.tokens is None and not open_to_all and not is_loopback(host):
        raise BadParameter(
            f"{settings.http}: can be reached from other machines and needs bearer tokens "
            "(dineuro keys token; --tokens FILE); --insecure admits everyone"
        )
