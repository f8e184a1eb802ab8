"""Expressions: operator precedence with an explicit stack, so that no program can exhaust Python's stack."""

from __future__ import annotations

from dataclasses import dataclass, field

from nativemtail.compiler import ast
from nativemtail.compiler.ast import NOWHERE, Position, merge, merge_all
from nativemtail.compiler.parser.fields import field_pattern
from nativemtail.compiler.parser.tokens import Tokens, pattern_of

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
PRIMARY, POSTFIX, NEGATION, OPERATION, MATCHED, PATTERN = range(6)


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

_AROUND_TERMS = frozenset(("base", "paren", "call", "index", "negation"))
_LITERALS = frozenset(("CAPREF", "CAPREF_NAMED", "STRING", "INTLITERAL", "FLOATLITERAL"))
_PREFIX = {"NOT": "~", "MINUS": "-"}
OPERAND_STARTS = _LITERALS | _PREFIX.keys() | {"BUILTIN", "LPAREN", "ID", "DIV", "BANG"}
_TIGHTER = (BINARY.keys() - {"AND", "OR"}) | _MATCH.keys() | {"LSQUARE", "INC", "DEC"}
"""Tokens after `a + b` that make it a sum, whatever the names mean."""

Shaped = tuple[ast.Expr, int]
"""An expression and its shape."""


