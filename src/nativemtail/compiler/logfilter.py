"""Which logs a program reads: its `log_filter` (beyond README §11; spec successor.md §2.1)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from nativemtail.globs import BadPattern, Glob


class LogFilter(NamedTuple):
    """All `log_filter` statements of a program together."""

    names: tuple[str, ...] = ()
    """Names and globs of logs; none: all logs but the excluded ones."""
    excluded: tuple[str, ...] = ()

    def fits(self, log: str) -> bool:
        """Whether the program reads the log of that name."""
        if any(_fits(name, log) for name in self.excluded):
            return False
        return not self.names or any(_fits(name, log) for name in self.names)

    def joined(self, names: list[str], excluded: list[str]) -> LogFilter:
        """This filter with what a further statement says."""
        return LogFilter(tuple(dict.fromkeys((*self.names, *names))), tuple(dict.fromkeys((*self.excluded, *excluded))))

    def __str__(self) -> str:
        return ", ".join((*self.names, *(f"!{name}" for name in self.excluded)))


def _fits(name: str, log: str) -> bool:
    """A name is compared exactly, as in mtail; if it is a glob, it is also matched."""
    if name == log:
        return True
    glob = _glob(name)
    return glob is not None and glob.matches(log if "/" in name else log.rpartition("/")[2])


@cache
def _glob(name: str) -> Glob | None:
    if not frozenset("*?[").intersection(name):
        return None
    try:
        return Glob(name)
    except BadPattern:
        return None
