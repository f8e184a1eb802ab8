"""Time zones by name, as tables for `_core.TimeZone`.

They come from compiled IANA files (TZif, RFC 8536) in the directories of `zoneinfo.TZPATH`, else from the PyPI package
`tzdata`.  A file's rule for the time after its last transition is expanded for 400 years, after which the Gregorian
calendar, and with it the rule, repeats from `cycle_start` on.  Spec cli-http.md §1, `-override_timezone`.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from nativemtail import plainfile
from nativemtail.gotext import go_quote

CYCLE = 146_097 * 86_400
"""Seconds in 400 years."""

_FAR_PAST = -CYCLE * 10
_FAR_FUTURE = CYCLE * 100


class Zone(NamedTuple):
    """Offsets of a zone over time.

    Before `starts[0]` the type `kinds[0]` applies, from `starts[i]` on `kinds[i + 1]` (indexes into `types`).
    From `cycle_start` on (None: never) everything repeats every `CYCLE` seconds.
    Only the abbreviations of the first `named` types may occur in texts.
    """

    name: str
    starts: tuple[int, ...] = ()
    kinds: tuple[int, ...] = (0,)
    types: tuple[tuple[int, bytes], ...] = ((0, b"UTC"),)
    named: int = 0
    cycle_start: int | None = None


UTC = Zone("UTC")


def load(name: str) -> Zone:
    """The zone of that IANA name, `Local`, or UTC for the empty name.

    Raises LookupError with mtail's text if there is none.
    """
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        return _local()
    try:
        return _decode(name, _read(name))
    except (OSError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"unknown time zone {name}"
        raise LookupError(f"Couldn't parse timezone {go_quote(name)}: {reason}") from None


def _local() -> Zone:
    """The zone of TZ, or of /etc/localtime; UTC if that fails."""
    name = os.environ.get("TZ")
    try:
        if name is None:
            return _decode("Local", _content("/etc/localtime"))
        name = name.removeprefix(":")
        if name.startswith("/"):
            return _decode("Local", _content(name))
        return UTC if name in ("", "UTC") else _decode("Local", _read(name))
    except (OSError, ValueError):
        return UTC


def _content(path: str) -> bytes:
    return plainfile.read(path, _MAX_SIZE)


def _read(name: str) -> bytes:
    if ".." in name or name.startswith(("/", "\\")):
        raise ValueError("time: invalid location name")
    if "\0" in name:
        raise FileNotFoundError(name)
    import zoneinfo  # this import and the next take a tenth of the start-up time

    for directory in zoneinfo.TZPATH:
        path = os.path.join(directory, name)
        if os.path.isdir(path):
            raise ValueError("is a directory")
        if os.path.exists(path):
            return _content(path)
    import importlib.resources

    try:
        return importlib.resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()
    except ModuleNotFoundError:
        raise FileNotFoundError(name) from None


_MAX_SIZE = 1 << 20
_HEAD = struct.Struct(">4sc15x6l")


class _File(NamedTuple):
    """One data block of a TZif file."""

    starts: list[int]
    kinds: list[int]
    types: list[tuple[int, bool, bytes]]  # offset, summer time, abbreviation
    footer: bytes


def _decode(name: str, raw: bytes) -> Zone:
    try:
        file = _parse(raw)
        types = [(offset, label) for offset, _, label in file.types]
        kinds = [_first_kind(file), *file.kinds]
        starts = list(file.starts)
        cycle_start = _extend(file.footer, starts, kinds, types)
    except (struct.error, IndexError):
        raise ValueError("malformed time zone information") from None
    return Zone(name, tuple(starts), tuple(kinds), tuple(types), len(file.types), cycle_start)


def _parse(raw: bytes) -> _File:
    at, width = 0, 4
    magic, version, *counts = _HEAD.unpack_from(raw)
    if magic == b"TZif" and version >= b"2":
        at, width = _HEAD.size + _size(counts, 4), 8
        magic, version, *counts = _HEAD.unpack_from(raw, at)
    _, _, _, n_starts, n_types, n_letters = counts
    if magic != b"TZif" or min(counts) < 0 or n_types == 0:
        raise ValueError("malformed time zone information")
    end = at + _HEAD.size + _size(counts, width)
    at += _HEAD.size
    starts = struct.unpack_from(f">{n_starts}{'q' if width == 8 else 'l'}", raw, at)
    at += n_starts * width
    kinds = struct.unpack_from(f"{n_starts}B", raw, at)
    at += n_starts
    letters = raw[at + n_types * 6 : at + n_types * 6 + n_letters]
    types = [
        (offset, bool(summer), letters[label:].split(b"\0", 1)[0])
        for offset, summer, label in struct.iter_unpack(">lBB", raw[at : at + n_types * 6])
    ]
    sane = not starts or (max(kinds) < n_types and starts[-1] < _FAR_FUTURE and list(starts) == sorted(set(starts)))
    if len(types) != n_types or not sane:
        raise ValueError("malformed time zone information")
    return _File(list(starts), list(kinds), types, raw[end:].strip(b"\n") if width == 8 else b"")


def _size(counts: list[int], width: int) -> int:
    utc_marks, wall_marks, leaps, n_starts, n_types, n_letters = counts
    return n_starts * (width + 1) + n_types * 6 + n_letters + leaps * (width + 4) + wall_marks + utc_marks


def _first_kind(file: _File) -> int:
    """The type before the first transition: 0 if no transition uses it, else a neighbouring standard time."""
    if 0 not in file.kinds:
        return 0
    if file.types[file.kinds[0]][1]:
        for kind in range(file.kinds[0] - 1, -1, -1):
            if not file.types[kind][1]:
                return kind
    return next((kind for kind, (_, summer, _) in enumerate(file.types) if not summer), 0)


# The rule after the last transition: a POSIX TZ string.

_LABEL = rb"([A-Za-z]{3,}|<[^>]{3,}>)"
_CLOCK = rb"([-+]?\d{1,3}(?::\d{1,2}(?::\d{1,2})?)?)"
_CHANGE = rb",(M\d{1,2}\.\d\.\d|J\d{1,3}|\d{1,3})(?:/" + _CLOCK + rb")?"
_RULE = _LABEL + _CLOCK + rb"(?:" + _LABEL + _CLOCK + rb"?(?:" + _CHANGE + _CHANGE + rb")?)?"


def _extend(footer: bytes, starts: list[int], kinds: list[int], types: list[tuple[int, bytes]]) -> int | None:
    """Append the footer's rule for the time after the last transition; returns where its cycle starts, if any."""
    import re

    rule = re.fullmatch(_RULE, footer)
    if rule is None:
        return None
    standard = _kind(types, -_seconds(rule[2]), rule[1])
    if rule[3] is None:
        kinds[-1] = standard
        return None
    offset = types[standard][0]
    summer_offset = offset + 3600 if rule[4] is None else -_seconds(rule[4])
    summer = _kind(types, summer_offset, rule[3])
    if not starts:
        starts.append(_FAR_PAST)
        kinds.append(kinds[0])
    start = starts[-1]
    year = 1970 + start // 31_556_952
    events = []
    for y in range(year - 2, year + 403):
        events.append((_instant(y, rule[5] or b"M3.2.0", rule[6]) - offset, 1, summer))
        events.append((_instant(y, rule[7] or b"M11.1.0", rule[8]) - summer_offset, 0, standard))
    for when, _, kind in sorted(events):
        if when <= starts[-1]:
            kinds[-1] = kind
        elif when < start + CYCLE:
            starts.append(when)
            kinds.append(kind)
    return start


