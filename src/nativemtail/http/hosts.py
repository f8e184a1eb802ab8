"""Under which names this server answers: `--allowed_hosts`.

A web page can give its own host name the address of this machine (DNS rebinding) and then read what the browser, as
a trusted client, may read.  The browser says the name in `Host`, so a name that nobody gave this machine is refused.
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
    """An entry of `--allowed_hosts` that is no host name; the text says what would be."""


class AllowedHosts:
    """Addresses, `localhost`, this machine's names, and those that were allowed."""

    def __init__(self, names: Iterable[str], *, every: bool = False) -> None:
        """`names` in lower case; `*.example.com` stands for all names below `example.com`."""
        self.every = every
        names = frozenset(names)
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._below = tuple(name[1:] for name in names if name.startswith("*"))

    @classmethod
    def parse(cls, entries: Iterable[str], own: Iterable[str] = ()) -> AllowedHosts:
        """Names, each entry possibly several with commas between, beside `own` ones; raises HostError."""
        items = {item.strip().lower().removesuffix(".") for entry in entries for item in entry.split(",")} - {""}
        for item in items - {"*"}:
            if not _NAME.fullmatch(item):
                raise HostError(f"{item!r} is not a host name (no port, no scheme; *.example.com and * are allowed)")
        return cls({"localhost", *own, *items} - {"*"}, every="*" in items)

    def allows(self, authority: str) -> bool:
        """Whether a request may have this in `Host`: a name or an address, perhaps with a port.  Nothing is allowed."""
        if self.every or not authority:
            return True
        host = re.sub(r":[0-9]*\Z", "", authority)
        if host.startswith("[") and host.endswith("]"):
            return _is_address(host[1:-1])
        name = host.lower().removesuffix(".")
        return name in self._names or name.endswith(self._below) or _is_address(host)


ANY_HOST = AllowedHosts((), every=True)


def own_names() -> set[str]:
    """The names of this machine, as far as files tell: no name server is asked."""
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
