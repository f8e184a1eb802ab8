"""Lists the programs of directories and files, and reads their texts."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from nativemtail import plainfile
from nativemtail.compiler.includes import Text, gather
from nativemtail.gotext import reason, utf8

SUFFIX = ".mtail"
MAX_SIZE = 16 << 20
"""Maximum size of a program in bytes."""


class Listing(NamedTuple):
    """What several paths hold."""

    programs: dict[str, str]
    """Path by name, in the order in which they are found."""
    clashes: dict[str, str]
    """Paths that are left out because another program has their name, each with the message."""
    errors: list[str]
    """The messages for paths that cannot be read."""


def list_all(paths: Sequence[str]) -> Listing:
    """The programs of all `paths`, directories or files.

    A file that two of them lead to counts once.  Of two files with one name the first is taken.
    """
    listing = Listing({}, {}, [])
    for path in paths:
        try:
            found = list_programs(path)
        except OSError as error:
            listing.errors.append(cannot_list(path, error))
            continue
        for name, file in found:
            other = listing.programs.setdefault(name, file)
            if not _are_same(file, other):
                message = f"{file} is left out: {other} has the same name; rename one of them"
                listing.clashes[utf8(file)] = utf8(message)
    return listing


def _are_same(path: str, other: str) -> bool:
    """Whether two paths lead to one file; a broken link is the same as itself only."""
    try:
        return path == other or os.path.samefile(path, other)
    except OSError:
        return False


def list_programs(path: str) -> list[tuple[str, str]]:
    """Names and paths of the programs in `path`, a directory or a file.  Raises OSError.

    Names are valid UTF-8 and distinct, whatever bytes the file names contain.
    """
    if stat.S_ISDIR(os.stat(path).st_mode):
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        paths = [os.path.join(path, name) for name in sorted(names, key=os.fsencode)]
    else:
        paths = [path]
    found: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(path)
        if name.endswith(SUFFIX) and not name.startswith("."):
            name = utf8(name)
            while name in found:
                name = name.removesuffix(SUFFIX) + "~" + SUFFIX
            found[name] = path
    return list(found.items())


def read_program(path: str) -> bytes:
    """The text of a program.  Raises OSError, also if it is not a regular file, or too large."""
    return plainfile.read(path, MAX_SIZE)


def read_text(path: str, include_path: tuple[str, ...]) -> Text:
    """The text of a program, and what it may include.  Raises OSError."""
    source = read_program(path)
    return Text(source, gather(path, source, include_path, read_program))


def cannot_list(path: str, error: OSError) -> str:
    """The message for a path that `list_programs` cannot read."""
    if isinstance(error, FileNotFoundError):
        return f"-progs: stat {path}: {reason(error)}"
    return f'Failed to list programs in "{path}": open {path}: {reason(error)}'
