"""Field patterns: `json …`, `logfmt …`, `csv …` (beyond README §2, §3)."""

from __future__ import annotations

import re

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position, merge
from nativemtail.compiler.fields import FieldPattern, Step, Wanted, encoded
from nativemtail.compiler.lexer import Token
from nativemtail.compiler.parser.tokens import Tokens

MAX_FIELDS = 256
_TYPES = frozenset(("int", "float", "string"))
_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d*)\]")
_WORD = re.compile(r"[^\W\d]\w*")
_NO_KEY = re.compile(rb'[ \t\n\v\f\r="]')
_INDEX = re.compile(r"0|[1-9][0-9]*")
_MOST = 0xFFFFFFFF
"""A larger index than any text can have."""


def field_pattern(p: Tokens, *, every: bool = False) -> ast.Fields:
    """Parse a field pattern whose word is the current token; with `every` there may be `[]` in paths."""
    word = p.tok
    parser = _FieldParser(p, str(word.value), every)
    end = parser.run()
    pattern = FieldPattern(parser.format, parser.separator, tuple(parser.wanted))
    return ast.Fields(merge(word.pos, end), parser.format, parser.fields, encoded(pattern), every)


class _FieldParser:
    def __init__(self, p: Tokens, format_: str, every: bool) -> None:
        self.p = p
        self.format = format_
        self.every = every
        self.separator = ord(",")
        self.fields: list[ast.Field] = []
        self.wanted: list[Wanted] = []
        self.array: str | None = None
        """The path of the array that `every` goes through."""

    def run(self) -> Position:
        p = self.p
        p.advance_to_path()
        if self.format == "csv" and p.tok.kind == "PATH" and p.tok.value == b"separator":
            self.take_separator()
        while True:
            end = self.field()
            if p.tok.kind != "COMMA":
                return end
            p.advance_to_path()
            while p.tok.kind == "NL":
                p.advance_to_path()

    def error(self, pos: Position, text: str, hint: str = "") -> None:
        self.p.errors.append((pos, text + (f"\n\t{hint}" if hint else "")))

    def take_separator(self) -> None:
        p = self.p
        p.advance()
        text = p.tok
        p.expect_path("STRING")
        self.separator = p.separator(text, p.written(text))

    def field(self) -> Position:
        """Parse one field; the current token is its path."""
        p = self.p
        path = p.tok
        kinds = ("INTLITERAL",) if self.format == "csv" else ("PATH", "STRING")
        if self.format == "csv" and path.kind in ("PATH", "STRING"):
            written = p.written(path)
            self.error(path.pos, f"csv takes column numbers, not `{written}'.", f"Try `csv 1 as {written}'")
        elif path.kind not in kinds:
            p.unexpected()
        written, end = p.written(path), path.pos
        p.advance()
        type_ = "string"
        if p.tok.kind in ("ID", "BUILTIN") and p.tok.value in _TYPES:
            type_, end = str(p.tok.value), p.tok.pos
            p.advance()
        name = ""
        if p.tok.kind == "AS":
            p.advance_to_path()
            if p.tok.kind != "PATH" or not _WORD.fullmatch(_text(p.tok)):
                p.unexpected()
            name, end = _text(p.tok), p.tok.pos
            p.advance()
        optional = p.tok.kind == "ID" and p.tok.value == "optional"
        if optional:
            end = p.tok.pos
            p.advance()
        self.add(path, written, type_, name, optional)
        return end

    def add(self, path: Token, written: str, type_: str, name: str, optional: bool) -> None:
        steps, last = self.steps(path, written)
        name = name or last
        if not name and steps:
            what = f"Column {written}" if self.format == "csv" else f"Field {written}"
            hint = f"Try `csv {written} as NAME'" if self.format == "csv" else f"Try `{written} as NAME'"
            self.error(path.pos, f"{what} has no name.", hint)
        elif name and name in (field.name for field in self.fields):
            self.error(path.pos, f"Two fields are named `{name}'.", "Try as to give one another name")
        self.fields.append(ast.Field(path.pos, written, type_, name, optional))
        self.wanted.append(Wanted(written, steps, type_, optional))
        if len(self.fields) == MAX_FIELDS + 1:
            self.error(path.pos, f"A pattern has at most {MAX_FIELDS} fields.")

    def steps(self, path: Token, written: str) -> tuple[tuple[Step, ...], str]:
        """The steps of a path, and the name that it gives its field; no steps after an error."""
        if isinstance(path.value, int):
            if path.value < 1:
                self.error(path.pos, "Columns of csv count from 1.")
                return (), ""
            return (min(path.value, _MOST),), ""
        text = _text(path)
        if path.kind == "STRING":
            return self.quoted(path, text, written)
        if self.format == "csv":
            return (), ""
        if self.format == "logfmt":
            if "[" in text:
                self.p.errors.append((path.pos, "syntax error: unexpected LSQUARE"))
            return (text.encode(),), text.rpartition(".")[2]
        steps: list[Step] = []
        last = ""
        for part in _PART.finditer(text):
            if part[1] is not None:
                last = part[1]
                steps.append(last.encode())
            else:
                steps.append(min(int(part[2]), _MOST) if part[2] else None)
        if None in steps:
            self.check_array(path, steps, text)
        return tuple(steps), last

    def check_array(self, path: Token, steps: list[Step], text: str) -> None:
        array, _, rest = text.partition("[]")
        if not self.every:
            self.error(path.pos, "[] needs every.", "Try `every json …', or [0] for the first element")
        elif "[]" in rest:
            hint = f"Try `every json {array}[] as x', inside it `every $x =~ json {rest.lstrip('.')}'"
            self.error(path.pos, "A path can have [] once.", hint)
        elif self.array not in (None, array):
            self.error(path.pos, f"Fields with [] must belong to one array: `{self.array}' and `{array}' are two.")
        else:
            self.array = array

    def quoted(self, path: Token, text: str, written: str) -> tuple[tuple[Step, ...], str]:
        if self.format == "logfmt":
            if not text or _NO_KEY.search(text.encode()):
                self.error(path.pos, f"{written} can't be a key of logfmt.")
                return (), ""
            return (text.encode(),), _as_word(text)
        if self.format == "csv":
            return (), ""
        if not text.startswith("/"):
            return (text.encode(),), _as_word(text)
        steps: list[Step] = []
        last = ""
        for part in text[1:].split("/"):
            if re.search("~(?![01])", part):
                self.error(path.pos, f"Invalid JSON pointer {written}.", "Write ~0 for ~ and ~1 for /")
                return (), ""
            step = part.replace("~1", "/").replace("~0", "~")
            is_index = _INDEX.fullmatch(step) is not None
            steps.append((step.encode(), min(int(step), _MOST)) if is_index else step.encode())
            last = last if step.isdecimal() else step
        return tuple(steps), _as_word(last)


def _as_word(text: str) -> str:
    return text if _WORD.fullmatch(text) else ""


def _text(token: Token) -> str:
    return token.value.decode() if isinstance(token.value, bytes) else str(token.value)
