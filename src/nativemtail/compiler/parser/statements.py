"""Statements, blocks and declarations; open blocks are kept on a stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from nativemtail.compiler import ast
from nativemtail.compiler.ast import NOWHERE, Position, merge, merge_all
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.lexer import Token
from nativemtail.compiler.parser.bounds import SPACINGS, exact, spaced
from nativemtail.compiler.parser.expressions import (
    NEGATION,
    OPERAND_STARTS,
    PATTERN,
    POSTFIX,
    PRIMARY,
    ExpressionParser,
    regrouped,
)
from nativemtail.compiler.parser.fields import field_pattern
from nativemtail.compiler.parser.inclusion import BadInclude, Inclusion
from nativemtail.compiler.parser.records import record_statement
from nativemtail.compiler.parser.tokens import Tokens
from nativemtail.compiler.parser.words import STATEMENT_WORDS, VISIBLE

_ASSIGN = {"ASSIGN": "=", "ADD_ASSIGN": "+=", "SUB_ASSIGN": "-="}
_DEFINITIONS = frozenset(("CONST", "DEF", "NL", "INVALID"))
_NUMBERS = ("INTLITERAL", "FLOATLITERAL")
_KINDS = frozenset(("COUNTER", "GAUGE", "TIMER", "TEXT", "HISTOGRAM"))
_NO_EFFECT = "statement with no effect, missing an assignment, `+' concatenation, or `{}' block?"
_RUNS = (ast.Cond, ast.Every, ast.DecoUse, ast.ExprStmt, ast.Del, ast.Stop)
"""Statements that run on lines."""
_OPEN_BLOCK = "unexpected end of file, expecting '}' to end block"


@dataclass(slots=True)
class _Open:
    """A block whose `}` is still to come."""

    kind: str
    pos: Position
    words: int
    name: str = ""
    cond: ast.Expr | None = None
    head: Position = NOWHERE
    truth: ast.Block | None = None
    stmts: list[ast.Stmt] = field(default_factory=list)
    next_words: int | None = None
    """In a decorator: the contextual words that are names at its `next`, as bits."""
    before: _Open | None = None
    """The condition that this one is the `else if` of; its `truth` is complete."""
    pattern: ast.Pattern | ast.Fields | None = None
    """Of an `every`, whose `cond` is the text that it goes through."""


class Parser(Tokens):
    """`includer` is the parser of the file that includes this one."""

    def __init__(self, name: str, source: bytes, inclusion: Inclusion, includer: Parser | None = None) -> None:
        super().__init__(name, source, includer)
        self.inclusion = inclusion
        self.includer = includer
        self.decorators: dict[str, int] = {} if includer is None else includer.decorators
        """Decorator to the contextual words that are names at its `next`, as bits."""
        self.open: list[_Open] = [_Open("root", NOWHERE, 0)]
        self.record_at: Position | None = None

    def parse(self) -> ast.Block:
        """Raises CompileError."""
        self.parse_all()
        if self.errors:
            raise CompileError(self.program, self.errors)
        return _block(self.open[0].stmts)

    def parse_all(self) -> None:
        while True:
            kind = self.tok.kind
            if kind == "RCURLY" and len(self.open) > 1:
                self.close_block()
            elif kind == "$end" and len(self.open) == 1:
                break
            elif kind == "$end":
                self.fail(_OPEN_BLOCK)
            else:
                if self.includer is not None and len(self.open) == 1:
                    self.check_definition(kind)
                self.statement(kind)

    def check_definition(self, kind: str) -> None:
        """Raise CompileError unless the statement may stand in an included file."""
        if kind not in _DEFINITIONS and not self.is_line_word("include"):
            self.errors.append((self.tok.pos, "Only const, def and include can stand in an included file."))
            raise CompileError(self.program, self.errors)

    def emit(self, stmt: ast.Stmt) -> None:
        self.open[-1].stmts.append(stmt)

    def open_block(self, block: _Open) -> None:
        if self.tok.kind != "LCURLY":
            self.unexpected("LCURLY")
        self.advance()
        self.open.append(block)

    def else_of(self, block: _Open) -> None:
        """Goes on with the `else` of a block that is complete, if it has one."""
        if self.tok.kind != "ELSE":
            self.emit(_completed(block, None))
            return
        self.advance()
        if self.tok.kind == "ID" and self.tok.value == "if":
            self.advance()
            self.condition(self.whole_condition(), block)
        else:
            self.open_block(_Open("else", block.pos, self.words, before=block))

    def close_block(self) -> None:
        done = self.open.pop()
        self.words = done.words
        end = self.tok.pos
        self.advance()
        body = _block(done.stmts)
        if done.kind in ("if", "every"):
            done.truth = body
            self.else_of(done)
        elif done.kind == "else":
            assert done.before is not None
            self.emit(_completed(done.before, body))
        elif done.kind == "otherwise":
            head = merge(self.mark, end)
            self.emit(ast.Cond(merge(head, body.pos), None, body, None, head))
        elif done.kind == "def":
            if done.next_words is not None:
                self.decorators[done.name] = done.next_words
            self.emit(ast.DecoDecl(merge(self.mark, body.pos), done.name, body))
        elif done.kind == "use":
            self.emit(ast.DecoUse(merge(self.mark, body.pos), done.name, body))
        else:
            self.emit(ast.Begin(merge(done.pos, body.pos), body))

    # --- statements --------------------------------------------------------------------------------------

    def statement(self, kind: str) -> None:
        if kind in ("NL", "INVALID"):
            self.advance()
        elif kind == "HIDDEN":
            self.advance()
            if self.tok.kind not in _KINDS:
                self.unexpected()
            self.declaration(hidden=True)
        elif kind in _KINDS:
            self.declaration(hidden=False)
        elif kind == "CONST":
            self.constant()
        elif kind == "DEF":
            self.set_mark()
            self.advance()
            name = str(self.expect("ID").value)
            self.open_block(_Open("def", self.mark, self.words, name=name))
        elif kind == "DECO":
            self.set_mark()
            name = str(self.tok.value)
            self.advance()
            self.open_block(_Open("use", self.mark, self.words, name=name))
            self.words |= self.decorators.get(name, 0)
        elif kind == "OTHERWISE":
            self.set_mark()
            self.advance()
            self.open_block(_Open("otherwise", self.mark, self.words))
        elif kind == "DEL":
            self.delete()
        elif kind == "NEXT":
            self.next_statement()
        elif kind == "STOP":
            self.emit(ast.Stop(self.tok.pos))
            self.advance()
        elif (
            kind == "ID" and self.tok.value in STATEMENT_WORDS and not self.words & STATEMENT_WORDS[str(self.tok.value)]
        ):
            self.keyword_statement()
        elif self.is_line_word("include"):
            self.include()
        elif self.is_line_word("record"):
            self.record()
        elif self.is_every():
            self.every()
        else:
            self.expression_statement()

    def is_every(self) -> bool:
        """Whether the current token begins an `every`; a visible name of that spelling divides (beyond §1)."""
        following = self.lexer.following()
        if self.tok.kind != "ID" or self.tok.value != "every" or not following:
            return False
        if following == b"/":
            return not self.words & VISIBLE["every"]
        return self.is_line_word("every") or following in (b"$", b"(")

    def every(self) -> None:
        """Parse the head of an `every`, and open its block."""
        word = self.tok
        self.advance()
        subject, pattern = self.every_pattern(word)
        if self.tok.kind in ("AND", "OR", "PLUS"):
            hint = "\n\tPut other conditions into its block"
            self.errors.append((self.tok.pos, f"every takes one pattern.{hint}"))
            raise CompileError(self.program, self.errors)
        if isinstance(pattern, ast.Fields) and not self.errors:
            self.check_elements(word, pattern)
        self.open_block(_Open("every", word.pos, self.words, cond=subject, head=word.pos, pattern=pattern))

    def check_elements(self, word: Token, pattern: ast.Fields) -> None:
        if pattern.format != "json":
            self.errors.append((word.pos, "every goes through matches of /…/ or elements of json."))
        elif not any("[]" in field.path for field in pattern.fields):
            self.errors.append((word.pos, "No field of this every has []."))

    def every_pattern(self, word: Token) -> tuple[ast.Expr | None, ast.Pattern | ast.Fields]:
        if self.tok.kind == "DIV":
            return None, self.concatenation([])
        if self.is_fields():
            return None, field_pattern(self, every=True)
        subject, shape = ExpressionParser(self, subject=True).run()
        if self.tok.kind == "MATCH":
            self.advance()
            self.skip_newline()
            if self.is_fields():
                return subject, field_pattern(self, every=True)
            return subject, self.concatenation([])
        if self.tok.kind == "NOT_MATCH":
            self.errors.append((self.tok.pos, "every can't go through what does not match."))
            raise CompileError(self.program, self.errors)
        if shape == PATTERN and isinstance(subject, ast.Pattern):
            return None, subject
        if isinstance(subject, ast.Id) and self.tok.kind in ("LCURLY", "AND", "OR"):
            return None, ast.Pattern(subject.pos, [subject])
        hint = "\n\tTry `every /…/ {', `every $x =~ /…/ {' or `every json a[] {'"
        self.errors.append((word.pos, f"every takes a pattern.{hint}"))
        raise CompileError(self.program, self.errors)

    def include(self) -> None:
        """Parse the definitions of another file as if they stood here."""
        word = self.tok
        self.advance()
        name = self.expect("STRING")
        if len(self.open) > 1:
            self.errors.append((word.pos, "include can't stand in a block."))
            return
        try:
            found = self.inclusion.open(_text(name))
        except BadInclude as error:
            self.errors.append((name.pos, str(error)))
            raise CompileError(self.program, self.errors) from None
        if found is None:
            return
        inner = Parser(*found, self.inclusion, includer=self)
        inner.parse_all()
        self.inclusion.close()
        self.words = inner.words
        self.open[-1].stmts += inner.open[0].stmts

    def record(self) -> None:
        pos = self.tok.pos
        statement = record_statement(self)
        if len(self.open) > 1:
            self.errors.append((pos, "record can't stand in a block."))
        elif self.record_at is not None:
            self.errors.append((pos, f"A program has one record statement.\n\tThe first is at {self.record_at}"))
        else:
            self.record_at = pos
            if any(isinstance(stmt, _RUNS) for stmt in self.open[0].stmts):
                self.errors.append((pos, "record must stand above the first condition."))
            self.emit(statement)

    def keyword_statement(self) -> None:
        word = self.tok
        self.advance()
        if word.value == "begin":
            self.open_block(_Open("begin", word.pos, self.words))
            return
        statement = ast.LogFilter(word.pos, [], [])
        end = self.filter_item(statement)
        while self.tok.kind == "COMMA":
            self.advance()
            self.skip_newlines()
            end = self.filter_item(statement)
        statement.pos = merge(word.pos, end)
        self.emit(statement)

    def filter_item(self, statement: ast.LogFilter) -> Position:
        if self.tok.kind != "BANG":
            name = self.expect("STRING", "ID")
            statement.names.append(_text(name))
            return name.pos
        self.advance()
        name = self.expect("STRING")
        statement.excluded.append(_text(name))
        return name.pos

    def next_statement(self) -> None:
        self.emit(ast.Next(self.tok.pos))
        self.advance()
        for block in reversed(self.open):
            if block.kind == "def":
                block.next_words = self.words
                return

    def delete(self) -> None:
        self.set_mark()
        self.advance()
        target, _ = ExpressionParser(self, postfix=True).run()
        if self.tok.kind != "AFTER":
            self.emit(ast.Del(merge(self.mark, self.tok.pos), target, None))
            return
        self.advance()
        duration = self.expect("DURATIONLITERAL")
        assert isinstance(duration.value, int)
        self.emit(ast.Del(merge(self.mark, duration.pos), target, duration.value))

    def constant(self) -> None:
        self.advance()
        name = self.expect("ID")
        self.skip_newline()
        if self.tok.kind not in ("DIV", "ID"):
            self.unexpected("DIV")
        if self.is_fields():
            hint = "\n\tTry `def NAME { json … { next } }'"
            self.errors.append((self.tok.pos, f"A constant can't hold fields.{hint}"))
            raise CompileError(self.program, self.errors)
        pattern = self.concatenation([])
        self.see(str(name.value))
        self.emit(ast.ConstDecl(name.pos, str(name.value), pattern))

    def see(self, name: str) -> None:
        self.words |= VISIBLE.get(name, 0)

    # --- declarations ------------------------------------------------------------------------------------

    def declaration(self, hidden: bool) -> None:
        kind = self.tok.kind.lower()
        self.advance()
        name = self.expect("STRING", "ID")
        decl = ast.VarDecl(name.pos, kind, _text(name), hidden)
        while True:
            attribute = self.tok.kind
            if attribute == "BY":
                self.advance()
                decl.keys = [_text(key) for key in self.items("STRING", "ID")]
            elif attribute == "AS":
                self.advance()
                decl.exported = _text(self.expect("STRING"))
            elif attribute == "LIMIT":
                self.advance()
                limit = self.expect("INTLITERAL").value
                assert isinstance(limit, int)
                decl.limit = limit
            elif attribute == "BUCKETS":
                self.advance()
                decl.buckets = self.spaced_bounds() or [float(bound.value) for bound in self.items(*_NUMBERS)]
            elif attribute == "ID" and self.tok.value in ("help", "unit") and self.lexer.following() == b'"':
                self.described(decl)
            else:
                break
        decl.exported = decl.exported or decl.name
        self.see(decl.name)
        self.emit(decl)

    def described(self, decl: ast.VarDecl) -> None:
        """`help` or `unit` (beyond §8)."""
        word = self.tok.value
        self.advance()
        text = self.expect("STRING")
        assert isinstance(text.value, bytes)
        if word == "help":
            decl.help = _text(text)
        else:
            decl.unit = ast.StringLit(text.pos, text.value)

    def spaced_bounds(self) -> list[float] | None:
        """The bounds of `linear(…)` or `exponential(…)`; None if neither is there (beyond §8)."""
        word, at = str(self.tok.value), self.tok.pos
        if self.tok.kind != "ID" or word not in SPACINGS:
            return None
        self.advance()
        self.expect("LPAREN")
        self.skip_newlines()
        numbers: list[Fraction] = []
        for place in range(3):
            if place:
                self.expect("COMMA")
                self.skip_newlines()
            text = self.lexer.number_text() if self.tok.kind in _NUMBERS else ""
            self.expect(*(_NUMBERS if place < 2 else _NUMBERS[:1]))
            numbers.append(exact(text))
        self.skip_newlines()
        end = self.tok.pos
        self.expect("RPAREN")
        try:
            return spaced(word, *numbers)
        except ValueError as error:
            self.errors.append((merge(at, end), str(error)))
            return [0.0, 1.0]

    def items(self, *kinds: str) -> list[Token]:
        items = [self.expect(*kinds)]
        while self.tok.kind == "COMMA":
            self.advance()
            self.skip_newlines()
            items.append(self.expect(*kinds))
        return items

    def expression_statement(self) -> None:
        if self.tok.kind not in OPERAND_STARTS:
            self.unexpected()
        in_parentheses = self.tok.kind == "LPAREN"
        expr, shape = ExpressionParser(self).run()
        if shape in (PRIMARY, POSTFIX) and self.ends_statement():
            self.emit(ast.ExprStmt(expr.pos, expr))
            self.skip_newline()
        elif shape in (PRIMARY, POSTFIX, NEGATION) and self.tok.kind in _ASSIGN:
            self.assignment(expr, _ASSIGN[self.tok.kind])
        else:
            self.condition(expr if in_parentheses else regrouped(expr))

    def whole_condition(self) -> ast.Expr:
        """The condition after `else if`."""
        if self.tok.kind not in OPERAND_STARTS:
            self.unexpected()
        in_parentheses = self.tok.kind == "LPAREN"
        expr = self.expression()
        return expr if in_parentheses else regrouped(expr)

    def ends_statement(self) -> bool:
        """Whether an expression statement ends here; otherwise the token after a comment continues it (beyond §7)."""
        kind = self.tok.kind
        return kind in ("NL", "RCURLY", "$end") or (self.lexer.after_comment and kind != "LCURLY")

    def assignment(self, target: ast.Expr, op: str) -> None:
        self.advance()
        self.skip_newline()
        value = self.expression()
        if not self.ends_statement():
            self.unexpected("NL")
        self.skip_newline()
        pos = merge(target.pos, value.pos)
        self.emit(ast.ExprStmt(pos, ast.Binary(pos, op, target, value)))

    def condition(self, cond: ast.Expr, before: _Open | None = None) -> None:
        """Open the block of `cond`; the current token must be its `{`."""
        kind = self.tok.kind
        if kind == "NL":
            self.fail(_NO_EFFECT)
        if kind == "LSQUARE":
            self.fail("unexpected indexing of an expression")
        head = cond.pos
        if isinstance(cond, ast.Pattern):
            head = merge(self.tok.pos, cond.pos)
        elif isinstance(cond, ast.Binary) and isinstance(cond.lhs, ast.Pattern):
            head = cond.pos = merge(merge(self.tok.pos, cond.lhs.pos), cond.rhs.pos)
        self.open_block(_Open("if", head, self.words, cond=cond, head=head, before=before))

    def expression(self) -> ast.Expr:
        return ExpressionParser(self).run()[0]


def _completed(block: _Open, otherwise: ast.Block | None) -> ast.Cond | ast.Every:
    return _every(block, otherwise) if block.kind == "every" else _chained(block, otherwise)


def _chained(last: _Open, otherwise: ast.Block | None) -> ast.Cond | ast.Every:
    """The statement of a condition, and around it those that it is the `else if` of."""
    at: _Open | None = last
    while True:
        assert at is not None
        assert at.truth is not None
        pos = merge(at.head, at.truth.pos)
        if otherwise is not None:
            pos = merge(pos, otherwise.pos)
        statement = ast.Cond(pos, at.cond, at.truth, otherwise, at.head)
        statement.continues = at is not last
        at = at.before
        if at is None:
            return statement
        if at.kind == "every":
            return _every(at, _block([statement]))
        otherwise = _block([statement])


def _every(head: _Open, otherwise: ast.Block | None) -> ast.Every:
    assert head.truth is not None
    assert head.pattern is not None
    pos = merge(head.pos, head.truth.pos)
    return ast.Every(pos, head.cond, head.pattern, head.truth, otherwise)


def _text(token: Token) -> str:
    return token.value.decode() if isinstance(token.value, bytes) else str(token.value)


def _block(stmts: list[ast.Stmt]) -> ast.Block:
    return ast.Block(merge_all(stmts), stmts)
