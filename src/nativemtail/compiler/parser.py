"""Tokens to the syntax tree (spec language.md §3, successor.md §2.1, §2.3, §2.4).

Recursive descent whose two kinds of nesting, blocks and expressions, are kept on explicit stacks, so that no program
can exhaust Python's.  Positions are those that mtail prints.  It remembers one place in the text, the *mark*, for all
constructs that begin with a keyword, a builtin or a slash; so a construct that contains another one is reported at
the inner one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from nativemtail.compiler import ast
from nativemtail.compiler.ast import NOWHERE, Position, merge, merge_all
from nativemtail.compiler.errors import MAX_ERRORS, CompileError
from nativemtail.compiler.lexer import Lexer, Token

_BINARY: dict[str, tuple[int, str]] = {
    "AND": (1, "&&"), "OR": (1, "||"),
    "BITAND": (2, "&"), "BITOR": (2, "|"), "XOR": (2, "^"),
    "LT": (3, "<"), "GT": (3, ">"), "LE": (3, "<="), "GE": (3, ">="), "EQ": (3, "=="), "NE": (3, "!="),
    "SHL": (4, "<<"), "SHR": (4, ">>"),
    "PLUS": (5, "+"), "MINUS": (5, "-"),
    "MUL": (6, "*"), "DIV": (6, "/"), "MOD": (6, "%"), "POW": (6, "**"),
}  # fmt: skip
"""Token to precedence, loosest first, and spelling; all are left associative."""

_LOGICAL = 1
_MATCH = {"MATCH": "=~", "NOT_MATCH": "!~"}
_ASSIGN = {"ASSIGN": "=", "ADD_ASSIGN": "+="}
_KINDS = frozenset(("COUNTER", "GAUGE", "TIMER", "TEXT", "HISTOGRAM"))
_NO_EFFECT = "statement with no effect, missing an assignment, `+' concatenation, or `{}' block?"
_OPEN_BLOCK = "unexpected end of file, expecting '}' to end block"

# How much of the grammar an operand has used up: what may follow depends on it.
_PRIMARY, _POSTFIX, _NEGATION, _OPERATION, _MATCHED = range(5)


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
    """Of a decorator: the union words that are visible at its `next`."""


@dataclass(slots=True)
class _Pending:
    """What an expression's inner part waits for: an operator's right side, a bracket's end, or the statement."""

    kind: str
    level: int = 0
    op: str = ""
    lhs: ast.Expr | None = None
    pos: Position = NOWHERE
    args: list[ast.Expr] = field(default_factory=list)


_ENDS = {
    "paren": ("AND or OR or RPAREN", "RPAREN"),
    "call": ("RPAREN or COMMA", "RPAREN"),
    "index": ("RSQUARE or COMMA", "RSQUARE"),
}
"""Bracket to what messages expect after an operand in it, and the token that ends it."""

_LITERALS = frozenset(("CAPREF", "CAPREF_NAMED", "STRING", "INTLITERAL", "FLOATLITERAL"))
_OPERAND_STARTS = _LITERALS | {"BUILTIN", "LPAREN", "ID", "NOT"}

_UNION_WORDS = {"begin": 1, "log_filter": 2}
"""Words that are keywords at the start of a statement unless a metric or constant of that name is visible."""


