"""What the push formats cannot carry in a name, and what becomes of it (row `pushed-names`).

Label values are whatever stood in a log line.  A run of characters that have a meaning in a format becomes one `_`,
as the separator does; collectd has escapes for some.  Labels that are too long for a peer are left out and counted.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_NEVER = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""Control characters, and bytes that are not UTF-8: carbon closes the connection at one of these."""

_GRAPHITE = re.compile(rf"[{_NEVER}\s;{{}}()\[\]*?,'\"|\\]+")
"""Blanks of all kinds end the name, `;` and `{` begin tags; the others are syntax where metrics are asked for."""
_STATSD = re.compile(rf"[{_NEVER}\s:|@#,;\[\]'\"\\]+")
"""The parts of a line, and what begins tags in the dialects of other servers."""
_COLLECTD = re.compile(rf"[{_NEVER}]+")

GRAPHITE_FILE = 251
"""Bytes in a part of a name: whisper keeps a file `PART.wsp`."""
GRAPHITE_NAME = 4000
COLLECTD_NAME = 127
"""Bytes in a part of an identifier (`DATA_MAX_NAME_LEN`)."""
COLLECTD_LINE = 1023
"""collectd takes what follows this for another command."""


def graphite(text: str) -> str:
    return _GRAPHITE.sub("_", text)


def statsd(text: str) -> str:
    return _STATSD.sub("_", text)


def collectd(text: str) -> str:
    return _COLLECTD.sub("_", text)


def collectd_quoted(text: str) -> str:
    """For between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def fits_graphite(name: bytes) -> bool:
    if len(name) <= GRAPHITE_FILE:
        return True
    return len(name) <= GRAPHITE_NAME and max(map(len, re.split(rb"[./]", name))) <= GRAPHITE_FILE


class LeftOut:
    """Counts what a peer cannot be sent, and logs each reason once."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._said: set[str] = set()

    def note(self, count: Callable[[str, int], None], reason: str, what: object) -> None:
        count("dropped", 1)
        if reason not in self._said:
            self._said.add(reason)
            log.warning("%s: label sets are left out, %s: %.200r", self._peer, reason, what)
