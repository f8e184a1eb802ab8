"""Layouts of `strptime` (Go reference times) as parse steps.

A compiled layout is `LAYOUT_HEADER` (number of steps, length of the layout), the `LAYOUT_STEP`s, and the layout's own
bytes.  A step covers the next `literal` bytes of the layout, to be matched as they are (blanks loosely), and the
`element` bytes after them, which name a part of a date.  The last step is `END`; its literal is the rest of the
layout.  `core/time/strptime.pxi` runs the steps; spec runtime.md §3, language.md §6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nativemtail.compiler.abi import LAYOUT_FLAGS, LAYOUT_HEADER, LAYOUT_STEP, LayoutOp
from nativemtail.gotext import go_quote

Op = LayoutOp
FIXED = LAYOUT_FLAGS["FIXED"]
BLANK = LAYOUT_FLAGS["BLANK"]
FRACTION_NEXT = LAYOUT_FLAGS["FRACTION_NEXT"]
LOWER = LAYOUT_FLAGS["LOWER"]
COLON = LAYOUT_FLAGS["COLON"]
MINUTES = LAYOUT_FLAGS["MINUTES"]
SECONDS = LAYOUT_FLAGS["SECONDS"]
ZULU = LAYOUT_FLAGS["ZULU"]

_NUMERIC: dict[bytes, tuple[Op, int]] = {
    b"2006": (Op.YEAR4, 0),
    b"06": (Op.YEAR2, 0),
    b"01": (Op.MONTH, FIXED),
    b"1": (Op.MONTH, 0),
    b"02": (Op.DAY, FIXED),
    b"_2": (Op.DAY, BLANK),
    b"2": (Op.DAY, 0),
    b"002": (Op.YEAR_DAY, FIXED),
    b"__2": (Op.YEAR_DAY, BLANK),
    b"15": (Op.HOUR24, 0),
    b"03": (Op.HOUR12, FIXED),
    b"3": (Op.HOUR12, 0),
    b"04": (Op.MINUTE, FIXED),
    b"4": (Op.MINUTE, 0),
    b"05": (Op.SECOND, FIXED),
    b"5": (Op.SECOND, 0),
}
_NAMED: dict[bytes, tuple[Op, int]] = {
    b"January": (Op.MONTH_LONG, 0),
    b"Jan": (Op.MONTH_SHORT, 0),
    b"Monday": (Op.WEEKDAY_LONG, 0),
    b"Mon": (Op.WEEKDAY_SHORT, 0),
    b"PM": (Op.HALF_DAY, 0),
    b"pm": (Op.HALF_DAY, LOWER),
    b"MST": (Op.ZONE_NAME, 0),
}
_OFFSETS: dict[bytes, tuple[Op, int]] = {
    b"-07": (Op.OFFSET, 0),
    b"-0700": (Op.OFFSET, MINUTES),
    b"-07:00": (Op.OFFSET, MINUTES | COLON),
    b"-070000": (Op.OFFSET, MINUTES | SECONDS),
    b"-07:00:00": (Op.OFFSET, MINUTES | SECONDS | COLON),
    b"Z07": (Op.OFFSET, ZULU),
    b"Z0700": (Op.OFFSET, MINUTES | ZULU),
    b"Z07:00": (Op.OFFSET, MINUTES | COLON | ZULU),
    b"Z070000": (Op.OFFSET, MINUTES | SECONDS),
    b"Z07:00:00": (Op.OFFSET, MINUTES | SECONDS | COLON),
}
_ELEMENTS = _NUMERIC | _NAMED | _OFFSETS

# First match wins, so longer spellings come before their prefixes.
_ELEMENT = re.compile(
    rb"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|__2|_2(?!006)|[345]|PM|pm"
    rb"|[-Z]07(?:0000|:00:00|00|:00|)|[.,](?:0++|9++)(?![0-9])"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step, with the bytes of the layout that it covers."""

    op: Op
    flags: int
    literal: bytes
    element: bytes


def _step(literal: bytes, element: bytes) -> Step:
    if element[0] in b".,":
        return Step(Op.FRACTION if element[1:2] == b"0" else Op.OPTIONAL_FRACTION, 0, literal, element)
    op, flags = _ELEMENTS[element]
    return Step(op, flags, literal, element)


def _steps(layout: bytes) -> Iterator[Step]:
    """The elements in order, each with the literal before it, and END."""
    end = 0
    held: Step | None = None
    for found in _ELEMENT.finditer(layout):
        step = _step(layout[end : found.start()], found[0])
        if held is not None:
            fraction = held.op is Op.SECOND and step.op in (Op.FRACTION, Op.OPTIONAL_FRACTION)
            yield Step(held.op, held.flags | FRACTION_NEXT, held.literal, held.element) if fraction else held
        held = step
        end = found.end()
    if held is not None:
        yield held
    yield Step(Op.END, 0, layout[end:], b"")


def _encode(layout: str | bytes) -> bytes:
    return layout if isinstance(layout, bytes) else layout.encode("utf-8", "surrogateescape")


def compile_layout(layout: str | bytes) -> bytes:
    """Compile a Go reference-time layout to parse steps; every text is a valid layout (spec runtime.md §3)."""
    raw = _encode(layout)
    packed = [LAYOUT_STEP.pack(s.op, s.flags, 0, len(s.literal), len(s.element)) for s in _steps(raw)]
    return LAYOUT_HEADER.pack(len(packed), len(raw)) + b"".join(packed) + raw


def elements(layout: str | bytes) -> list[Op]:
    """The elements that the layout reads, in order."""
    return [step.op for step in _steps(_encode(layout)) if step.op is not Op.END]


