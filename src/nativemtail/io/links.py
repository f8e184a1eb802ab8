"""The symbolic links in a path: the places where a change makes it name another file."""

from __future__ import annotations

import os

_MAX_LINKS = 40


def places(path: str) -> list[str]:
    """Every directory entry that decides what an absolute path resolves to, from its first symbolic link on.

    These are the links, their targets, and the directories in between; empty if there is no link.  Cyclic links are
    followed until one repeats.
    """
    found: dict[str, None] = {}
    rest = [part for part in reversed(path.split("/")) if part]
    at = "/"
    links = 0
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            at = os.path.dirname(at)
            continue
        place = os.path.join(at, part)
        try:
            target = os.readlink(place)
        except OSError:
            if links:
                found[place] = None
            at = place
            continue
        links += 1
        if links > _MAX_LINKS:
            break
        found[place] = None
        if target.startswith("/"):
            at = "/"
        rest.extend(reversed(target.split("/")))
    return list(found)
