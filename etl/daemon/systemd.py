"""What systemd wants to hear of a service of `Type=notify`: datagrams to the socket that it names."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("ontora_etl.daemon")


def tell_systemd(environ: Mapping[str, str], *assignments: str) -> bool:
    """Send `READY=1` and the like; True where systemd listens. It never fails: nothing hangs on it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux' abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sender:
            sender.settimeout(1)
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError as error:
        log.debug("systemd cannot be told: %s", error.strerror or error)
        return False
    return True


def tell_reloading(environ: Mapping[str, str]) -> bool:
    """Say that the configuration is being read again; `READY=1` ends it."""
    return tell_systemd(environ, "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """How often to say `WATCHDOG=1`: twice in the time systemd gives; None where it does not ask."""
    given = environ.get("WATCHDOG_USEC", "")
    if not given.isdecimal() or int(given) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(given) / 2_000_000
