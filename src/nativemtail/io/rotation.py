"""Drains files that were renamed or deleted, and tracks their new names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from nativemtail.io import watch
from nativemtail.io.bounded import trim
from nativemtail.io.descriptors import OPEN_FLAGS
from nativemtail.io.followed import Copy, Followed
from nativemtail.io.loop import Loop
from nativemtail.io.sources import Context, Source
from nativemtail.io.table import Table

_MAX_MOVES = 1024
_MAX_UNPROVEN = 32


class Rotation:
    def __init__(self, context: Context, loop: Loop, table: Table) -> None:
        self._context = context
        self._loop = loop
        self._table = table
        self._draining: dict[Followed, None] = {}
        self._moves: dict[int, str] = {}
        self._origins: dict[str, str] = {}
        self._unproven: dict[str, str] = {}

    def __contains__(self, reader: object) -> bool:
        """Whether `reader` is being drained."""
        return reader in self._draining

    def __bool__(self) -> bool:
        return bool(self._draining)

    def __iter__(self) -> Iterator[Followed]:
        return iter(list(self._draining))

    def begin(self, reader: Followed, name: str) -> None:
        """Drain the file that was at the path `name`."""
        reader.was_rotated = True
        reader.turn_of_rotation = reader.turn_of_rotation or self._table.next_turn()
        reader.decide(at_once=True)
        if reader.drained_as is None:
            reader.begin_draining(self._context.hold(name))
        assert reader.drained_as is not None
        self._table.rotated[name] = reader
        reader.former_names.append(name)
        self._table.generations.setdefault(reader.drained_as.name, {})[reader] = None
        reader.has_moved()
        reader.last_data = time.monotonic()
        self._draining[reader] = None
        self._loop.queue(reader)

    def due(self) -> Iterator[Followed]:
        """Deliver unterminated lines that have waited for `flush` seconds; yields files not written to for `linger`."""
        settings = self._context.settings
        now = time.monotonic()
        for reader in list(self._draining):
            if reader.watch < 0:
                self._loop.queue(reader)
            if now - reader.last_data < settings.flush:
                continue
            if reader.turn() or reader.last_data > now or (reader.news and not reader.is_open):
                self._loop.queue(reader)
                continue
            reader.finish()
            if now - reader.last_data >= settings.linger:
                yield reader

    def end(self, reader: Followed) -> None:
        """Stop draining a file that is followed under its paths from now on."""
        if not reader.has_copies:  # in which its last line may continue
            reader.finish()
        if reader.drained_as is not None and reader.copy is not Copy.UNDECIDED:
            self._table.note_end(reader.drained_as.name, reader)
            reader.turn_of_rotation = 0
        source = self._leave(reader)
        reader.count_under_paths()
        reader.path = reader.paths[0].path
        self._release(reader, source)

    def forget(self, reader: Followed) -> None:
        """Forget a reader that was closed, or was at another path than it was drained under."""
        self._release(reader, self._leave(reader))

    def _leave(self, reader: Followed) -> Source | None:
        self._draining.pop(reader, None)
        return reader.end_draining()

    def _release(self, reader: Followed, source: Source | None) -> None:
        if source is None:
            return
        for name in reader.former_names:
            if self._table.rotated.get(name) is reader:
                del self._table.rotated[name]
        reader.former_names.clear()
        source.has_moved()
        drained = self._table.generations.get(source.name, {})
        drained.pop(reader, None)
        if not drained:
            self._table.generations.pop(source.name, None)
        self._context.release(source)

    # Names

    @property
    def is_unproven(self) -> bool:
        """Whether files that may not be read yet were renamed from followed paths."""
        return bool(self._unproven)

    def note(self, path: str, event: watch.Event, matches: bool) -> None:
        """Track the new names of files that were at followed paths."""
        origin = self._origins.pop(path, "")
        self._unproven.pop(path, None)
        if event.mask & watch.MOVED_FROM:
            if not origin and matches and not self._table.is_named_as_copy(path):
                origin = path
            if origin:
                self._moves[event.cookie] = origin
                trim(self._moves, _MAX_MOVES)
        if event.mask & watch.MOVED_TO:
            self._table.note_name(path)
        if event.mask & watch.MOVED_TO and event.cookie in self._moves:
            self._origins[path] = self._unproven[path] = self._moves.pop(event.cookie)
            trim(self._origins, _MAX_MOVES)
            trim(self._unproven, _MAX_UNPROVEN)

    def lost_events(self) -> None:
        self._unproven.clear()

    def open_unproven(self) -> list[tuple[str, str, int]]:
        """Open the unproven files: name, former path, and descriptor of each that still exists."""
        opened: list[tuple[str, str, int]] = []
        for path, origin in self._unproven.items():
            with contextlib.suppress(OSError):
                opened.append((path, origin, os.open(path, OPEN_FLAGS)))
        return opened

    def proven(self, paths: Iterable[str]) -> None:
        """The files with these names are known and read, if they have to be."""
        for path in paths:
            self._unproven.pop(path, None)

    def prove_all_but(self, changed: set[str]) -> None:
        self.proven([path for path in self._unproven if path not in changed])
