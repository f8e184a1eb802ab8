"""The links on the way of a path: where a change makes it stand for something else."""

from __future__ import annotations

import os

_MAX_LINKS = 40


def places(path: str) -> list[str]:
    """Every place, in real directories, that decides what an absolute path leads to, from its first link on.

    These are the links, what they lead to, and the directories on the way there; none if there is no link.  Links in a
    circle are followed until one comes again.
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
