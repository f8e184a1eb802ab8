"""The characters of a pattern's text: escape sequences, classes, sets with names.

Invalid bytes are represented by the lone surrogates U+DC80 to U+DCFF, which valid UTF-8 cannot contain.
"""

from __future__ import annotations

import re
from typing import NoReturn

from nativemtail.compiler.regex import tree, ucd
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.ucd import Ranges

_INVALID = re.compile("[\udc80-\udcff]")
_OCTAL = re.compile(r"\\(?:0[0-7]{0,2}|[1-7][0-7]{1,2})")


def _span(text: str) -> Ranges:
    """`09AZ` → 0-9, A-Z."""
    return tuple((ord(lo), ord(hi)) for lo, hi in zip(text[::2], text[1::2], strict=True))


_PERL = {"d": _span("09"), "s": _span("\t\n\f\r  "), "w": _span("09AZ__az")}
_POSIX = {
    "alnum": _span("09AZaz"),
    "alpha": _span("AZaz"),
    "ascii": _span("\0\x7f"),
    "blank": _span("\t\t  "),
    "cntrl": _span("\0\x1f\x7f\x7f"),
    "digit": _span("09"),
    "graph": _span("!~"),
    "lower": _span("az"),
    "print": _span(" ~"),
    "punct": _span("!/:@[`{~"),
    "space": _span("\t\r  "),
    "upper": _span("AZ"),
    "word": _span("09AZ__az"),
    "xdigit": _span("09AFaf"),
}


class Scanner:
    """Reads `text` from `pos` on, under the current modes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.modes = 0

    def invalid(self) -> NoReturn:
        raise RegexError("invalid UTF-8", self.text[self.pos :])

    def next_char(self) -> str:
        char = self.text[self.pos]
        if "\udc80" <= char <= "\udcff":
            self.invalid()
        self.pos += 1
        return char

    def check_utf8(self, start: int, end: int) -> None:
        bad = _INVALID.search(self.text, start, end)
        if bad:
            raise RegexError("invalid UTF-8", self.text[bad.start() : end])

    def named_set(self) -> Ranges | None:
        """`\\d`, `\\pL`, `\\p{Greek}` and the like, or None when the text is none of them."""
        kind = self.text[self.pos + 1 : self.pos + 2]
        if kind == "p" or kind == "P":
            return self.unicode_class(kind == "P")
        ranges = _PERL.get(kind.lower())
        if ranges is None:
            return None
        self.pos += 2
        return self.signed(ranges, kind.isupper())

    def signed(self, ranges: Ranges, negative: bool) -> Ranges:
        if self.modes & tree.FOLD:
            ranges = ucd.fold(ranges)
        return ucd.complement(ranges) if negative else ranges

    def unicode_class(self, negative: bool) -> Ranges:
        text, start = self.text, self.pos
        self.pos += 2
        if text.startswith("{", self.pos):
            end = text.find("}", self.pos)
            if end < 0:
                self.check_utf8(start, len(text))
                raise RegexError("invalid character class range", text[start:])
            self.check_utf8(start + 3, end)
            name = text[start + 3 : end]
            self.pos = end + 1
        else:
            name = self.next_char() if self.pos < len(text) else ""
        if name.startswith("^"):
            negative = not negative
            name = name[1:]
        ranges = ucd.named(name, bool(self.modes & tree.FOLD))
        if ranges is None:
            raise RegexError("invalid character class range", text[start : self.pos])
        return ucd.complement(ranges) if negative else ranges

    def escape(self) -> str:
        """The character that an escape sequence stands for."""
        start = self.pos
        self.pos += 1
        if self.pos == len(self.text):
            raise RegexError("trailing backslash at end of expression", "")
        char = self.next_char()
        if char == "x":
            value = self.hexadecimal()
            if value is not None:
                return chr(value)
        elif char in tree.CONTROLS:
            return tree.CONTROLS[char]
        elif char in "01234567":
            octal = _OCTAL.match(self.text, start)
            if octal:
                self.pos = octal.end()
                return chr(int(octal.group()[1:], 8))
        elif char.isascii() and not char.isalnum():
            return char
        raise RegexError("invalid escape sequence", self.text[start : self.pos])

    def hexadecimal(self) -> int | None:
        """After `\\x`: two digits, or any number in braces; None when malformed."""
        text, end = self.text, len(self.text)
        if self.pos == end:
            return None
        if self.next_char() != "{":
            if self.pos < end:
                self.next_char()
            digits = text[self.pos - 2 : self.pos]
            return int(digits, 16) if re.fullmatch("[0-9A-Fa-f]{2}", digits) else None
        value: int | None = None
        while self.pos < end:
            char = self.next_char()
            if char == "}":
                return value
            if char not in "0123456789ABCDEFabcdef":
                return None
            value = (value or 0) * 16 + int(char, 16)
            if value > ucd.MAX_RUNE:
                return None
        return None

    def char_class(self) -> Ranges:
        text, start = self.text, self.pos
        self.pos += 1
        negative = text.startswith("^", self.pos)
        self.pos += negative
        first = self.pos
        named: list[tuple[int, int]] = []
        plain: list[tuple[int, int]] = []
        while not text.startswith("]", self.pos) or self.pos == first:
            ranges = self.posix_class()
            if ranges is None and text.startswith("\\", self.pos):
                ranges = self.named_set()
            if ranges is not None:
                named.extend(ranges)
                continue
            at = self.pos
            low = high = self.class_char(start)
            if text.startswith("-", self.pos) and self.pos + 1 < len(text) and text[self.pos + 1] != "]":
                self.pos += 1
                high = self.class_char(start)
                if high < low:
                    raise RegexError("invalid character class range", text[at : self.pos])
            plain.append((low, high))
        self.pos += 1
        members = ucd.union(named + plain)
        if plain and self.modes & tree.FOLD:
            members = ucd.fold(members)
        return ucd.complement(members) if negative else members

    def posix_class(self) -> Ranges | None:
        text, start = self.text, self.pos
        end = text.find(":]", start + 2) if text.startswith("[:", start) else -1
        if end < 0:
            return None
        name = text[start + 2 : end]
        negative = name.startswith("^")
        ranges = _POSIX.get(name[negative:])
        if ranges is None:
            raise RegexError("invalid character class range", text[start : end + 2])
        self.pos = end + 2
        return self.signed(ranges, negative)

    def class_char(self, start: int) -> int:
        if self.pos == len(self.text):
            raise RegexError("missing closing ]", self.text[start:])
        return ord(self.escape() if self.text[self.pos] == "\\" else self.next_char())
