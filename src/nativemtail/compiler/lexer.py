"""Program text to tokens (spec language.md §2).

The parser pulls one token at a time, because only it knows whether a `/` divides or opens a regex literal.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import NamedTuple

from nativemtail.compiler.ast import Position
from nativemtail.compiler.builtins import BUILTINS
from nativemtail.gotext import go_quote

_KEYWORD_NAMES = frozenset(
    ("AFTER", "AS", "BUCKETS", "BY", "CONST", "COUNTER", "DEF", "DEL", "ELSE", "GAUGE", "HIDDEN", "HISTOGRAM", "LIMIT",
     "NEXT", "OTHERWISE", "STOP", "TEXT", "TIMER")
)  # fmt: skip
KEYWORDS: dict[bytes, str] = {name.lower().encode(): name for name in _KEYWORD_NAMES}
_RESERVED = frozenset(name.encode() for name in BUILTINS) - {b"defined"}
"""Always reserved; `defined` is a builtin only where a parenthesis follows (successor.md §1)."""
OPERATORS: dict[bytes, str] = {
    b"++": "INC", b"--": "DEC", b"+": "PLUS", b"-": "MINUS", b"*": "MUL", b"**": "POW", b"/": "DIV", b"%": "MOD",
    b"=": "ASSIGN", b"+=": "ADD_ASSIGN", b"-=": "SUB_ASSIGN",
    b"==": "EQ", b"!=": "NE", b"<": "LT", b"<=": "LE", b">": "GT", b">=": "GE",
    b"<<": "SHL", b">>": "SHR", b"&": "BITAND", b"|": "BITOR", b"^": "XOR", b"~": "NOT", b"&&": "AND", b"||": "OR",
    b"=~": "MATCH", b"!~": "NOT_MATCH", b"!": "BANG",
    b"{": "LCURLY", b"}": "RCURLY", b"(": "LPAREN", b")": "RPAREN", b"[": "LSQUARE", b"]": "RSQUARE", b",": "COMMA",
}  # fmt: skip
"""Spelling to the token name in messages."""

_END_MARK = "\u2424"
_END_BYTES = _END_MARK.encode()
_SPACES = frozenset("\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}

_TOKEN = re.compile(
    rb"""[ \t\r\v\f]*(?:
      (?P<word>[A-Za-z][A-Za-z0-9_]*)
    | (?P<newline>\n)
    | (?P<number>(?:-?[0-9]|\.)[0-9]*)
    | (?P<caps>[$@][A-Za-z0-9_]*)
    | (?P<quote>")
    | (?P<comment>\#)
    | (?P<op>\+\+|--|\+=|-=|\*\*|==|=~|!=|!~|<=|>=|<<|>>|&&|\|\||[-+*/%=<>&|^~!{}()\[\],])
    )""",
    re.VERBOSE,
)
_STRING_RUN = re.compile(rb'[^"\\\n\xe2]+')
_REGEX_RUN = re.compile(rb"[^/\\\n\xe2]+")
_BLANKS = re.compile(rb"[ \t\r\v\f]*")
_PATTERN_FOLLOWS = re.compile(rb"(?:[^/\\\n]|\\[^\n])*/(?:[ \t\r\v\f]|\#[^\n]*\n)*(?:\{|&&|\|\||\+)")
_NAME = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*"
_PATH = re.compile(_NAME + rb"(?:\." + _NAME + rb"|\[[0-9]*\])*")
_WORD_TAIL = re.compile(rb"[A-Za-z0-9_]+")
_UNITS = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
          "h": 3600 * 10**9, "d": 24 * 3600 * 10**9}  # fmt: skip


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("replace-each-byte", _replace_each_byte)


class Token(NamedTuple):
    """`kind` is the token name in messages; `value` the text or number, or the error of an `INVALID` token."""

    kind: str
    value: str | bytes | int | float
    pos: Position


def decode(raw: bytes) -> str:
    """Decode UTF-8 as Go does: every byte that is not part of a character becomes U+FFFD."""
    return raw.decode("utf-8", "replace-each-byte")


def parse_duration(text: str) -> int:
    """A Go duration in nanoseconds; a day is 24 hours (beyond §7).  Raises ValueError with Go's message."""
    invalid = ValueError(f"time: invalid duration {go_quote(text)}")
    rest = text.removeprefix("-")
    total = 0
    if not rest:
        raise invalid
    for part in re.finditer(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)", rest):
        whole, fraction, unit = part.groups()
        if not part.group():
            break
        if not whole and not fraction:
            raise invalid
        if not unit:
            raise ValueError(f"time: missing unit in duration {go_quote(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {go_quote(unit)} in duration {go_quote(text)}")
        if len(whole.lstrip("0")) > 19:
            raise invalid
        scale = _UNITS[unit]
        total += int(whole or "0") * scale
        digits = (fraction or "")[:18]
        total += int(int(digits or "0") * (scale / 10 ** len(digits)))
        if total > 1 << 63:
            raise invalid
    if text.startswith("-"):
        return -total
    if total == 1 << 63:
        raise invalid
    return total


def _number_error(function: str, text: str, reason: str) -> str:
    return f"bad number '{text}': strconv.{function}: parsing {go_quote(text)}: {reason}"


def _is_words(path: bytes) -> bool:
    """Whether all that is not ASCII in a path are letters and digits."""
    text = path.decode("utf-8", "replace")
    return text.isascii() or all(char.isascii() or char.isalnum() for char in text)


class Lexer:
    """Tokens of one program; a lexical error is a token of kind `INVALID`."""

    def __init__(self, name: str, source: bytes) -> None:
        self._name = name
        self._source = source
        self._at = 0
        self._line = 1
        self._origin = 0
        """Offset of column 1; adjusted where mtail counts a consumed newline as having no width."""
        self._comment_end = -1
        self._comment_column = 0
        self._has_end_mark = _END_BYTES in source
        self._start = 0
        """Offset of the latest token."""
        self._number_start = -1
        """Offset of the latest token if that is a number, else -1."""
        self.after_comment = False
        """Whether a comment stands in front of the latest token."""

    def next(self) -> Token:
        """The next token; at the end of the text `$end`, any number of times."""
        self.after_comment = False
        self._number_start = -1
        while True:
            match = _TOKEN.match(self._source, self._at)
            if match is None:
                token = self._unusual()
                if token is not None:
                    return token
                continue
            group = match.lastgroup
            start, end = match.span(group or 0)
            self._at = end
            self._start = start
            if group == "word":
                return self._word(start)
            if group == "op":
                spelling = match.group("op")
                if spelling == b"-" and self._unicode_digit():
                    return self._number(start)
                return Token(OPERATORS[spelling], spelling, self._span(start))
            if group == "newline":
                return self._newline(start)
            if group == "number":
                return self._number(start)
            if group == "caps":
                return self._sigil(start)
            if group == "quote":
                return self._string(start)
            self._comment(start)
            self.after_comment = True

    def following(self) -> bytes:
        """The character after the latest token if it is on the same line, else nothing."""
        match = _BLANKS.match(self._source, self._at)
        assert match is not None
        return self._source[match.end() : match.end() + 1].strip()

    def path(self) -> Token:
        """The next token as a path of fields if it begins with a letter or _: a PATH, of names, indexes and []."""
        source = self._source
        while True:
            blanks = _BLANKS.match(source, self._at)
            assert blanks is not None
            start = blanks.end()
            if not source.startswith(b"#", start):
                break
            self._comment(start)
        match = _PATH.match(source, start)
        if match is None or not _is_words(match[0]):
            return self.next()
        self.behind_comment = False
        self._number_start = -1
        self._start, self._at = start, match.end()
        return Token("PATH", match[0], self._span(start))

    def written(self) -> str:
        """The latest token as written."""
        return self._source[self._start : self._at].decode("utf-8", "replace")

    def number_text(self) -> str:
        """The latest token, a number, as written."""
        return self._source[self._number_start : self._at].decode()

    def minus(self) -> Token | None:
        """If the latest token is a number with a minus, read that minus alone, as the operator; the digits are next."""
        start = self._number_start
        if start < 0 or self._source[start] != ord("-"):
            return None
        self._at = start + 1
        return Token("MINUS", b"-", self._span(start))

    def begins_pattern(self) -> bool:
        """Whether the latest token, a slash, begins a pattern: whether what follows continues as a condition then."""
        return _PATTERN_FOLLOWS.match(self._source, self._at) is not None

    def regex(self) -> Token:
        """The text of a regex literal whose opening slash was the latest token, up to its closing slash."""
        start = self._at
        text, closed = self._delimited(_REGEX_RUN, b"/")
        if closed:
            return Token("REGEX", text, self._span(start))
        if start == self._at:
            pos = Position(self._name, self._line, self._column(start), self._column(start))
        else:
            pos = self._span(start)
        self._swallow()
        return Token("INVALID", f'Unterminated regular expression: "/{text.decode()}"', pos)

    # --- positions ---------------------------------------------------------------------------------------

    def _column(self, offset: int) -> int:
        return offset - self._origin + 1

    def _start_column(self, offset: int) -> int:
        # A token that directly follows a comment's newline begins, for mtail, where that newline stood.
        return self._comment_column if offset == self._comment_end else self._column(offset)

    def _span(self, start: int) -> Position:
        first = self._comment_column if start == self._comment_end else start - self._origin + 1
        return Position(self._name, self._line, first, self._at - self._origin)

    def _swallow(self) -> None:
        """Skip the character that ended a literal early; it counts neither as a column nor as a line."""
        if self._source.startswith(b"\n", self._at):
            self._at += 1
            self._origin += 1
        elif self._source.startswith(_END_BYTES, self._at):
            self._at += len(_END_BYTES)
            self._origin += len(_END_BYTES)

    # --- tokens ------------------------------------------------------------------------------------------

    def _newline(self, start: int) -> Token:
        column = self._start_column(start)
        self._line += 1
        self._origin = self._at
        return Token("NL", b"\n", Position(self._name, self._line, column, column))

    def _comment(self, start: int) -> None:
        newline = self._source.find(b"\n", start)
        end = len(self._source) if newline < 0 else newline
        mark = self._source.find(_END_BYTES, start, end) if self._has_end_mark else -1
        if mark >= 0:
            self._at = mark
            self._swallow()
            return
        self._at = end
        if newline < 0:
            return
        self._comment_column = self._column(newline)
        self._comment_end = self._at = newline + 1
        self._line += 1
        self._origin = self._at

    def _word(self, start: int) -> Token:
        self._extend_word()
        word = self._source[start : self._at]
        pos = self._span(start)
        if word in KEYWORDS:
            return Token(KEYWORDS[word], word, pos)
        if word in _RESERVED or (word == b"defined" and self.following() == b"("):
            return Token("BUILTIN", word.decode(), pos)
        return Token("ID", word.decode(), pos)

    def _sigil(self, start: int) -> Token:
        self._extend_word()
        text = self._source[start + 1 : self._at].decode()
        pos = self._span(start)
        if self._source[start] == ord("@"):
            return Token("DECO", text, pos)
        return Token("CAPREF" if not text or text.isdecimal() else "CAPREF_NAMED", text, pos)

    def _extend_word(self) -> None:
        """Extend a word by letters, digits and underscores, including non-ASCII ones."""
        while self._at < len(self._source) and self._source[self._at] >= 0x80:
            char, width = self._rune()
            if not (char.isalpha() or char.isdecimal()):
                return
            self._at += width
            tail = _WORD_TAIL.match(self._source, self._at)
            if tail is not None:
                self._at = tail.end()

    def _digits(self) -> None:
        source, at = self._source, self._at
        while at < len(source):
            if 0x30 <= source[at] <= 0x39:
                at += 1
                continue
            self._at = at
            char, width = self._rune()
            if not char.isdecimal():
                return
            at += width
        self._at = at

    def _peek(self, choices: bytes) -> bool:
        return self._at < len(self._source) and self._source[self._at] in choices

    def _number(self, start: int) -> Token:
        """Scan the rest of a number after its first digits or point (§2.6), and evaluate it."""
        source = self._source
        self._number_start = start
        fractional = source[start] == ord(".")
        self._digits()
        if not fractional and self._peek(b"."):
            fractional = True
            self._at += 1
            self._digits()
        if self._peek(b"eE"):
            fractional = True
            self._at += 1
            if self._peek(b"+-"):
                self._at += 1
            self._digits()
        if self._peek(b"smhd"):
            while self._peek(b"smhd.+-0123456789") or self._unicode_digit():
                self._at += 1 if source[self._at] < 0x80 else self._rune()[1]
            return self._duration(start)
        text = source[start : self._at].decode()
        pos = self._span(start)
        return self._float(text, pos) if fractional else self._int(text, pos)

    def _unicode_digit(self) -> bool:
        return self._at < len(self._source) and self._source[self._at] >= 0x80 and self._rune()[0].isdecimal()

    def _int(self, text: str, pos: Position) -> Token:
        if not text.isascii():
            return Token("INVALID", _number_error("ParseInt", text, "invalid syntax"), pos)
        digits = text.lstrip("-").lstrip("0")
        if len(digits) <= 19:
            value = int(digits or "0") * (-1 if text.startswith("-") else 1)
            if -(1 << 63) <= value < 1 << 63:
                return Token("INTLITERAL", value, pos)
        return Token("INVALID", _number_error("ParseInt", text, "value out of range"), pos)

    def _float(self, text: str, pos: Position) -> Token:
        try:
            value = float(text if text.isascii() else "")
        except ValueError:
            return Token("INVALID", _number_error("ParseFloat", text, "invalid syntax"), pos)
        if value in (float("inf"), float("-inf")):
            return Token("INVALID", _number_error("ParseFloat", text, "value out of range"), pos)
        return Token("FLOATLITERAL", value, pos)

    def _duration(self, start: int) -> Token:
        pos = self._span(start)
        try:
            return Token("DURATIONLITERAL", parse_duration(self._source[start : self._at].decode()), pos)
        except ValueError as error:
            return Token("INVALID", str(error), pos)

    def _string(self, start: int) -> Token:
        text, closed = self._delimited(_STRING_RUN, b'"')
        if closed:
            self._at += 1
            return Token("STRING", text, self._span(start))
        pos = self._span(start)
        self._swallow()
        return Token("INVALID", f'Unterminated quoted string: "\\"{text.decode()}"', pos)

    def _delimited(self, run: re.Pattern[bytes], delimiter: bytes) -> tuple[bytes, bool]:
        """Text up to the unescaped `delimiter`, which is not passed, and whether there was one."""
        source, pieces = self._source, []
        while True:
            match = run.match(source, self._at)
            if match is not None:
                pieces.append(match.group())
                self._at = match.end()
            char = source[self._at : self._at + 1]
            if char == delimiter:
                return self._clean(pieces), True
            if char in (b"", b"\n") or source.startswith(_END_BYTES, self._at):
                return self._clean(pieces), False
            self._at += 1
            if char != b"\\":
                pieces.append(char)
            elif source.startswith(delimiter, self._at):
                pieces.append(delimiter)
                self._at += 1
            elif not (source[self._at : self._at + 1] in (b"", b"\n") or source.startswith(_END_BYTES, self._at)):
                pieces.append(source[self._at - 1 : self._at + 1])
                self._at += 1

    @staticmethod
    def _clean(pieces: list[bytes]) -> bytes:
        return decode(b"".join(pieces)).encode()

    def _rune(self) -> tuple[str, int]:
        """The character at the current offset and its width in bytes."""
        raw = self._source[self._at : self._at + 4]
        lead = raw[0]
        width = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        try:
            return raw[:width].decode(), width
        except UnicodeDecodeError:
            return "\ufffd", 1

    def _unusual(self) -> Token | None:
        """End of text, non-ASCII white space (None), non-ASCII letters, or an invalid character."""
        source = self._source
        while self._at < len(source) and source[self._at] in b" \t\r\v\f":
            self._at += 1
        start = self._start = self._at
        if start >= len(source) or source.startswith(_END_BYTES, start):
            column = self._start_column(start)
            return Token("$end", b"", Position(self._name, self._line, column, column))
        char, width = self._rune()
        self._at += width
        if char in _SPACES:
            return None
        if char.isalpha():
            self._at -= width
            self._extend_word()
            return Token("ID", source[start : self._at].decode(), self._span(start))
        if unicodedata.category(char) == "Nd":
            return self._number(start)
        return Token("INVALID", f"Unexpected input: {go_quote(char, chr(39))}", self._span(start))
