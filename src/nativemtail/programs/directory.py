"""Lists the programs of a directory, or of one file, and reads their texts."""

from __future__ import annotations

import os
import stat

from nativemtail import plainfile
from nativemtail.compiler.includes import Text, gather
from nativemtail.gotext import reason, utf8

SUFFIX = ".mtail"
MAX_SIZE = 16 << 20
"""Maximum size of a program in bytes."""


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
