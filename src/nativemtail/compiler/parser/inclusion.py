"""`include` while a program is parsed: which files have been taken, and which are being parsed (beyond README §6)."""

from __future__ import annotations

import os
from typing import NamedTuple

from nativemtail.compiler.includes import MAX_FILES, File, Included


class Parsed(NamedTuple):
    """A file that is being parsed: the program, or one that it includes."""

    shown: str
    real: str
    directory: str


class BadInclude(Exception):
    """Why a file cannot be included."""


class Inclusion:
    def __init__(self, program: str, included: Included, sources: dict[str, bytes] | None) -> None:
        self._included = included
        self._sources = {} if sources is None else sources
        path = included.path
        self._open = [Parsed(program, os.path.realpath(path) if path else "", os.path.dirname(path))]
        self._taken: set[str] = set()

    def open(self, name: str) -> tuple[str, bytes] | None:
        """The shown name and the text of the file `name`, until `close`; None if it was taken before.

        Raises BadInclude.
        """
        try:
            file = self._included.find(name, self._open[-1].directory)
        except LookupError:
            raise BadInclude(f"A program includes at most {MAX_FILES} files.") from None
        if file is None or file.text is None:
            raise BadInclude(self._missing(name))
        shown = self._included.shown(file, name)
        self._check_circle(file, shown)
        if file.real in self._taken:
            return None
        self._taken.add(file.real)
        self._open.append(Parsed(shown, file.real, os.path.dirname(file.path)))
        self._sources[shown] = file.text
        return shown, file.text

    def close(self) -> None:
        self._open.pop()

    def _check_circle(self, file: File, shown: str) -> None:
        for at, parsed in enumerate(self._open):
            if parsed.real == file.real:
                circle = ", ".join([each.shown for each in self._open[at:]] + [parsed.shown])
                raise BadInclude(f'"{parsed.shown}" includes itself: {circle}.')

    def _missing(self, name: str) -> str:
        places = [] if os.path.isabs(name) else [self._open[-1].directory or ".", *self._included.search]
        hint = f"\n\tLooked in {', '.join(places)}; name more with --include_path" if places else ""
        return f'Can\'t find "{name}" to include.{hint}'
