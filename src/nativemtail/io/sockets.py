"""Listening sockets, and the two kinds of them as sources that end (spec inputs.md §6, §7)."""

from __future__ import annotations

import io
import socket

from nativemtail import net
from nativemtail.gotext import reason
from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.patterns import DATAGRAM_SCHEMES, BadSource, LogSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DATAGRAM = 128 * 1024


def listen(spec: LogSpec, mode: int = 0o600) -> socket.socket:
    """A socket bound to the address of `spec`, listening if it is a stream; `mode` is a Unix socket's.

    Raises `BadSource` with the text `listen tcp 127.0.0.1:514: bind: address already in use`.
    """
    try:
        if spec.kind in ("unix", "unixgram"):
            return _listen_unix(spec, mode)
        return _listen_inet(spec)
    except OSError as error:
        raise BadSource(f"listen {spec.kind} {spec.address}: bind: {reason(error)}") from None


def _listen_unix(spec: LogSpec, mode: int) -> socket.socket:
    kind = _type(spec)
    if kind == socket.SOCK_DGRAM:
        net.remove_abandoned(spec.address, kind)
    sock = socket.socket(socket.AF_UNIX, kind)
    return _bound(sock, lambda: net.bind(sock, spec.address, mode))


def _listen_inet(spec: LogSpec) -> socket.socket:
    host, port = _split(spec)
    # An empty host is every address of both families, as a dual-stack socket has it.
    host = host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")
    try:
        found = socket.getaddrinfo(host, port, type=_type(spec), flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        what = f"address {port}: invalid port" if error.errno == socket.EAI_SERVICE else f"lookup {host}: no such host"
        raise BadSource(f"listen {spec.kind}: {what}") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    if family == socket.AF_INET6 and host == "::":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bound(sock, lambda: sock.bind(address))


def _bound(sock: socket.socket, bind: Callable[[], object]) -> socket.socket:
    try:
        bind()
        if sock.type == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def _type(spec: LogSpec) -> socket.SocketKind:
    return socket.SOCK_DGRAM if spec.kind in DATAGRAM_SCHEMES else socket.SOCK_STREAM


def _split(spec: LogSpec) -> tuple[str, str]:
    host, colon, port = spec.address.rpartition(":")
    if not colon or (host.endswith("]") != host.startswith("[")):
        raise BadSource(f"listen {spec.kind}: address {spec.address}: missing port in address")
    if port.isdigit() and int(port) > 65535:
        raise BadSource(f"listen {spec.kind}: address {port}: invalid port")
    return host.removeprefix("[").removesuffix("]"), port or "0"


def _file(spec: LogSpec) -> net.SocketFile | None:
    return net.made(spec.address) if spec.kind in ("unix", "unixgram") else None


class SingleConnection:
    """A stream socket that takes one connection and ends with it."""

    def __init__(self, spec: LogSpec, reader: LineReader, mode: int = 0o600) -> None:
        self.name = spec.name
        self.reader = reader
        reader.begin()
        self._listener: socket.socket | None = listen(spec, mode)
        self._file = _file(spec)
        self._connection: socket.socket | None = None

    def fileno(self) -> int:
        sock = self._connection or self._listener
        return sock.fileno() if sock else -1

    def ready(self, buffer: Buffer) -> bool:
        if self._connection:
            return self.reader.read(buffer, self._connection.recv_into) != 0
        if self._listener:
            self._connection, _ = self._listener.accept()
            self._close_listener()
        return True

    def _close_listener(self) -> None:
        if self._listener:
            self._listener.close()
            if self._file is not None:
                net.remove(self._file)
            self._listener = None

    def close(self) -> None:
        self._close_listener()
        if self._connection:
            self._connection.close()
            self._connection = None


class Datagrams:
    """A datagram socket that ends with an empty datagram.  The end of a datagram ends its line."""

    def __init__(self, spec: LogSpec, reader: LineReader, mode: int = 0o600) -> None:
        self.name = spec.name
        self.reader = reader
        self._socket = listen(spec, mode)
        self._file = _file(spec)

    def fileno(self) -> int:
        return self._socket.fileno()

    def ready(self, buffer: Buffer) -> bool:
        data = self._socket.recv(MAX_DATAGRAM)
        source = io.BytesIO(data)
        while self.reader.read(buffer, source.readinto):
            pass
        self.reader.finish()
        return bool(data)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._socket.close()
            if self._file is not None:
                net.remove(self._file)