class _Parser:
    def __init__(self, name: str, source: bytes) -> None:
        self.name = name
        self.lexer = Lexer(name, source)
        self.errors: list[tuple[Position | None, str]] = []
        self.mark = NOWHERE
        self.words = 0
        """Bits of the union words that are visible as names."""
        self.decorators: dict[str, int] = {}
        """Decorator to the union words that its `next` makes visible."""
        self.open: list[_Open] = [_Open("root", NOWHERE, 0)]
        self.tok = Token("$end", b"", NOWHERE)
        self.advance()

    # --- tokens and errors -------------------------------------------------------------------------------

    def advance(self) -> None:
        self.tok = self.lexer.next()
        if self.tok.kind == "INVALID":
            self.errors.append((self.tok.pos, str(self.tok.value)))
            if len(self.errors) > MAX_ERRORS:
                raise CompileError(self.name, self.errors)

    def fail(self, text: str) -> NoReturn:
        self.errors.append((self.tok.pos, f"syntax error: {text}"))
        raise CompileError(self.name, self.errors)

    def unexpected(self, expecting: str = "") -> NoReturn:
        self.fail(f"unexpected {self.tok.kind}" + (f", expecting {expecting}" if expecting else ""))

    def take(self, *kinds: str, expecting: str = "") -> Token:
        """The current token, which must be one of `kinds`; goes on to the next."""
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

    # --- blocks ------------------------------------------------------------------------------------------

    def parse(self) -> ast.Block:
        while True:
            kind = self.tok.kind
            if kind == "RCURLY" and len(self.open) > 1:
                self.close_block()
            elif kind == "$end" and len(self.open) == 1:
                break
            elif kind == "$end":
                self.fail(_OPEN_BLOCK)
            else:
                self.statement(kind)
        if self.errors:
            raise CompileError(self.name, self.errors)
        return _block(self.open[0].stmts)

    def emit(self, stmt: ast.Stmt) -> None:
        self.open[-1].stmts.append(stmt)

    def open_block(self, block: _Open) -> None:
        if self.tok.kind != "LCURLY":
            self.unexpected("LCURLY")
        self.advance()
        self.open.append(block)

    def close_block(self) -> None:
        done = self.open.pop()
        self.words = done.words
        end = self.tok.pos
        self.advance()
        body = _block(done.stmts)
        if done.kind == "if":
            if self.tok.kind == "ELSE":
                self.advance()
                self.open_block(_Open("else", done.pos, self.words, cond=done.cond, head=done.head, truth=body))
            else:
                self.emit(ast.Cond(merge(done.head, body.pos), done.cond, body, None, done.head))
        elif done.kind == "else":
            assert done.truth is not None
            pos = merge(merge(done.head, done.truth.pos), body.pos)
            self.emit(ast.Cond(pos, done.cond, done.truth, body, done.head))
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
            name = str(self.take("ID").value)
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
        elif kind == "DIV":
            pattern = self.concatenation([])
            self.pattern_condition(pattern)
        elif kind == "ID" and self.tok.value in _UNION_WORDS and not self.words & _UNION_WORDS[str(self.tok.value)]:
            self.keyword_statement()
        else:
            self.expression_statement()

    def keyword_statement(self) -> None:
        word = self.tok
        self.advance()
        if word.value == "begin":
            self.open_block(_Open("begin", word.pos, self.words))
            return
        names = [self.filter_name()]
        end = names[0].pos
        while self.tok.kind == "COMMA":
            self.advance()
            names.append(self.filter_name())
            end = names[-1].pos
        self.emit(ast.LogFilter(merge(word.pos, end), [_text(name) for name in names]))

    def filter_name(self) -> Token:
        return self.take("STRING", "ID")

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
        target, _ = _ExpressionParser(self, postfix=True).run()
        if self.tok.kind != "AFTER":
            self.emit(ast.Del(merge(self.mark, self.tok.pos), target, None))
            return
        self.advance()
        duration = self.take("DURATIONLITERAL")
        assert isinstance(duration.value, int)
        self.emit(ast.Del(merge(self.mark, duration.pos), target, duration.value))

    def constant(self) -> None:
        self.advance()
        name = self.take("ID")
        self.skip_newline()
        if self.tok.kind not in ("DIV", "ID"):
            self.unexpected("DIV")
        pattern = self.concatenation([])
        self.see(str(name.value))
        self.emit(ast.ConstDecl(name.pos, str(name.value), pattern))

    def see(self, name: str) -> None:
        self.words |= _UNION_WORDS.get(name, 0)

    # --- declarations ------------------------------------------------------------------------------------

    def declaration(self, hidden: bool) -> None:
        kind = self.tok.kind.lower()
        self.advance()
        name = self.take("STRING", "ID")
        decl = ast.VarDecl(name.pos, kind, _text(name), hidden)
        while True:
            attribute = self.tok.kind
            if attribute == "BY":
                decl.keys = [_text(key) for key in self.list_of("STRING", "ID")]
            elif attribute == "AS":
                self.advance()
                decl.exported = _text(self.take("STRING"))
            elif attribute == "LIMIT":
                self.advance()
                limit = self.take("INTLITERAL").value
                assert isinstance(limit, int)
                decl.limit = limit
            elif attribute == "BUCKETS":
                decl.buckets = [float(bound.value) for bound in self.list_of("INTLITERAL", "FLOATLITERAL")]
            else:
                break
        decl.exported = decl.exported or decl.name
        self.see(decl.name)
        self.emit(decl)

    def list_of(self, *kinds: str) -> list[Token]:
        self.advance()
        items = [self.take(*kinds)]
        while self.tok.kind == "COMMA":
            self.advance()
            items.append(self.take(*kinds))
        return items

    # --- patterns ----------------------------------------------------------------------------------------

    def concatenation(self, parts: list[ast.RegexLit | ast.Id]) -> ast.Pattern:
        """The fragments from the current token on, appended to `parts`; `+` has been passed if there are any."""
        while True:
            if self.tok.kind == "DIV":
                parts.append(self.regex())
            elif self.tok.kind == "ID":
                parts.append(self.identifier())
            else:
                self.unexpected("DIV")
            if self.tok.kind != "PLUS":
                return _pattern(parts)
            self.advance()
            self.skip_newline()

    def regex(self) -> ast.RegexLit:
        self.set_mark()
        text = self.lexer.regex()
        if text.kind == "INVALID":
            self.errors.append((text.pos, str(text.value)))
            self.errors.append((text.pos, "syntax error: unexpected end of file, expecting '/' to end regex"))
            raise CompileError(self.name, self.errors)
        self.advance()
        literal = ast.RegexLit(merge(self.mark, self.tok.pos), bytes(text.value))  # type: ignore[arg-type]
        self.advance()
        return literal

    def identifier(self) -> ast.Id:
        name = ast.Id(self.tok.pos, str(self.tok.value))
        self.advance()
        return name

    def pattern_condition(self, pattern: ast.Pattern) -> None:
        """A condition that begins with a pattern, up to its `{`."""
        cond: ast.Expr = pattern
        if self.tok.kind in ("AND", "OR"):
            op = _BINARY[self.tok.kind][1]
            self.advance()
            self.skip_newline()
            cond = ast.Binary(NOWHERE, op, pattern, self.expression())
        self.condition(cond)

    # --- expressions -------------------------------------------------------------------------------------

    def expression_statement(self) -> None:
        if self.tok.kind not in _OPERAND_STARTS:
            self.unexpected()
        names: list[ast.RegexLit | ast.Id] = []
        if self.tok.kind == "ID":
            names.append(self.identifier())
        open_plus = False
        while names and self.tok.kind == "PLUS":
            self.advance()
            self.skip_newline()
            if self.tok.kind == "DIV":
                self.pattern_condition(self.concatenation(names))
                return
            if self.tok.kind != "ID":
                open_plus = True
                break
            names.append(self.identifier())
        operands: list[ast.Expr] = list(names)
        if len(names) > 1 and not open_plus and self.tok.kind in ("LCURLY", "AND", "OR"):
            operands = [_pattern(names)]
        expr, shape = _ExpressionParser(self).run(operands, open_plus)
        kind = self.tok.kind
        if shape in (_PRIMARY, _POSTFIX) and kind == "NL":
            self.emit(ast.ExprStmt(expr.pos, expr))
            self.advance()
        elif shape in (_PRIMARY, _POSTFIX, _NEGATION) and kind in _ASSIGN:
            self.assignment(expr, _ASSIGN[kind])
        else:
            self.condition(expr)

    def assignment(self, target: ast.Expr, op: str) -> None:
        self.advance()
        self.skip_newline()
        value = self.expression()
        if self.tok.kind != "NL":
            self.unexpected("NL")
        self.advance()
        pos = merge(target.pos, value.pos)
        self.emit(ast.ExprStmt(pos, ast.Binary(pos, op, target, value)))

    def condition(self, cond: ast.Expr) -> None:
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
        self.open_block(_Open("if", head, self.words, cond=cond, head=head))

    def expression(self) -> ast.Expr:
        return _ExpressionParser(self).run()[0]


