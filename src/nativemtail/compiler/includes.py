"""The files that a program includes (beyond README §6): which there are, and what their paths mean.

What a program may include is read before it is compiled (`gather`), so that compiling reads no files, and so that a
change of any of them, or a new file that is looked for earlier, is noticed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

MAX_FILES = 100
"""Most files that a program may include."""

_INCLUDE = re.compile(rb'include[ \t\r\v\f]*"((?:[^"\\\n]|\\[^\n])*)"')


class File(NamedTuple):
    """A path where an included file is looked for; `text` is None if there is none."""

    path: str
    real: str
    """The path without links: the same for all spellings."""
    text: bytes | None


class Included(NamedTuple):
    """What a program may include."""

    path: str = ""
    """The program's own path."""
    search: tuple[str, ...] = ()
    """The directories of --include_path."""
    files: tuple[File, ...] = ()

    def find(self, name: str, directory: str) -> File | None:
        """The file that `name` means in a file of that directory.  Raises LookupError beyond MAX_FILES."""
        known = {file.path: file for file in self.files}
        for path in _candidates(name, directory, self.search):
            if path not in known:
                raise LookupError
            if known[path].text is not None:
                return known[path]
        return None

    def shown(self, file: File, name: str) -> str:
        """How positions name a file that is included as `name`."""
        directory = os.path.abspath(os.path.dirname(self.path))
        path = os.path.abspath(file.path)
        return os.path.relpath(path, directory) if path.startswith(directory.rstrip("/") + "/") else name


NOTHING_INCLUDED = Included()


class Text(NamedTuple):
    """The text of a program, with what it may include."""

    source: bytes
    included: Included = NOTHING_INCLUDED

    @property
    def whole(self) -> bytes:
        """All that it may be compiled from."""
        return b"\0".join([self.source, *(file.text for file in self.included.files if file.text is not None)])


def gather(path: str, source: bytes, search: tuple[str, ...], read: Callable[[str], bytes]) -> Included:
    """Read what the program at `path` may include, and what that may include.  `read` raises OSError."""
    files: dict[str, File] = {}
    scanned: set[str] = set()
    waiting = [(source, os.path.dirname(path))]
    while waiting:
        text, directory = waiting.pop()
        for name in _names(text):
            for candidate in _candidates(name, directory, search):
                if candidate not in files:
                    if sum(file.text is not None for file in files.values()) >= MAX_FILES:
                        return Included(path, search, tuple(files.values()))
                    files[candidate] = _file(candidate, read)
                found = files[candidate]
                if found.text is None:
                    continue
                if found.real not in scanned:
                    scanned.add(found.real)
                    waiting.append((found.text, os.path.dirname(candidate)))
                break
    return Included(path, search, tuple(files.values())) if files else Included(path, search)


def _names(text: bytes) -> list[str]:
    """What follows the word include; perhaps in a comment, too."""
    if b"include" not in text:
        return []
    names = (match[1].replace(b'\\"', b'"').decode("utf-8", "replace") for match in _INCLUDE.finditer(text))
    return [name for name in dict.fromkeys(names) if name and "\0" not in name]


def _candidates(name: str, directory: str, search: tuple[str, ...]) -> list[str]:
    return [name] if os.path.isabs(name) else [os.path.join(place, name) for place in (directory, *search)]


def _file(path: str, read: Callable[[str], bytes]) -> File:
    try:
        return File(path, os.path.realpath(path), read(path))
    except OSError:
        return File(path, "", None)
