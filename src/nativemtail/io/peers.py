"""Limits for connections to stream sources: one for all together and one for each address.

Anyone may connect to a `tcp://` source.  Connections cost descriptors, which the logs need too, so their number is
bounded. When there are too many, a new one replaces one that has never sent a whole line, or is idle.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Protocol


class Peer(Protocol):
    """An open connection."""

    address: str
    """The key of the per-address limit, see `address_of`.  Empty for Unix sockets, which have no such limit."""

    def make_room(self) -> None:
        """Read what has arrived; if that completes no line, close the connection and call `Peers.remove`."""


class Peers:
    """The connections of all stream sources: at most `most`, and half of that from one address."""

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self.most_of_one = max(1, self.most // 2)
        self._of: Counter[str] = Counter()
        self._silent: dict[str, dict[Peer, None]] = {}

    def __len__(self) -> int:
        return self._of.total()

    def admits(self, address: str) -> bool:
        """Whether one more may connect; closes connections that never sent a line if that is needed."""
        while address and self._of[address] >= self.most_of_one:
            if not self._evict(self._silent.get(address)):
                return False
        while self._of.total() >= self.most:
            # Evict from the address with the most connections, so that it cannot displace those with few.
            if not self._evict(max(self._silent.values(), key=len, default=None)):
                return False
        return True

    def add(self, peer: Peer) -> None:
        self._of[peer.address] += 1
        self._silent.setdefault(peer.address, {})[peer] = None

    def has_sent_line(self, peer: Peer) -> None:
        """It has sent a whole line."""
        silent = self._silent.get(peer.address)
        if silent is not None:
            silent.pop(peer, None)
            if not silent:
                del self._silent[peer.address]

    def is_idle(self, peer: Peer) -> None:
        """It has not sent anything for a time, so that it may be closed in favour of others."""
        self._silent.setdefault(peer.address, {})[peer] = None

    def remove(self, peer: Peer) -> None:
        self.has_sent_line(peer)
        self._of[peer.address] -= 1
        if not self._of[peer.address]:
            del self._of[peer.address]

    @staticmethod
    def _evict(silent: dict[Peer, None] | None) -> bool:
        """Give the oldest silent peer a last chance to send a line, else close it; False if there is none."""
        if not silent:
            return False
        next(iter(silent)).make_room()
        return True


def address_of(name: object) -> str:
    """The host of a socket's name; for IPv6 its /64 network, because one host may own all addresses of it."""
    if not isinstance(name, tuple):
        return ""
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)
