"""Who may stay connected to the stream sources: a limit in all and one for each address.

Anyone may connect to a `tcp://` source.  Connections cost descriptors, which the logs need too, so their number is
bounded; when there are too many, one that never sent a whole line gives way to a new one.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Protocol


class Peer(Protocol):
    """An open connection."""

    address: str
    """What counts as one peer: see `address_of`.  Empty for Unix sockets, which have no limit of their own."""

    def give_way(self) -> None:
        """Read what is there; if that ends no line, close the connection, which `Peers.left` is told of."""


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
        """Whether there is room for one more, after a silent one had to go if need be."""
        while address and self._of[address] >= self.most_of_one:
            if not self._give_way(self._silent.get(address)):
                return False
        while self._of.total() >= self.most:
            # The oldest of those who have most: a stranger with many connections does not drive out one with few.
            if not self._give_way(max(self._silent.values(), key=len, default=None)):
                return False
        return True

    def came(self, peer: Peer) -> None:
        self._of[peer.address] += 1
        self._silent.setdefault(peer.address, {})[peer] = None

    def spoke(self, peer: Peer) -> None:
        """It has sent a whole line."""
        silent = self._silent.get(peer.address)
        if silent is not None:
            silent.pop(peer, None)
            if not silent:
                del self._silent[peer.address]

    def left(self, peer: Peer) -> None:
        self.spoke(peer)
        self._of[peer.address] -= 1
        if not self._of[peer.address]:
            del self._of[peer.address]

    @staticmethod
    def _give_way(silent: dict[Peer, None] | None) -> bool:
        """Whether there was one to ask: by now it has spoken or is closed."""
        if not silent:
            return False
        next(iter(silent)).give_way()
        return True


def address_of(name: object) -> str:
    """The host of a socket's name; of IPv6 the network of 64 bits, which one host may have all addresses of."""
    if not isinstance(name, tuple):
        return ""
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)
