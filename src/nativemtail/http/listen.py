"""The addresses that the server listens on."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from nativemtail import net


class ListenError(Exception):
    """Listening on an address failed; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """An address, and the name of its service."""

    bound: net.Bound
    service: str
    """The label of the connection counts: `http`, `https` or `http_unix`."""
    name: str

    @property
    def is_unix(self) -> bool:
        return self.bound.file is not None


def bind_tcp(address: str, port: str) -> net.Bound:
    """Raises ListenError."""
    address = address.strip("[]")
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        return net.bind_inet(address, port, socket.SOCK_STREAM)
    except net.InvalidPort:
        text = f"{port!r} is not a port (0 to 65535, or the name of a service)"
        raise ListenError(f"listen tcp {shown}: {text}") from None
    except net.UnknownService:
        raise ListenError(f"listen tcp {shown}: no service is named {port!r}: give --port a number") from None
    except net.UnknownHost as error:
        raise ListenError(f"listen tcp {shown}: {error}") from error
    except OSError as error:
        other = "choose another port with --port, 0 for any free one, or another address with --address"
        raise ListenError(f"listen tcp {shown}: bind: {net.explain(error, other)}") from error


def bind_unix(path: str, mode: int) -> net.Bound:
    """Raises ListenError."""
    try:
        return net.bind_unix(path, socket.SOCK_STREAM, mode)
    except (OSError, ValueError) as error:
        other = "choose another path with --unix_socket"
        raise ListenError(f"listen unix {path}: bind: {net.explain(error, other, is_path=True)}") from error
