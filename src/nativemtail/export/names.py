"""Replaces characters that a push format cannot represent in a name (row `pushed-names`).

Label values come from log lines and may contain anything.  A run of characters that have a meaning in a format becomes
one `_`, as does the separator; collectd can escape some.  Series whose names are too long for a peer are left out and
counted.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_NEVER = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""Control characters, and bytes that are not UTF-8: carbon closes the connection when it receives one."""

_GRAPHITE = re.compile(rf"[{_NEVER}\s;{{}}()\[\]*?,'\"|\\]+")
"""White space ends the name, `;` and `{` begin tags; the others are syntax in queries."""
_STATSD = re.compile(rf"[{_NEVER}\s:|@#,;\[\]'\"\\]+")
"""Separators of a line, and characters that begin tags in other servers' dialects."""
_COLLECTD = re.compile(rf"[{_NEVER}]+")

GRAPHITE_FILE = 251
"""Maximum bytes in a part of a name: whisper stores it as a file `PART.wsp`."""
GRAPHITE_NAME = 4000
COLLECTD_NAME = 127
"""Maximum bytes in a part of an identifier (`DATA_MAX_NAME_LEN`)."""
COLLECTD_LINE = 1023
"""collectd treats what follows a newline as another command."""


def graphite(text: str) -> str:
    return _GRAPHITE.sub("_", text)


def statsd(text: str) -> str:
    return _STATSD.sub("_", text)


def collectd(text: str) -> str:
    return _COLLECTD.sub("_", text)


def collectd_quoted(text: str) -> str:
    """Escape for use between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def fits_graphite(name: bytes) -> bool:
    if len(name) <= GRAPHITE_FILE:
        return True
    return len(name) <= GRAPHITE_NAME and max(map(len, re.split(rb"[./]", name))) <= GRAPHITE_FILE


class LeftOut:
    """Counts series that cannot be sent to a peer, and logs each reason once."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._logged: set[str] = set()

    def note(self, count: Callable[[str, int], None], reason: str, what: object) -> None:
        count("dropped", 1)
        if reason not in self._logged:
            self._logged.add(reason)
            log.warning("%s: label sets are left out, %s: %.200r", self._peer, reason, what)
