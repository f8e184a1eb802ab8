"""Binds listening sockets for sources and pages: TCP, UDP and Unix.

Only our own socket files are removed, and those of our user on which no process listens any more.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import stat
from typing import NamedTuple

SocketFile = tuple[str, int, int]
"""Path, device and inode of a file that this process made."""

BACKLOG = 1024
_PORT = re.compile(r"[0-9]{1,5}|[a-zA-Z][a-zA-Z0-9_-]*")

log = logging.getLogger(__name__)


class InvalidPort(ValueError):
    """Neither a number up to 65535 nor a possible service name."""


class UnknownService(LookupError):
    """No service has that name."""


class UnknownHost(LookupError):
    """No address can be found for that name."""


class Bound(NamedTuple):
    """A bound, non-blocking socket, which listens if it is a stream; closing removes the file made for it."""

    socket: socket.socket
    file: SocketFile | None = None

    def close(self) -> None:
        self.socket.close()
        if self.file is not None:
            remove(self.file)


def bind_inet(host: str, port: str, kind: socket.SocketKind) -> Bound:
    """Bind a TCP (`SOCK_STREAM`) or UDP (`SOCK_DGRAM`) socket; an empty host means all addresses of both families.

    The addresses of a host are tried in order, IPv4 first, as in Go.  Raises `InvalidPort`, `UnknownService`,
    `UnknownHost`, or the OSError of the first address.
    """
    problem: OSError | None = None
    for family, address in _resolve(host, port, kind):
        try:
            return Bound(_bind_address(family, kind, address, both=host in ("", "::")))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise  # peers try this address first, so they would not find us on another
            problem = problem or error
    raise problem or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


def bind_unix(path: str, kind: socket.SocketKind, mode: int) -> Bound:
    """Bind a Unix socket, replacing one that a dead process left at the path.  Raises OSError or ValueError."""
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.setblocking(False)
        if remove_abandoned(path, kind):
            log.info("replaced the socket %s that nobody listened on", path)
        bound = Bound(sock, bind(sock, path, mode))
    except BaseException:
        sock.close()
        raise
    if kind == socket.SOCK_STREAM:
        sock.listen(BACKLOG)
    return bound


def reason(error: Exception) -> str:
    """Why a socket cannot be bound, in Go's words."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number or errno.EINVAL).lower()


def explain(error: Exception, other: str, *, is_path: bool = False) -> str:
    """`reason` and a remedy: `other` says how to choose another port or path."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"{reason(error)} ({other})"
    if number == errno.EACCES:
        need = "write access to the directory is needed" if is_path else "ports below 1024 need CAP_NET_BIND_SERVICE"
        return f"{reason(error)} ({need}; or {other})"
    return reason(error)


def _resolve(host: str, port: str, kind: socket.SocketKind) -> list[tuple[int, tuple[object, ...]]]:
    """Families and addresses in the order in which to try them."""
    if not _PORT.fullmatch(port) or (port.isdigit() and int(port) > 65535):
        raise InvalidPort(port)
    try:
        found = socket.getaddrinfo(host or None, port, type=kind, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_SERVICE:
            raise UnknownService(port) from error
        raise UnknownHost(str(error)) from error
    # One IPv6 socket serves both families.
    first = socket.AF_INET if host else socket.AF_INET6
    found.sort(key=lambda entry: entry[0] != first)
    return [(family, address) for family, _kind, _protocol, _name, address in found]


def _bind_address(family: int, kind: socket.SocketKind, address: tuple[object, ...], *, both: bool) -> socket.socket:
    """Raises OSError."""
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def bind(sock: socket.socket, path: str, mode: int) -> SocketFile:
    """Bind to `path`, which creates the file.  Raises OSError or ValueError.

    The umask sets the mode from the beginning, so that there is no chmod of a path that may have been replaced.  Files
    that other threads create meanwhile get no more permissions than they request.
    """
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    return file_identity(path)


def file_identity(path: str) -> SocketFile:
    """The identity of the file just made at `path`.  Raises OSError."""
    status = os.lstat(path)
    return path, status.st_dev, status.st_ino


def remove(made: SocketFile) -> None:
    """Remove the file, unless another has taken its place."""
    path, *identity = made
    try:
        status = os.lstat(path)
        if [status.st_dev, status.st_ino] == identity:
            os.unlink(path)
    except OSError:
        return


def remove_abandoned(path: str, kind: socket.SocketKind) -> bool:
    """Remove a socket of this user on which no process listens; whether there was one."""
    try:
        status = os.lstat(path)
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
            return False
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except ConnectionRefusedError:
        remove((path, status.st_dev, status.st_ino))
        return True
    except (OSError, ValueError):
        return False
    return False
