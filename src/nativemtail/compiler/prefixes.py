"""Prefixes of addresses, the arguments of `ip_in` (beyond README §10)."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

from nativemtail.gotext import go_quote

_FORM = re.compile(r"([0-9a-fA-F:.]+)(?:/(0|[1-9][0-9]{0,2}))?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Parsed(NamedTuple):
    address: bytes
    """4 or 16 bytes."""
    length: int


def problem(text: bytes) -> str:
    """What is wrong with a prefix, with the remedy on a second line; empty if nothing is."""
    parsed = _parse(text)
    shown = go_quote(text.decode())
    if parsed is None:
        return f"{shown} is no address and no prefix."
    network = _network(parsed)
    if network.network_address.packed == parsed.address:
        return ""
    return f'{shown} has bits behind its prefix.\n\tTry "{network}"'


def packed(texts: list[bytes]) -> bytes:
    """Valid prefixes for the core: of each the length of addresses in bytes (4 or 16), that of the prefix in bits, and
    16 bytes of address.

    Addresses like ::ffff:10.0.0.1 are those of IPv4 (RFC 4291 §2.5.5.2).
    """
    found = b""
    for text in texts:
        parsed = _parse(text)
        assert parsed is not None
        address, length = parsed
        network = _network(parsed)
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
            address, length = address[12:], length - 96
        found += bytes((len(address), length)) + address.ljust(16, b"\0")
    return found


def _parse(text: bytes) -> _Parsed | None:
    match = _FORM.fullmatch(text.decode())
    if match is None:
        return None
    try:
        address = socket.inet_pton(socket.AF_INET6 if ":" in match[1] else socket.AF_INET, match[1])
    except OSError:
        return None
    length = len(address) * 8 if match[2] is None else int(match[2])
    return _Parsed(address, length) if length <= len(address) * 8 else None


def _network(parsed: _Parsed) -> Network:
    """The prefix without the bits after it."""
    return ipaddress.ip_network(parsed, strict=False)
