"""The parser's token stream, and the simplest rules of the grammar: names and patterns."""

from __future__ import annotations

from typing import NoReturn

from nativemtail.compiler import ast
from nativemtail.compiler.ast import NOWHERE, Position, merge, merge_all
from nativemtail.compiler.errors import MAX_ERRORS, CompileError
from nativemtail.compiler.lexer import Lexer, Token
from nativemtail.compiler.parser.words import FUNCTION_WORDS


class Tokens:
    """Tokens with one token of look-ahead.  A syntax error raises CompileError with all errors so far."""

    def __init__(self, name: str, source: bytes, includer: Tokens | None) -> None:
        """`includer` has the tokens of the file that includes this one."""
        self.program: str = name if includer is None else includer.program
        self.lexer = Lexer(name, source)
        self.errors: list[tuple[Position | None, str]] = [] if includer is None else includer.errors
        self.spelling = ""
        self.mark = NOWHERE
        """The *mark* (parser/__init__.py): where the latest construct began that sets it."""
        self.tok = Token("$end", b"", NOWHERE)
        self.words: int = 0 if includer is None else includer.words
        """The contextual words (words.py) that are visible as names, as bits."""
        self.advance()

    def advance(self) -> None:
        self.tok = self.lexer.next()
        if self.tok.kind == "INVALID":
            self.errors.append((self.tok.pos, str(self.tok.value)))
            if len(self.errors) > MAX_ERRORS:
                raise CompileError(self.program, self.errors)

    def fail(self, text: str) -> NoReturn:
        self.errors.append((self.tok.pos, f"syntax error: {text}"))
        raise CompileError(self.program, self.errors)

    def unexpected(self, expecting: str = "") -> NoReturn:
        self.fail(f"unexpected {self.tok.kind}" + (f", expecting {expecting}" if expecting else ""))

    def expect(self, *kinds: str, expecting: str = "") -> Token:
        """Consume the current token, which must be one of `kinds`, and return it."""
        token = self.tok
        if token.kind not in kinds:
            self.unexpected(expecting or " or ".join(kinds))
        self.advance()
        return token

    def set_mark(self) -> None:
        self.mark = self.tok.pos

    def skip_newline(self) -> None:
        if self.tok.kind == "NL":
            self.advance()

    def skip_newlines(self) -> None:
        while self.tok.kind == "NL":
            self.advance()

    def separate_minus(self) -> None:
        """Behind an operand, a minus directly before a digit subtracts (beyond §7)."""
        minus = self.lexer.minus()
        if minus is not None:
            self.tok = minus

    def starts_pattern(self) -> bool:
        """Whether the current token, after an expression, is a slash that begins the next statement (beyond §7)."""
        return self.tok.kind == "DIV" and self.lexer.after_comment and self.lexer.begins_pattern()

    def advance_to_path(self) -> None:
        """As `advance`, where a path of fields may stand."""
        self.tok = self.lexer.path()
        if self.tok.kind == "INVALID":
            self.errors.append((self.tok.pos, str(self.tok.value)))

    def expect_path(self, kind: str) -> None:
        """Consume the current token, which must be of that kind; a path may follow it."""
        if self.tok.kind != kind:
            self.unexpected(kind)
        self.spelling = self.lexer.written()
        self.advance_to_path()

    def written(self, token: Token) -> str:
        """The current token, or the one that `expect_path` consumed, as written."""
        return self.lexer.written() if token is self.tok else self.spelling

    def separator(self, text: Token, written: str) -> int:
        """The byte that a string after `separator` stands for."""
        value = bytes(text.value).replace(b"\\t", b"\t")  # type: ignore[arg-type]
        if len(value) == 1 and value not in b'"\r\n' and value < b"\x80":
            return value[0]
        hint = '\n\tUse one ASCII character, or "\\t" for a tab'
        self.errors.append((text.pos, f"Invalid separator {written}.{hint}"))
        return ord(",")

    def is_fields(self) -> bool:
        """Whether the current token, where a pattern may stand, begins a field pattern."""
        if self.tok.kind != "ID" or self.tok.value not in ("json", "logfmt", "csv"):
            return False
        following = self.lexer.following()
        return self.is_line_word(str(self.tok.value)) or (self.tok.value == "csv" and following.isdigit())

    def is_line_word(self, word: str) -> bool:
        """Whether the current token is a word that is one where a word or a string follows on the same line."""
        if self.tok.kind != "ID" or self.tok.value != word:
            return False
        following = self.lexer.following()
        return following == b'"' or following == b"_" or following.isalpha() or following >= b"\x80"

    def is_function(self) -> bool:
        """Whether the current token, where an operand may stand, calls a function whose name is not reserved."""
        name = self.tok.value
        bit = FUNCTION_WORDS.get(name, 0) if isinstance(name, str) and self.tok.kind == "ID" else 0
        return bool(bit & ~self.words) and self.lexer.following() == b"("

    def concatenation(self, parts: list[ast.RegexLit | ast.Id]) -> ast.Pattern:
        """Append the pattern fragments from here on to `parts`; if it has some already, a `+` was just consumed."""
        while True:
            if self.tok.kind == "DIV":
                parts.append(self.regex())
            elif self.is_fields():
                self.errors.append((self.tok.pos, "Fields can't be joined with +.\n\tTry &&"))
                raise CompileError(self.program, self.errors)
            elif self.tok.kind == "ID":
                parts.append(self.identifier())
            else:
                self.unexpected("DIV")
            if self.tok.kind != "PLUS":
                return pattern_of(parts)
            self.advance()
            self.skip_newline()

    def regex(self) -> ast.RegexLit:
        self.set_mark()
        text = self.lexer.regex()
        if text.kind == "INVALID":
            self.errors.append((text.pos, str(text.value)))
            self.errors.append((text.pos, "syntax error: unexpected end of file, expecting '/' to end regex"))
            raise CompileError(self.program, self.errors)
        self.advance()
        literal = ast.RegexLit(merge(self.mark, self.tok.pos), bytes(text.value))  # type: ignore[arg-type]
        self.advance()
        return literal

    def identifier(self) -> ast.Id:
        name = ast.Id(self.tok.pos, str(self.tok.value))
        self.advance()
        return name


def pattern_of(parts: list[ast.RegexLit | ast.Id]) -> ast.Pattern:
    return ast.Pattern(merge_all(parts), parts)
