"""Access control: the clients that `--trusted_hosts` lists.

Only the address of the socket's peer counts; nothing in a request can grant access.  IPv4-mapped IPv6 addresses
(`::ffff:192.0.2.1`, as dual-stack sockets report them) count as IPv4, both in the list and for peers.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Block = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED_BITS = 96


class TrustError(ValueError):
    """An entry of `--trusted_hosts` that is not a block of addresses; the text says what is expected."""


class TrustedHosts:
    """A set of address blocks."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.blocks = tuple(dict.fromkeys(blocks))

    @classmethod
    def parse(cls, entries: Iterable[str]) -> TrustedHosts:
        """Parse addresses and CIDR blocks; an entry may contain several, separated by commas.  Raises TrustError."""
        items = [item.strip() for entry in entries for item in entry.split(",")]
        return cls(_block(item) for item in items if item)

    def allows(self, peer: str) -> bool:
        """Whether the peer with this numeric address, as `getpeername()` gives it, is served."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in block for block in self.blocks)

    def __str__(self) -> str:
        return ", ".join(
            str(block.network_address) if block.num_addresses == 1 else str(block) for block in self.blocks
        )


def plain_peer(peer: str) -> str:
    """The peer's address as its owner would write it: 192.0.2.1 in place of ::ffff:192.0.2.1."""
    return peer.removeprefix("::ffff:") if "." in peer else peer


def network(peer: str) -> str:
    """Which addresses one host may own all of: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer.partition("%")[0])
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _block(text: str) -> Block:
    host, slash, length = text.partition("/")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise TrustError(f"{text!r} is neither an IP address nor a CIDR block (names are not looked up)") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise TrustError(f"{text!r}: a scope (%{address.scope_id}) cannot be part of a trusted host")
    if not slash:
        return _unmapped(ipaddress.ip_network(host))
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= address.max_prefixlen):
        raise TrustError(f"{text!r}: the prefix length must be a number from 0 to {address.max_prefixlen}")
    block = ipaddress.ip_network(text, strict=False)
    if block.network_address != address:
        raise TrustError(f"{text!r} has host bits set: write {block} for the block, or {address} for that one host")
    return _unmapped(block)


def _unmapped(block: Block) -> Block:
    """The IPv4 block of an IPv4-mapped one, else the block itself."""
    if not isinstance(block, ipaddress.IPv6Network) or block.prefixlen < _MAPPED_BITS:
        return block
    address = block.network_address.ipv4_mapped
    return block if address is None else ipaddress.IPv4Network((address, block.prefixlen - _MAPPED_BITS))


LOOPBACK = TrustedHosts.parse(["127.0.0.0/8", "::1"])
"""The default."""