def describe(compiled: bytes) -> list[str]:
    """One readable line for each literal and element of a compiled layout, for dumps."""
    count, _ = LAYOUT_HEADER.struct.unpack_from(compiled)
    at = LAYOUT_HEADER.size + count * LAYOUT_STEP.size
    lines = []
    for op, _, _, literal, element in LAYOUT_STEP.struct.iter_unpack(compiled[LAYOUT_HEADER.size : at]):
        if literal:
            lines.append(f"literal {go_quote(compiled[at : at + literal])}")
        at += literal
        if element:
            lines.append(f"{Op(op).name.lower()} {go_quote(compiled[at : at + element])}")
        at += element
    return lines


def is_valid(layout: str | bytes) -> bool:
    """Whether the layout can read itself with every `_` taken out and every `Z` as `+` (spec language.md §6)."""
    raw = _encode(layout)
    return _Trial(raw.replace(b"_", b"").replace(b"Z", b"+")).passes(raw)


_MONTHS = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_RANGES = {Op.MONTH: (1, 12), Op.HOUR24: (0, 23), Op.HOUR12: (0, 12), Op.MINUTE: (0, 59), Op.SECOND: (0, 59)}
_WORDS = {
    Op.MONTH_LONG: rb"(?i:january|february|march|april|may|june|july|august|september|october|november|december)",
    Op.MONTH_SHORT: rb"(?i:" + b"|".join(_MONTHS) + rb")",
    Op.WEEKDAY_LONG: rb"(?i:(?:sun|mon|tues|wednes|thurs|fri|satur)day)",
    Op.WEEKDAY_SHORT: rb"(?i:sun|mon|tue|wed|thu|fri|sat)",
    Op.YEAR4: rb"[0-9]{4}",
    Op.YEAR2: rb"[0-9]{2}",
    Op.ZONE_NAME: rb"UTC|MeST|ChST|(?:GMT)?[-+]0*(?:2[0-3]|1?[0-9])(?![0-9])|GMT"
    rb"|(?:[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3})(?![A-Z])",
}


class _Trial:
    """A text that a layout is tried on.  Of the date, it keeps only what can make it invalid."""

    def __init__(self, text: bytes) -> None:
        self.rest = text
        self.month: int | None = None
        self.day: int | None = None
        self.year_day: int | None = None
        self.year = 0

    def passes(self, layout: bytes) -> bool:
        for step in _steps(layout):
            if not self._literal(step.literal) or not self._element(step):
                return False
        return self._exists() and not self.rest

    def _take(self, pattern: bytes) -> bytes | None:
        found = re.match(pattern, self.rest)
        if found is None:
            return None
        self.rest = self.rest[found.end() :]
        return found[0]

    def _literal(self, literal: bytes) -> bool:
        for part in re.findall(rb" +|[^ ]+", literal):
            if part[:1] == b" ":
                if self.rest[:1] not in (b"", b" "):
                    return False
                self.rest = self.rest.lstrip(b" ")
            elif self.rest.startswith(part):
                self.rest = self.rest[len(part) :]
            else:
                return False
        return True

    def _element(self, step: Step) -> bool:
        match step.op:
            case Op.END:
                return True
            case Op.FRACTION:
                return self._take(rb"[.,][0-9]{%d}" % (len(step.element) - 1)) is not None
            case Op.OPTIONAL_FRACTION:
                return self._take(rb"(?:[.,][0-9]{1,9})?") is not None
            case Op.HALF_DAY:
                return self._take(rb"[ap]m" if step.flags & LOWER else rb"[AP]M") is not None
            case Op.OFFSET:
                return self._take(_offset_pattern(step.flags)) is not None
            case op if op in _WORDS:
                word = self._take(_WORDS[op])
                return word is not None and self._word(op, word)
            case _:
                return self._number(step)

    def _word(self, op: Op, word: bytes) -> bool:
        if op in (Op.MONTH_LONG, Op.MONTH_SHORT):
            self.month = _MONTHS.index(word[:3].lower()) + 1
        elif op is Op.YEAR4:
            self.year = int(word)
        elif op is Op.YEAR2:
            self.year = int(word) + (1900 if int(word) >= 69 else 2000)
        return True

    def _number(self, step: Step) -> bool:
        digits = 3 if step.op is Op.YEAR_DAY else 2
        least = digits if step.flags & FIXED else 1
        blanks = digits - 1 if step.flags & BLANK else 0
        text = self._take(rb" {,%d}[0-9]{%d,%d}" % (blanks, least, digits))
        if text is None:
            return False
        value = int(text)
        low, high = _RANGES.get(step.op, (0, 999))
        if step.op is Op.MONTH:
            self.month = value
        elif step.op is Op.DAY:
            self.day = value
        elif step.op is Op.YEAR_DAY:
            self.year_day = value
        elif step.op is Op.SECOND and not step.flags & FRACTION_NEXT:
            self._take(rb"[.,][0-9]+")
        return low <= value <= high

    def _exists(self) -> bool:
        leap = self.year % 4 == 0 and (self.year % 100 != 0 or self.year % 400 == 0)
        lengths = [length - (month == 1 and not leap) for month, length in enumerate(_LENGTHS)]
        if self.year_day is None:
            return 1 <= (1 if self.day is None else self.day) <= lengths[(self.month or 1) - 1]
        day, month = self.year_day, 1
        while month < 12 and day > lengths[month - 1]:
            day -= lengths[month - 1]
            month += 1
        return 1 <= day <= lengths[month - 1] and self.month in (None, month) and self.day in (None, day)


def _offset_pattern(flags: int) -> bytes:
    colon = b":" if flags & COLON else b""
    numbers = 1 + bool(flags & MINUTES) + bool(flags & SECONDS)
    return rb"[-+]" + colon.join([b"[0-9]{2}"] * numbers)
