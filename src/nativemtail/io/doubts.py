"""Explains what is wrong with a log pattern and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from nativemtail.globs import Glob

_WILD = frozenset("*?[\\")


def of_text(glob: Glob) -> str:
    """What is wrong with the text of a pattern; empty if nothing is."""
    if "**" in glob.pattern.split("/"):
        return "** stands for one directory, as * does: give a pattern for each depth"
    return ""


def of_matches(glob: Glob, paths: Iterable[str]) -> str:
    """Why none of the matching paths can be read; empty if one can."""
    paths = list(paths)
    if any(not os.path.isdir(path) for path in paths):
        return ""
    if paths:
        return f"only a directory matches: {glob.pattern}/* matches the files in it"
    return "no file matches, waiting for one"


def of_directory(path: str, name: str) -> str:
    """Why `name`, a component of a pattern, cannot be looked up in the directory `path`; empty if it can."""
    if os.access(path, os.X_OK | (os.R_OK if _WILD.intersection(name) else 0)):
        return ""
    return f"the directory {path} may not be searched: allow it to the user of nativemtail"


def of_directories(glob: Glob) -> Iterator[str]:
    """Problems with parent directories that cannot be searched."""
    parts = glob.pattern.split("/")[1:]
    for depth, name in enumerate(parts):
        paths = Glob("/" + "/".join(parts[:depth])).expand() if depth else ["/"]
        yield from filter(None, (of_directory(path, name) for path in paths if os.path.isdir(path)))