class _ExpressionParser:
    """Operator precedence with a stack of what is unfinished."""

    def __init__(self, parser: _Parser, postfix: bool = False) -> None:
        """`postfix`: outside of brackets only postfix operators are allowed."""
        self.p = parser
        self.postfix = postfix
        self.stack = [_Pending("base")]

    def run(self, names: Sequence[ast.Expr] = (), open_plus: bool = False) -> tuple[ast.Expr, int]:
        """One expression and its shape; `names`, joined by `+`, have been read, and a further `+` if `open_plus`."""
        expr, shape = self.first(names, open_plus), _PRIMARY
        while True:
            if shape == _PRIMARY and not isinstance(expr, ast.Pattern):
                expr, shape = self.tighten(expr)
            if self.operator(expr, shape):
                expr, shape = self.right_side()
                continue
            expr, shape = self.reduce(expr, shape, _LOGICAL)
            if self.stack[-1].kind == "base":
                return expr, shape
            expr, shape = self.close(expr), _PRIMARY

    def first(self, names: Sequence[ast.Expr], open_plus: bool) -> ast.Expr:
        if not names:
            return self.operand()
        last = len(names) if open_plus else len(names) - 1
        if last:
            level, op = _BINARY["PLUS"]
            lhs = names[0]
            for name in names[1:last]:
                lhs = ast.Binary(merge(lhs.pos, name.pos), op, lhs, name)
            self.stack.append(_Pending("binary", level, op, lhs))
        return self.operand() if open_plus else self.indexed(names[-1])

    def operand(self) -> ast.Expr:
        """Open what stands in front of the next operand, and read it: a primary, or a pattern as an argument."""
        p = self.p
        while True:
            kind, top = p.tok.kind, self.stack[-1].kind
            if kind == "NOT" and top != "match" and not (self.postfix and top == "base"):
                self.stack.append(_Pending("not"))
                p.advance()
            elif kind == "LPAREN":
                self.stack.append(_Pending("paren"))
                p.advance()
            elif kind == "BUILTIN":
                call = self.call()
                if call is not None:
                    return call
            elif kind == "ID":
                name = p.identifier()
                if p.tok.kind != "LSQUARE":
                    return name
                self.open_index(name)
            elif kind == "DIV" and top in ("call", "index"):
                return p.concatenation([])
            elif kind in _LITERALS:
                return self.literal()
            else:
                p.unexpected("BUILTIN or DIV" if top in ("call", "index", "match") else "BUILTIN")

    def literal(self) -> ast.Expr:
        kind, value, pos = self.p.tok
        self.p.advance()
        if isinstance(value, bytes):
            return ast.StringLit(pos, value)
        if isinstance(value, int):
            return ast.IntLit(pos, value)
        if isinstance(value, float):
            return ast.FloatLit(pos, value)
        return ast.Capref(pos, value, kind == "CAPREF_NAMED")

    def call(self) -> ast.Call | None:
        """A call without arguments; None after having opened one with arguments."""
        p = self.p
        p.set_mark()
        name = str(p.tok.value)
        p.advance()
        p.take("LPAREN")
        if p.tok.kind != "RPAREN":
            self.stack.append(_Pending("call", op=name))
            return None
        pos = merge(p.mark, p.tok.pos)
        p.advance()
        return ast.Call(pos, name, [])

    def open_index(self, base: ast.Expr) -> None:
        self.stack.append(_Pending("index", lhs=base))
        self.p.advance()

    def indexed(self, expr: ast.Expr) -> ast.Expr:
        """`expr`, or the first operand of the index that follows it."""
        if self.p.tok.kind != "LSQUARE":
            return expr
        self.open_index(expr)
        return self.operand()

    def close(self, expr: ast.Expr) -> ast.Expr:
        """End the innermost bracket with `expr`, or go on to its next argument; the next primary."""
        p, top = self.p, self.stack[-1]
        expecting, end = _ENDS[top.kind]
        if top.kind != "paren":
            top.args.append(expr)
            if p.tok.kind == "COMMA":
                p.advance()
                return self.operand()
        if p.tok.kind != end:
            p.unexpected(expecting)
        self.stack.pop()
        last = p.tok.pos
        p.advance()
        if top.kind == "call":
            return ast.Call(merge(p.mark, last), top.op, top.args)
        if top.kind == "index":
            return self.indexed(_index(top))
        return expr

    def tighten(self, expr: ast.Expr) -> tuple[ast.Expr, int]:
        """Apply to a primary what binds tighter than binary operators."""
        p, shape = self.p, _PRIMARY
        if self.stack[-1].kind == "match":
            return self.matched(self.stack.pop(), expr)
        while p.tok.kind in ("INC", "DEC"):
            op = "++" if p.tok.kind == "INC" else "--"
            expr, shape = ast.Unary(merge(p.tok.pos, expr.pos), op, expr), _POSTFIX
            p.advance()
        while self.stack[-1].kind == "not":
            self.stack.pop()
            expr, shape = ast.Unary(merge(p.tok.pos, expr.pos), "~", expr), _NEGATION
        return expr, shape

    @staticmethod
    def matched(match: _Pending, rhs: ast.Expr) -> tuple[ast.Expr, int]:
        assert match.lhs is not None
        return ast.Binary(merge(match.lhs.pos, rhs.pos), match.op, match.lhs, rhs), _MATCHED

    def operator(self, expr: ast.Expr, shape: int) -> bool:
        """Whether a binary operator follows; if so it waits on the stack for its right side."""
        p, top, kind = self.p, self.stack[-1], self.p.tok.kind
        if isinstance(expr, ast.Pattern) and top.kind != "base":
            return False
        if self.postfix and top.kind == "base":
            return False
        if kind in _MATCH:
            if shape != _PRIMARY or (top.kind == "binary" and top.level != _LOGICAL):
                return False
            self.stack.append(_Pending("match", op=_MATCH[kind], lhs=expr))
        elif kind in _BINARY and (shape != _MATCHED or kind in ("AND", "OR")):
            level, op = _BINARY[kind]
            expr, _ = self.reduce(expr, shape, level)
            self.stack.append(_Pending("binary", level, op, expr))
        else:
            return False
        p.advance()
        p.skip_newline()
        return True

    def right_side(self) -> tuple[ast.Expr, int]:
        """The operand after a binary operator; a concatenation is only possible after a match operator."""
        p = self.p
        if self.stack[-1].kind != "match":
            return self.operand(), _PRIMARY
        if p.tok.kind == "DIV":
            return self.matched(self.stack.pop(), p.concatenation([]))
        if p.tok.kind != "ID":
            return self.operand(), _PRIMARY
        name = p.identifier()
        if p.tok.kind != "PLUS":
            return self.indexed(name), _PRIMARY
        p.advance()
        p.skip_newline()
        return self.matched(self.stack.pop(), p.concatenation([name]))

    def reduce(self, expr: ast.Expr, shape: int, level: int) -> tuple[ast.Expr, int]:
        """Complete the waiting operators that bind at least as tight as `level`."""
        while self.stack[-1].kind == "binary" and self.stack[-1].level >= level:
            top = self.stack.pop()
            assert top.lhs is not None
            expr, shape = ast.Binary(merge(top.lhs.pos, expr.pos), top.op, top.lhs, expr), _OPERATION
        return expr, shape


def _index(pending: _Pending) -> ast.Index:
    """`m[a][b]` is the same as `m[a, b]`."""
    base = pending.lhs
    assert base is not None
    pos = merge(base.pos, merge_all(pending.args))
    if not isinstance(base, ast.Index):
        return ast.Index(pos, base, pending.args)
    base.keys.extend(pending.args)
    base.pos = pos
    return base


def _text(token: Token) -> str:
    return token.value.decode() if isinstance(token.value, bytes) else str(token.value)


def _block(stmts: list[ast.Stmt]) -> ast.Block:
    return ast.Block(merge_all(stmts), stmts)


def _pattern(parts: list[ast.RegexLit | ast.Id]) -> ast.Pattern:
    return ast.Pattern(merge_all(parts), parts)


def parse(name: str, source: bytes) -> ast.Block:
    """The tree of the program `name`.  Raises CompileError: lexical errors, then at most one syntax error (§3.2)."""
    return _Parser(name, source).parse()
