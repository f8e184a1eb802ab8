"""The host names that this server answers to: `--allowed_hosts`.

A web page can point its own host name at the address of this machine (DNS rebinding) and then read whatever the
browser, as a trusted client, may read.  The browser sends the name in `Host`, so unknown names are refused.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_HOSTS = Path("/etc/hosts")
_RESOLVER = Path("/etc/resolv.conf")


class HostError(ValueError):
    """An entry of `--allowed_hosts` that is not a host name; the text says what is expected."""


class AllowedHosts:
    """Accepts addresses, `localhost`, this machine's names, and those in the list."""

    def __init__(self, names: Iterable[str], *, every: bool = False) -> None:
        """`names` are in lower case; `*.example.com` covers all names below `example.com`."""
        self.every = every
        names = frozenset(names)
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._below = tuple(name[1:] for name in names if name.startswith("*"))

    @classmethod
    def parse(cls, entries: Iterable[str], own: Iterable[str] = ()) -> AllowedHosts:
        """`entries` may contain several names separated by commas; `own` names are added.  Raises HostError."""
        items = {item.strip().lower().removesuffix(".") for entry in entries for item in entry.split(",")} - {""}
        for item in items - {"*"}:
            if not _NAME.fullmatch(item):
                raise HostError(f"{item!r} is not a host name (no port, no scheme; *.example.com and * are allowed)")
        return cls({"localhost", *own, *items} - {"*"}, every="*" in items)

    def allows(self, authority: str) -> bool:
        """Whether a request may have this `Host`: a name or an address, perhaps with a port, or nothing."""
        if self.every or not authority:
            return True
        host = re.sub(r":[0-9]*\Z", "", authority)
        if host.startswith("[") and host.endswith("]"):
            return _is_address(host[1:-1])
        name = host.lower().removesuffix(".")
        return name in self._names or name.endswith(self._below) or _is_address(host)


ANY_HOST = AllowedHosts((), every=True)


def own_names() -> set[str]:
    """The names of this machine according to local files; no name server is queried."""
    name = socket.gethostname().lower().removesuffix(".")
    if not name:
        return set()
    short = name.partition(".")[0]
    names = {name, short}
    for line in _lines(_HOSTS):
        known = [word.lower() for word in line.partition("#")[0].split()][1:]
        if name in known or short in known:
            names.update(known)
    for line in _lines(_RESOLVER):
        key, *domains = line.lower().split() or [""]
        if key in ("domain", "search"):
            names.update(f"{short}.{domain.strip('.')}" for domain in domains if domain.strip("."))
    return names


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", "replace").splitlines()
    return []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