def _kind(types: list[tuple[int, bytes]], offset: int, label: bytes) -> int:
    kind = (offset, label.strip(b"<>"))
    if kind not in types:
        types.append(kind)
    return types.index(kind)


def _seconds(clock: bytes) -> int:
    sign = -1 if clock.startswith(b"-") else 1
    hours, minutes, seconds = map(int, (clock.lstrip(b"+-") + b":0:0").split(b":")[:3])
    return sign * ((hours * 60 + minutes) * 60 + seconds)


def _instant(year: int, day: bytes, clock: bytes | None) -> int:
    """Seconds from the epoch to a day and time of the year, in the wall clock that applies before it."""
    at = 7200 if clock is None else _seconds(clock)
    if day.startswith(b"M"):
        month, week, weekday = map(int, day[1:].split(b"."))
        first = _days(year, month)
        date = first + (weekday - (first + 4)) % 7 + 7 * (week - 1)
        if date >= _days(year + month // 12, month % 12 + 1):
            date -= 7
        return date * 86_400 + at
    number = int(day.lstrip(b"J")) - day.startswith(b"J")
    if day.startswith(b"J") and number >= 59 and _days(year, 3) - _days(year, 1) == 60:
        number += 1
    return (_days(year, 1) + number) * 86_400 + at


def _days(year: int, month: int) -> int:
    """Days from the epoch to the first of the month."""
    before = year - 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    in_year = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)[month - 1] + (leap and month > 2)
    return 365 * year + before // 4 - before // 100 + before // 400 + in_year - 719_527
