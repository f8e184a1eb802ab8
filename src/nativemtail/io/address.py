"""The sockets that elements of `-logs` name (spec inputs.md §1)."""

from __future__ import annotations

import socket

from nativemtail import net
from nativemtail.io.patterns import DATAGRAM_SCHEMES, LogSpec
from nativemtail.io.sources import SourceError


def bind(spec: LogSpec, mode: int) -> net.Bound:
    """A socket at the address of `spec`, with `mode` if it is a file.  Raises `SourceError`."""
    kind = socket.SOCK_DGRAM if spec.kind in DATAGRAM_SCHEMES else socket.SOCK_STREAM
    listen = f"listen {spec.kind}"
    try:
        if spec.kind in ("unix", "unixgram"):
            return net.bind_unix(spec.address, kind, mode)
        host, port = _host_and_port(spec)
        return net.bind_inet(host, port, kind)
    except net.InvalidPort as error:
        raise SourceError(f"{listen}: address {error}: invalid port") from None
    except net.UnknownService as error:
        raise SourceError(f"{listen}: lookup {spec.kind}/{error}: unknown port") from None
    except net.UnknownHost as error:
        raise SourceError(f"{listen}: lookup {host}: no such host") from error
    except (OSError, ValueError) as error:
        is_path = spec.kind in ("unix", "unixgram")
        other = f"give --logs another {'path' if is_path else 'port or address'}"
        raise SourceError(f"{listen} {spec.address}: bind: {net.explain(error, other, is_path=is_path)}") from error


def _host_and_port(spec: LogSpec) -> tuple[str, str]:
    host, colon, port = spec.address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif not colon or ":" in host or "]" in port:
        what = "too many colons in address" if ":" in host else "missing port in address"
        raise SourceError(f"listen {spec.kind}: address {spec.address}: {what}")
    return host, port or "0"
