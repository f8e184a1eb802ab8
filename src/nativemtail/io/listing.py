"""Directory listings, kept up to date by inotify and shared by the many logs of a directory."""

from __future__ import annotations

import contextlib
import math
import os
import time
from bisect import bisect_left
from collections import OrderedDict

from nativemtail.io import watch
from nativemtail.io.changes import Changes

MAX_NAMES = 1_000_000
"""Maximum number of names kept in all listings."""

_MAX_DIRECTORIES = 512
_CLOCK_GRAIN = 20_000_000
"""Within this many nanoseconds a directory can change twice without a change of its mtime."""


class _Listing:
    """The sorted names of a directory; `watch` is negative if it is not watched."""

    def __init__(self, directory: str, number: int) -> None:
        self.watch = number
        self.made = time.monotonic()
        changed = os.stat(directory).st_mtime_ns
        self.unchanged = changed if time.time_ns() - changed > _CLOCK_GRAIN else None
        """The directory's mtime as long as which an unwatched listing is valid."""
        self.names = sorted(os.listdir(directory))

    def is_good(self, changed: int, since: float) -> bool:
        return self.watch >= 0 or self.made >= since or self.unchanged == changed

    def add(self, name: str) -> None:
        at = bisect_left(self.names, name)
        if self.names[at : at + 1] != [name]:
            self.names.insert(at, name)

    def remove(self, name: str) -> None:
        at = bisect_left(self.names, name)
        if self.names[at : at + 1] == [name]:
            del self.names[at]

    def beginning_with(self, start: str) -> list[str]:
        at = end = bisect_left(self.names, start)
        while end < len(self.names) and self.names[end].startswith(start):
            end += 1
        return self.names[at:end]


class Listings:
    """Belongs to one thread.  Directories that `changes` cannot watch are listed again when their mtime changes."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        changes.observe(self)
        self._listings: OrderedDict[tuple[int, int], _Listing] = OrderedDict()
        self._watches: dict[int, _Listing] = {}

    def beginning_with(self, directory: str, *starts: str, since: float = math.inf) -> list[str]:
        """The names in a directory that begin with one of `starts`, as of now or of some time after `since`.

        `since` is a time of the monotonic clock.  Raises OSError.
        """
        info = os.stat(directory)
        who = info.st_dev, info.st_ino
        self._changes.catch_up()
        listing = self._listings.get(who)
        if listing is None or not listing.is_good(info.st_mtime_ns, since):
            listing = self._listings[who] = self._list(directory)
            self._trim()
        self._listings.move_to_end(who)
        return [name for start in starts for name in listing.beginning_with(start)]

    def note(self, event: watch.Event) -> None:
        if event.mask & watch.OVERFLOW:
            for each in self._listings.values():
                self._unwatch(each)
            return
        listing = self._watches.get(event.watch)
        if listing is None:
            return
        if event.mask & watch.IGNORED:
            del self._watches[event.watch]
            listing.watch = -1
        elif event.mask & (watch.CREATE | watch.MOVED_TO):
            listing.add(event.name)
        elif event.mask & watch.NEW_ENTRY:
            listing.remove(event.name)

    def _list(self, directory: str) -> _Listing:
        number = -1
        if not watch.is_remote(directory):
            with contextlib.suppress(OSError):
                number = self._changes.watch_directory(directory)
        listing = _Listing(directory, number)  # after the watch, so that no change is missed
        if number >= 0:
            self._watches[number] = listing
        return listing

    def _trim(self) -> None:
        """Drop the least recently used listings, but never the last one."""
        total = sum(len(listing.names) for listing in self._listings.values())
        while len(self._listings) > 1 and (len(self._listings) > _MAX_DIRECTORIES or total > MAX_NAMES):
            total -= self._drop()

    def _drop(self) -> int:
        _, listing = self._listings.popitem(last=False)
        self._unwatch(listing)
        return len(listing.names)

    def _unwatch(self, listing: _Listing) -> None:
        if listing.watch >= 0:
            self._watches.pop(listing.watch, None)
            self._changes.unwatch_directory(listing.watch)
            listing.watch = -1
