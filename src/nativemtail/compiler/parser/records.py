"""`record`: what a program sees as its line (beyond README §2, §5)."""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.framing import DEFAULT_MOST, DEFAULT_TIMEOUT
from nativemtail.compiler.lexer import Token
from nativemtail.compiler.parser.tokens import Tokens
from nativemtail.compiler.records import given_captures

_CONTAINERS = ("cri", "docker")
_PATTERNS = ("start", "end", "continue")


def record_statement(p: Tokens) -> ast.Record:
    """Parse a record statement, whose word is the current token."""
    word = p.tok
    p.advance()
    record = ast.Record(word.pos, "")
    framing = _word(p)
    if framing in _CONTAINERS:
        record.container = framing
        record.captures = given_captures(word.pos)
        p.advance()
        framing = _word(p)
    if framing == "lines":
        p.advance()
        record.joined = "lines"
        record.count = _lines(p)
    elif framing in _PATTERNS:
        p.advance()
        if p.tok.kind not in ("DIV", "ID"):
            p.unexpected("DIV")
        record.joined = framing
        record.pattern = p.concatenation([])
    elif framing == "csv" and not record.container:
        p.advance()
        record.joined = "csv"
        record.separator = _separator(p)
    elif not record.container:
        _unknown(p)
    _options(p, record)
    return record


def _word(p: Tokens) -> str:
    return str(p.tok.value) if p.tok.kind == "ID" else ""


def _unknown(p: Tokens) -> None:
    if p.tok.kind in ("STRING", "INVALID"):
        p.unexpected()
    hint = "\n\tUse start, end, continue, lines, csv, cri or docker"
    p.errors.append((p.tok.pos, f"Unknown kind of record `{p.written(p.tok)}'.{hint}"))
    raise CompileError(p.program, p.errors)


def _number(p: Tokens) -> Token:
    """A number of lines, at least one."""
    number = p.expect("INTLITERAL")
    if int(number.value) < 1:
        p.errors.append((number.pos, "A record has at least 1 line."))
    return number


def _lines(p: Tokens) -> int:
    return int(_number(p).value)


def _separator(p: Tokens) -> int:
    if _word(p) != "separator":
        return ord(",")
    p.advance()
    text, written = p.tok, p.written(p.tok)
    p.expect("STRING")
    return p.separator(text, written)


def _options(p: Tokens, record: ast.Record) -> None:
    """`max N lines` and `timeout D`, in any order."""
    given: set[str] = set()
    while (word := _word(p)) in ("max", "timeout"):
        if word in given:
            p.errors.append((p.tok.pos, f"{word} is given twice."))
        given.add(word)
        p.advance()
        if word == "max":
            _max(p, record)
        else:
            _timeout(p, record)
    record.most = record.most or max(DEFAULT_MOST, record.count)
    record.timeout = record.timeout or DEFAULT_TIMEOUT


def _max(p: Tokens, record: ast.Record) -> None:
    number = _number(p)
    record.most = int(number.value)
    if 1 <= record.most < record.count:
        text = f"A record of {record.count} lines can't have max {record.most} lines."
        p.errors.append((number.pos, text))
    if _word(p) != "lines":
        p.unexpected()
    p.advance()


def _timeout(p: Tokens, record: ast.Record) -> None:
    duration = p.expect("DURATIONLITERAL")
    record.timeout = int(duration.value)
    if record.timeout <= 0:
        p.errors.append((duration.pos, "The timeout of a record must be more than 0s."))
