"""Expressions: operator precedence with an explicit stack, so that no program can exhaust Python's stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nativemtail.compiler import ast
from nativemtail.compiler.ast import NOWHERE, Position, merge, merge_all
from nativemtail.compiler.parser.tokens import Tokens

BINARY: dict[str, tuple[int, str]] = {
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

# The shape of an operand decides which operators may follow it.
PRIMARY, POSTFIX, NEGATION, OPERATION, MATCHED = range(5)


@dataclass(slots=True)
class _Pending:
    """A stack entry: an unfinished operator, an open bracket, or the statement around the expression."""

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
"""Bracket to the tokens that messages expect after an operand in it, and the token that ends it."""

_LITERALS = frozenset(("CAPREF", "CAPREF_NAMED", "STRING", "INTLITERAL", "FLOATLITERAL"))
OPERAND_STARTS = _LITERALS | {"BUILTIN", "LPAREN", "ID", "NOT"}


class ExpressionParser:
    """Parses expressions from `tokens`; unfinished ones are on a stack."""

    def __init__(self, tokens: Tokens, postfix: bool = False) -> None:
        """`postfix`: outside brackets, allow postfix operators only."""
        self.p = tokens
        self.postfix = postfix
        self.stack = [_Pending("base")]

    def run(self, names: Sequence[ast.Expr] = (), open_plus: bool = False) -> tuple[ast.Expr, int]:
        """An expression and its shape; `names` joined by `+` were consumed before, and one more `+` if `open_plus`."""
        expr, shape = self.first(names, open_plus), PRIMARY
        while True:
            if shape == PRIMARY and not isinstance(expr, ast.Pattern):
                expr, shape = self.tighten(expr)
            if self.operator(expr, shape):
                expr, shape = self.right_side()
                continue
            expr, shape = self.reduce(expr, shape, _LOGICAL)
            if self.stack[-1].kind == "base":
                return expr, shape
            expr, shape = self.close(expr), PRIMARY

    def first(self, names: Sequence[ast.Expr], open_plus: bool) -> ast.Expr:
        if not names:
            return self.operand()
        last = len(names) if open_plus else len(names) - 1
        if last:
            level, op = BINARY["PLUS"]
            lhs = names[0]
            for name in names[1:last]:
                lhs = ast.Binary(merge(lhs.pos, name.pos), op, lhs, name)
            self.stack.append(_Pending("binary", level, op, lhs))
        return self.operand() if open_plus else self.indexed(names[-1])

    def operand(self) -> ast.Expr:
        """Push what precedes the next operand, and parse the operand: a primary, or a pattern as an argument."""
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
        """A call without arguments; None if it has arguments, after pushing it."""
        p = self.p
        p.set_mark()
        name = str(p.tok.value)
        p.advance()
        p.expect("LPAREN")
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
        """`expr`, or, if an index follows, the first operand in it."""
        if self.p.tok.kind != "LSQUARE":
            return expr
        self.open_index(expr)
        return self.operand()

    def close(self, expr: ast.Expr) -> ast.Expr:
        """Close the innermost bracket after `expr`, or go on to its next argument; returns the next primary."""
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
        """Apply the postfix operators to a primary."""
        p, shape = self.p, PRIMARY
        if self.stack[-1].kind == "match":
            return self.matched(self.stack.pop(), expr)
        while p.tok.kind in ("INC", "DEC"):
            op = "++" if p.tok.kind == "INC" else "--"
            expr, shape = ast.Unary(merge(p.tok.pos, expr.pos), op, expr), POSTFIX
            p.advance()
        while self.stack[-1].kind == "not":
            self.stack.pop()
            expr, shape = ast.Unary(merge(p.tok.pos, expr.pos), "~", expr), NEGATION
        return expr, shape

    @staticmethod
    def matched(match: _Pending, rhs: ast.Expr) -> tuple[ast.Expr, int]:
        assert match.lhs is not None
        return ast.Binary(merge(match.lhs.pos, rhs.pos), match.op, match.lhs, rhs), MATCHED

    def operator(self, expr: ast.Expr, shape: int) -> bool:
        """Push the binary operator that follows, if there is one; whether there was."""
        p, top, kind = self.p, self.stack[-1], self.p.tok.kind
        if isinstance(expr, ast.Pattern) and top.kind != "base":
            return False
        if self.postfix and top.kind == "base":
            return False
        if kind in _MATCH:
            if shape != PRIMARY or (top.kind == "binary" and top.level != _LOGICAL):
                return False
            self.stack.append(_Pending("match", op=_MATCH[kind], lhs=expr))
        elif kind in BINARY and (shape != MATCHED or kind in ("AND", "OR")):
            level, op = BINARY[kind]
            expr, _ = self.reduce(expr, shape, level)
            self.stack.append(_Pending("binary", level, op, expr))
        else:
            return False
        p.advance()
        p.skip_newline()
        return True

    def right_side(self) -> tuple[ast.Expr, int]:
        """Parse the operand after a binary operator; only after a match operator it may be a concatenated pattern."""
        p = self.p
        if self.stack[-1].kind != "match":
            return self.operand(), PRIMARY
        if p.tok.kind == "DIV":
            return self.matched(self.stack.pop(), p.concatenation([]))
        if p.tok.kind != "ID":
            return self.operand(), PRIMARY
        name = p.identifier()
        if p.tok.kind != "PLUS":
            return self.indexed(name), PRIMARY
        p.advance()
        p.skip_newline()
        return self.matched(self.stack.pop(), p.concatenation([name]))

    def reduce(self, expr: ast.Expr, shape: int, level: int) -> tuple[ast.Expr, int]:
        """Reduce the operators on the stack that bind at least as tightly as `level`."""
        while self.stack[-1].kind == "binary" and self.stack[-1].level >= level:
            top = self.stack.pop()
            assert top.lhs is not None
            expr, shape = ast.Binary(merge(top.lhs.pos, expr.pos), top.op, top.lhs, expr), OPERATION
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
