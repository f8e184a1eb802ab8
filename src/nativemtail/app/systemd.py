"""Notifying systemd: started, reloading, stopping, alive (sd_notify(3), sd_watchdog_enabled(3))."""

from __future__ import annotations

import logging
import os
import socket
import time

log = logging.getLogger(__name__)


def notify(*assignments: str) -> None:
    """Send `READY=1` and the like; does nothing if not started by systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1)
            sock.sendto("\n".join(assignments).encode(), address)
    except OSError as error:
        log.debug("cannot tell systemd %s: %s", assignments[0], error)


def ready() -> None:
    notify("READY=1")


def reloading() -> None:
    """Must be followed by `ready`."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    notify("STOPPING=1")


def alive() -> None:
    notify("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """The interval within which systemd expects `alive`; None if its watchdog is off."""
    text = os.environ.get("WATCHDOG_USEC", "")
    if not text.isdecimal() or not int(text) or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / 1_000_000