class ExpressionParser:
    """Parses expressions from `tokens`; unfinished ones are on a stack."""

    def __init__(self, tokens: Tokens, postfix: bool = False, subject: bool = False) -> None:
        """`postfix`: outside brackets, allow postfix operators only; `subject`: none but the `+` of patterns."""
        self.p = tokens
        self.postfix = postfix
        self.subject = subject
        self.stack = [_Pending("base")]

    def run(self) -> Shaped:
        expr, shape = self.operand()
        while True:
            self.separate_minus()
            if shape == PRIMARY:
                expr, shape = self.tighten(expr)
            if self.operator(expr, shape):
                expr, shape = self.right_side()
                continue
            expr, shape = self.reduce(expr, shape, _LOGICAL)
            if self.stack[-1].kind == "base":
                return expr, shape
            expr, shape = self.close(expr)

    def operand(self) -> Shaped:
        """Push what precedes the next operand, and parse the operand: a primary or, where a term begins, a pattern."""
        p = self.p
        while True:
            kind, top = p.tok.kind, self.stack[-1]
            if kind in _PREFIX and top.kind != "match" and not self.at_postfix(top):
                self.stack.append(_Pending("prefix", op=_PREFIX[kind], pos=p.tok.pos))
                p.advance()
            elif kind == "BANG" and self.begins_term(top):
                self.stack.append(_Pending("negation", op="!", pos=p.tok.pos))
                p.advance()
            elif kind == "LPAREN":
                self.stack.append(_Pending("paren"))
                p.advance()
                p.skip_newlines()
            elif kind == "ID" and self.begins_term(top) and p.is_fields():
                return field_pattern(p), PATTERN
            elif kind == "BUILTIN" or p.is_function():
                call = self.call()
                if call is not None:
                    return call, PRIMARY
            elif kind == "ID":
                found = self.names() if self.begins_term(top) else self.name(p.identifier())
                if found is not None:
                    return found
            elif kind == "DIV" and self.begins_term(top):
                return p.concatenation([]), PATTERN
            elif kind in _LITERALS:
                return self.literal(), PRIMARY
            else:
                p.unexpected("BUILTIN or DIV" if top.kind in ("call", "index", "match") else "BUILTIN")

    def at_postfix(self, top: _Pending) -> bool:
        return self.postfix and top.kind == "base"

    def begins_term(self, top: _Pending) -> bool:
        """Whether the next operand may be a term of `&&` and `||`: a pattern, or one after `!`."""
        return (top.kind in _AROUND_TERMS and not self.at_postfix(top)) or (top.kind, top.level) == ("binary", _LOGICAL)

    def separate_minus(self) -> None:
        if not self.at_postfix(self.stack[-1]):
            self.p.separate_minus()

    def name(self, name: ast.Expr) -> Shaped | None:
        """A name; None if an index follows, after pushing it."""
        if self.p.tok.kind != "LSQUARE":
            return name, PRIMARY
        self.open_index(name)
        return None

    def names(self) -> Shaped | None:
        """What begins with a name; None if an operand must follow, after pushing what is there.

        Names and literals joined by `+` are a pattern; of names alone the checker finds out whether they are a sum.
        """
        p = self.p
        names: list[ast.RegexLit | ast.Id] = [p.identifier()]
        while p.tok.kind == "PLUS":
            p.advance()
            p.skip_newline()
            if p.tok.kind == "DIV" or p.is_fields():
                return p.concatenation(names), PATTERN
            if p.tok.kind != "ID" or p.is_function():
                self.push_sum(names)
                return None
            names.append(p.identifier())
        p.separate_minus()
        if len(names) > 1 and (p.tok.kind not in _TIGHTER or p.starts_pattern()):
            return pattern_of(names), PATTERN
        self.push_sum(names[:-1])
        return self.name(names[-1])

    def push_sum(self, names: list[ast.RegexLit | ast.Id]) -> None:
        """Push names that an operand is added to."""
        if names:
            level, op = BINARY["PLUS"]
            self.stack.append(_Pending("binary", level, op, ast.sum_of(names)))

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
        start = NOWHERE if p.tok.kind == "BUILTIN" else p.tok.pos
        if start == NOWHERE:
            p.set_mark()
        name = str(p.tok.value)
        p.advance()
        p.expect("LPAREN")
        p.skip_newlines()
        if p.tok.kind != "RPAREN":
            self.stack.append(_Pending("call", op=name, pos=start))
            return None
        pos = merge(p.mark if start == NOWHERE else start, p.tok.pos)
        p.advance()
        return ast.Call(pos, name, [])

    def open_index(self, base: ast.Expr) -> None:
        self.stack.append(_Pending("index", lhs=base))
        self.p.advance()
        self.p.skip_newlines()

    def indexed(self, expr: ast.Expr) -> Shaped:
        """`expr`, or, if an index follows, the first operand in it."""
        return self.name(expr) or self.operand()

    def close(self, expr: ast.Expr) -> Shaped:
        """Close the innermost bracket after `expr`, or go on to its next argument; returns the next operand."""
        p, top = self.p, self.stack[-1]
        expecting, end = _ENDS[top.kind]
        if top.kind != "paren":
            top.args.append(expr)
            if p.tok.kind == "COMMA":
                p.advance()
                p.skip_newlines()
                return self.operand()
        p.skip_newlines()
        if p.tok.kind != end:
            p.unexpected(expecting)
        self.stack.pop()
        last = p.tok.pos
        p.advance()
        if top.kind == "call":
            return ast.Call(merge(p.mark if top.pos == NOWHERE else top.pos, last), top.op, top.args), PRIMARY
        if top.kind == "index":
            return self.indexed(_index(top))
        return expr, PRIMARY

    def tighten(self, expr: ast.Expr) -> Shaped:
        """Apply the postfix and prefix operators to a primary."""
        p, shape = self.p, PRIMARY
        if self.stack[-1].kind == "match":
            return self.matched(self.stack.pop(), expr)
        while p.tok.kind in ("INC", "DEC"):
            op = "++" if p.tok.kind == "INC" else "--"
            expr, shape = ast.Unary(merge(p.tok.pos, expr.pos), op, expr), POSTFIX
            p.advance()
            self.separate_minus()
        while self.stack[-1].kind == "prefix":
            op, pos = self.stack[-1].op, self.stack.pop().pos
            expr, shape = ast.Unary(merge(p.tok.pos if op == "~" else pos, expr.pos), op, expr), NEGATION
        return expr, shape

    @staticmethod
    def matched(match: _Pending, rhs: ast.Expr) -> Shaped:
        assert match.lhs is not None
        return ast.Binary(merge(match.lhs.pos, rhs.pos), match.op, match.lhs, rhs), MATCHED

    def operator(self, expr: ast.Expr, shape: int) -> bool:
        """Push the binary operator that follows, if there is one; whether there was."""
        p, top, kind = self.p, self.stack[-1], self.p.tok.kind
        if self.subject and top.kind == "base":
            return False
        if (shape == PATTERN and kind not in ("AND", "OR")) or self.at_postfix(top) or p.starts_pattern():
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

    def right_side(self) -> Shaped:
        """Parse the operand after a binary operator; only after a match operator it may be a concatenated pattern."""
        p = self.p
        if self.stack[-1].kind != "match":
            return self.operand()
        if p.tok.kind == "DIV":
            return self.matched(self.stack.pop(), p.concatenation([]))
        if p.is_fields():
            return self.matched(self.stack.pop(), field_pattern(p))
        if p.tok.kind != "ID" or p.is_function():
            return self.operand()
        name = p.identifier()
        if p.tok.kind != "PLUS":
            return self.indexed(name)
        p.advance()
        p.skip_newline()
        return self.matched(self.stack.pop(), p.concatenation([name]))

    def reduce(self, expr: ast.Expr, shape: int, level: int) -> Shaped:
        """Reduce the operators on the stack that bind at least as tightly as `level`."""
        while True:
            top = self.stack[-1]
            if top.kind == "binary" and top.level >= level:
                assert top.lhs is not None
                expr, shape = ast.Binary(merge(top.lhs.pos, expr.pos), top.op, top.lhs, expr), OPERATION
            elif top.kind == "negation" and level == _LOGICAL:
                expr, shape = ast.Unary(merge(top.pos, expr.pos), "!", expr), OPERATION
            else:
                return expr, shape
            self.stack.pop()


def regrouped(cond: ast.Expr) -> ast.Expr:
    """A condition as mtail groups it: what follows a pattern that begins it is one logical expression.

    So `/a/ || x && y` is `/a/ || (x && y)`.  If it has terms that mtail refuses there, it goes from left to right; if
    the pattern may be a sum, the checker decides.
    """
    chain: list[ast.Binary] = []
    first = cond
    while isinstance(first, ast.Binary) and first.op in ("&&", "||"):
        chain.append(first)
        first = first.lhs
    if not isinstance(first, ast.Pattern) or any(map(_is_new_term, (link.rhs for link in chain))):
        return cond
    if not any(isinstance(part, ast.RegexLit) for part in first.parts):
        first.leads = True
        return cond
    return ast.right_grouped(first, chain)


def _is_new_term(term: ast.Expr) -> bool:
    if isinstance(term, ast.Fields) or (isinstance(term, ast.Binary) and isinstance(term.rhs, ast.Fields)):
        return True
    if isinstance(term, ast.Pattern):
        return any(isinstance(part, ast.RegexLit) for part in term.parts)
    return isinstance(term, ast.Unary) and term.op == "!"


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
