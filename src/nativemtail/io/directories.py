"""The watched directories: which of them matter to which patterns, and where links lead."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from nativemtail.io import watch
from nativemtail.io.changes import Changes
from nativemtail.io.descriptors import stands_for
from nativemtail.io.links import places
from nativemtail.io.pathtree import PathTree
from nativemtail.io.patterns import Glob
from nativemtail.io.position import Identity, identity
from nativemtail.io.reports import Reports


class Pattern:
    """A glob and the globs of the directories on its way."""

    def __init__(self, glob: Glob) -> None:
        self.glob = glob
        parts = glob.pattern.split("/")[1:]
        self.folders = [Glob("/" + "/".join(parts[:depth])) for depth in range(1, len(parts))]
        self.polled = False
        self.places: list[str] = []
        """What decides where the links among its directories lead."""

    def directories(self) -> Iterator[tuple[str, Glob]]:
        """The directories that exist on the way, each with the glob of what matters in it."""
        inner = [*self.folders, self.glob]
        yield "/", inner[0]
        for folder, matters in zip(self.folders, inner[1:], strict=True):
            for path in folder.expand():
                if os.path.isdir(path):
                    yield path, matters


class Directory:
    """A watched directory: which names in it matter to which patterns."""

    __slots__ = ("files", "folders", "identity", "path", "watch")

    def __init__(self, path: str, number: int, who: Identity) -> None:
        self.path = path
        self.identity = who
        self.watch = number
        self.files: dict[Glob, None] = {}
        self.folders: dict[Glob, Pattern] = {}


class Directories:
    """By path, and by the number of the watch that directories with several paths share.

    `replaced` is called with the path of a directory that turned out to be another one than before.
    """

    def __init__(self, changes: Changes, reports: Reports, replaced: Callable[[str], None]) -> None:
        self._changes = changes
        self._reports = reports
        self._replaced = replaced
        self._by_path: dict[str, Directory] = {}
        self._by_watch: dict[int, list[Directory]] = {}
        self._tree = PathTree()
        self._links: dict[str, set[str]] = {}
        self._hops: dict[str, list[str]] = {}
        self._ways: dict[str, dict[Pattern, None]] = {}

    def of(self, event: watch.Event) -> list[Directory]:
        """Where the event happened."""
        return list(self._by_watch.get(event.watch, ()))

    def links_to(self, path: str) -> list[str]:
        """The paths that are links, on the way of which `path` is."""
        return list(self._links.get(path, ()))

    def ways_through(self, path: str) -> dict[Pattern, None]:
        """The patterns with a link to a directory on the way of which `path` is."""
        return self._ways.get(path, {})

    def watch(self, path: str) -> Directory | None:
        """The directory that is there; None if it cannot be watched."""
        known = self._by_path.get(path)
        if not self._changes.is_on or (known is not None and stands_for(path, known.identity)):
            return known
        if known is not None:
            self.unwatch(known)
            self._replaced(path)
        if watch.is_remote(path):
            return None
        try:
            who = identity(os.stat(path))  # first: what comes to its place meanwhile is another one's
            number = self._changes.watch_directory(path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._reports.limit("watches", "%s: fs.inotify.max_user_watches is reached: polling", path)
            return None
        directory = self._by_path[path] = Directory(path, number, who)
        self._tree.add(path)
        self._by_watch.setdefault(number, []).append(directory)
        return directory

    def unwatch(self, gone: Directory) -> None:
        """It was deleted, moved or unmounted, and with it those below."""
        for path in [gone.path, *self._tree.below(gone.path)]:
            directory = self._by_path.pop(path, None)
            if directory is None:
                continue  # told of more than once
            self._tree.discard(path)
            sharing = self._by_watch.get(directory.watch, [])
            if directory in sharing:
                sharing.remove(directory)
            if not sharing:
                self._by_watch.pop(directory.watch, None)
            self._changes.unwatch_directory(directory.watch)

    def watch_pattern(self, pattern: Pattern) -> Iterator[tuple[str, Glob]]:
        """Watch the directories of a pattern as they are now; each is given with the glob of what matters in it."""
        pattern.polled = False
        if self._changes.is_on:
            self._watch_ways(pattern)
        for path, matters in pattern.directories():
            yield path, matters
            directory = self.watch(path)
            if directory is None:
                pattern.polled = True
            elif matters is pattern.glob:
                directory.files[matters] = None
                self._changes.open_new(directory.watch, path, pattern.glob.last)
            else:
                directory.folders[matters] = pattern

    def watch_links(self, path: str) -> None:
        """Watch where the symbolic links of a path lead, as a change there changes the path's file."""
        self._unwatch_links(path)
        if not os.path.islink(path):
            return  # of its directories `_watch_ways` takes care
        hops = self._hops[path] = self._watch_places(path)
        for place in hops:
            self._links.setdefault(place, set()).add(path)
            directory = self._by_path.get(os.path.dirname(place))
            if directory is not None and not os.path.isdir(place):
                self._changes.open_new(directory.watch, directory.path, [os.path.basename(place)])

    def _unwatch_links(self, path: str) -> None:
        for hop in self._hops.pop(path, ()):
            leading = self._links.get(hop, set())
            leading.discard(path)
            if not leading:
                self._links.pop(hop, None)

    def _watch_ways(self, pattern: Pattern) -> None:
        """Watch where the links among the directories of a pattern lead."""
        for place in pattern.places:
            self._ways.get(place, {}).pop(pattern, None)
            if not self._ways.get(place):
                self._ways.pop(place, None)
        links = [path for folder in pattern.folders for path in folder.expand() if os.path.islink(path)]
        pattern.places = [place for link in links for place in self._watch_places(link)]
        for place in pattern.places:
            self._ways.setdefault(place, {})[pattern] = None

    def _watch_places(self, path: str) -> list[str]:
        return [place for place in places(path) if self.watch(os.path.dirname(place)) is not None]
