"""The watched directories: which patterns need them, and where symbolic links lead."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from nativemtail.globs import Glob
from nativemtail.io import watch
from nativemtail.io.changes import Changes
from nativemtail.io.descriptors import stands_for
from nativemtail.io.links import places
from nativemtail.io.pathtree import PathTree
from nativemtail.io.position import Identity, identity
from nativemtail.io.reports import Reports


class Pattern:
    """A glob, and the globs of its parent directories."""

    def __init__(self, glob: Glob) -> None:
        self.glob = glob
        parts = glob.pattern.split("/")[1:]
        self.folders = [Glob("/" + "/".join(parts[:depth])) for depth in range(1, len(parts))]
        self.polled = False
        self.places: list[str] = []
        """The paths that decide where symbolic links among its directories lead."""

    def directories(self) -> Iterator[tuple[str, Glob]]:
        """The existing directories along the pattern, each with the glob of the entries that matter."""
        inner = [*self.folders, self.glob]
        yield "/", inner[0]
        for folder, matters in zip(self.folders, inner[1:], strict=True):
            for path in folder.expand():
                if os.path.isdir(path):
                    yield path, matters


class Directory:
    """A watched directory, and the patterns that its entries may match."""

    __slots__ = ("files", "folders", "identity", "path", "watch")

    def __init__(self, path: str, number: int, who: Identity) -> None:
        self.path = path
        self.identity = who
        self.watch = number
        self.files: dict[Glob, None] = {}
        self.folders: dict[Glob, Pattern] = {}


class Directories:
    """Watched directories by path, and by watch number, which several paths of one directory share.

    Calls `replaced` with the path when another directory has taken the place of a watched one.
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
        """The directories in which the event happened."""
        return list(self._by_watch.get(event.watch, ()))

    def links_to(self, path: str) -> list[str]:
        """The symbolic links whose resolution passes through `path`."""
        return list(self._links.get(path, ()))

    def ways_through(self, path: str) -> dict[Pattern, None]:
        """The patterns with a directory link whose resolution passes through `path`."""
        return self._ways.get(path, {})

    def watch(self, path: str) -> Directory | None:
        """Watch the directory at `path`; None if that is not possible."""
        known = self._by_path.get(path)
        if not self._changes.is_on or (known is not None and stands_for(path, known.identity)):
            return known
        if known is not None:
            self.unwatch(known)
            self._replaced(path)
        if watch.is_remote(path):
            return None
        try:
            who = identity(os.stat(path))  # before the watch, so that a directory that replaces it meanwhile is noticed
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
        """Drop a directory that was deleted, moved or unmounted, and all below it."""
        for path in [gone.path, *self._tree.below(gone.path)]:
            directory = self._by_path.pop(path, None)
            if directory is None:
                continue  # there may be several events for one
            self._tree.discard(path)
            sharing = self._by_watch.get(directory.watch, [])
            if directory in sharing:
                sharing.remove(directory)
            if not sharing:
                self._by_watch.pop(directory.watch, None)
            self._changes.unwatch_directory(directory.watch)

    def watch_pattern(self, pattern: Pattern) -> Iterator[tuple[str, Glob]]:
        """Watch the directories that a pattern has now; yields each with the glob of the entries that matter."""
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
        """Watch the targets of a path's symbolic links, because a change there changes which file the path names."""
        self._unwatch_links(path)
        if not os.path.islink(path):
            return  # `_watch_ways` watches links among its directories
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
        """Watch the targets of symbolic links among the directories of a pattern."""
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
