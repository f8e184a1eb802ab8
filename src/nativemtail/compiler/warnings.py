"""Warnings about code that compiles, as in mtail, but probably not as its author intends: text stored in a number, lost
fractions, layouts that can read no time, statements that fail on every line.

Each warning has a place and, on its second line, a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nativemtail.compiler import ast, timelayout
from nativemtail.compiler.ast import Position
from nativemtail.compiler.types import FLOAT, INT, STRING, Type, resolve

Warnings = list[tuple[Position, str]]

MAX_WARNINGS = 50
"""Warnings shown per program."""

_NUMBERS = frozenset(("counter", "gauge", "timer"))
_FAILURES = (
    (
        "unexpected int type float",
        "",
        "An Int is wanted and a Float is given: let the metric's first use be a Float, as 0.0.",
    ),
    ("unexpected int type", "", "An Int is wanted."),
    ("unexpected float type", "", "A Float is wanted: write 1.0 for 1, or float()."),
    ("unexpected type for string", "", "A text is wanted, and a Bool has none."),
    ("cannot compare", "", "Compare values of one type."),
    ("Failed to pop a timestamp", "settime() takes a number", "Write int() or float()."),
    ("panic in thread at instr: index", "a pattern has no value", "Write a text, or match with =~."),
    (
        "panic in thread at instr: datum",
        "a histogram can only be assigned to",
        "Do not read it, add to it or count it up.",
    ),
)
"""Beginning of a run-time error to its explanation and remedy."""


def warnings(root: ast.Block, sources: Mapping[str, bytes], failures: Warnings) -> list[str]:
    """The warnings of a compiled program, sorted by position; `failures` are the statements that always fail.

    `sources` has the texts of the program and of what it includes.
    """
    looker = _Looker({name: source.split(b"\n") for name, source in sources.items()})
    expressions = list(_expressions(root))
    looker.fractions = any(_reads_fractions(expr) for expr in expressions)
    for expr in expressions:
        looker.look_at(expr)
    found = looker.found + [(place, _failing(message)) for place, message in failures]
    lines = dict.fromkeys(f"{place}: {text}" for place, text in sorted(found, key=lambda each: each[0][1:3]))
    shown = list(lines)[:MAX_WARNINGS]
    return [*shown, f"and {len(lines) - MAX_WARNINGS} more warnings"] if len(lines) > MAX_WARNINGS else shown


def _failing(message: str) -> str:
    for start, reason, remedy in _FAILURES:
        if message.startswith(start):
            return f"Every line that gets here fails: {reason or message}.\n\t{remedy}"
    return f"Every line that gets here fails: {message}."


def _expressions(root: ast.Block) -> Iterator[ast.Expr]:
    """All expressions of the program, parents first."""
    blocks = [root]
    while blocks:
        for stmt in blocks.pop().stmts:
            match stmt:
                case ast.ExprStmt():
                    yield from _below(stmt.expr)
                case ast.Cond():
                    if stmt.cond is not None:
                        yield from _below(stmt.cond)
                    blocks += [stmt.truth, *([stmt.otherwise] if stmt.otherwise else [])]
                case ast.Every():
                    if stmt.subject is not None:
                        yield from _below(stmt.subject)
                    blocks += [stmt.body, *([stmt.otherwise] if stmt.otherwise else [])]
                case ast.DecoDecl() | ast.DecoUse() | ast.Begin():
                    blocks.append(stmt.body)
                case ast.Del():
                    yield from _below(stmt.target)


def _below(root: ast.Expr) -> Iterator[ast.Expr]:
    left = [root]
    while left:
        expr = left.pop()
        yield expr
        left += ast.children(expr)


def _type(expr: ast.Expr) -> Type | None:
    return None if expr.type is None else resolve(expr.type)


def _bare(expr: ast.Expr) -> ast.Expr:
    while isinstance(expr, ast.Conv):
        expr = expr.operand
    return expr


def _flow(expr: ast.Expr) -> Iterator[ast.Binary]:
    """The arithmetic operations that contribute to the value of `expr`."""
    left = [expr]
    while left:
        expr = _bare(left.pop())
        if isinstance(expr, ast.Binary) and expr.op in ("+", "-", "*", "/"):
            yield expr
            left += [expr.lhs, expr.rhs]
        elif isinstance(expr, ast.Call) and expr.name == "float":
            left += expr.args


def _reads_fractions(expr: ast.Expr) -> bool:
    """Whether it is a `strptime` whose layout reads fractions of a second."""
    layout = _layout(expr)
    fractions = (timelayout.Op.FRACTION, timelayout.Op.OPTIONAL_FRACTION)
    return layout is not None and any(op in fractions for op in timelayout.elements(layout.value))


def _layout(expr: ast.Expr) -> ast.StringLit | None:
    if isinstance(expr, ast.Call) and expr.name == "strptime" and isinstance(expr.args[1], ast.StringLit):
        return expr.args[1]
    return None


def _is_open(text: bytes) -> bool:
    return text.count(b"[") + text.count(b"(") > text.count(b"]") + text.count(b")")


class _Looker:
    def __init__(self, lines: Mapping[str, list[bytes]]) -> None:
        self.lines = lines
        self.found: Warnings = []
        self.fractions = False
        """Whether some `strptime` reads fractions of a second."""
        self.texts: set[int] = set()
        """Ids of the metrics for which the warning about text was given."""

    def warn(self, place: Position, text: str, remedy: str) -> None:
        self.found.append((place, f"{text}\n\t{remedy}"))

    def shown(self, expr: ast.Expr) -> str:
        """The source text of the expression, on its first line only."""
        lines = self.lines.get(expr.pos.file, [])
        line = lines[expr.pos.line - 1] if 0 < expr.pos.line <= len(lines) else b""
        end = expr.pos.end
        while line[end : end + 1] in (b"]", b")") and _is_open(line[expr.pos.start - 1 : end]):  # not in spans
            end += 1
        return line[expr.pos.start - 1 : end].decode("utf-8", "replace")[:80]

    def look_at(self, expr: ast.Expr) -> None:
        if isinstance(expr, ast.Binary) and expr.op in ("=", "+="):
            self.store(expr)
        elif _type(expr) is FLOAT and (isinstance(expr, ast.Conv) or (isinstance(expr, ast.Call) and expr.args)):
            self.divisions(expr)
        if isinstance(expr, ast.Call) and expr.name == "strptime":
            self.strptime(expr)

    def store(self, expr: ast.Binary) -> None:
        base = expr.lhs.base if isinstance(expr.lhs, ast.Index) else expr.lhs
        decl = base.symbol if isinstance(base, ast.Id) else None
        if not isinstance(decl, ast.VarDecl):
            return
        type_ = None if decl.type is None else resolve(decl.type)
        if decl.kind in _NUMBERS and type_ is STRING and not decl.hidden:
            self.text(decl, expr.rhs)
        if decl.kind == "histogram" or type_ is FLOAT:
            self.divisions(expr.rhs)
        if decl.kind in ("histogram", "gauge", "timer"):
            self.differences(decl, expr.rhs)

    def text(self, decl: ast.VarDecl, value: ast.Expr) -> None:
        """Warn about a metric that holds text: it is exported as 0."""
        value = _bare(value)
        if id(decl) in self.texts or _type(value) is not STRING:
            return
        self.texts.add(id(decl))
        remedy = "Declare it as `text', or store a number."
        if isinstance(value, ast.Capref):
            remedy = f"Write float({self.shown(value)}), or int() if it is whole."
        self.warn(
            value.pos,
            f"{decl.kind} `{decl.name}' holds text and is exported as 0: {self.shown(value)} is a String.",
            remedy,
        )

    def divisions(self, value: ast.Expr) -> None:
        """Warn about a quotient of Ints: it has no fraction, even if it is stored in a Float."""
        for part in _flow(value):
            if part.op == "/" and _type(part) is INT:
                divisor = _bare(part.rhs)
                float_ = f"{divisor.value}.0" if isinstance(divisor, ast.IntLit) else f"float({self.shown(divisor)})"
                text = f"{self.shown(part)} divides Ints, so the fraction is lost before the result becomes a Float."
                self.warn(part.pos, text, f"Divide by {float_}.")

    def differences(self, decl: ast.VarDecl, value: ast.Expr) -> None:
        """Warn about `timestamp()` where fractions are parsed: it gives whole seconds."""
        fine = any(bound % 1 for bound in decl.buckets or ())
        if not (fine or self.fractions):
            return
        for part in _flow(value):
            sides = [_bare(side) for side in (part.lhs, part.rhs)]
            if part.op == "-" and any(isinstance(side, ast.Call) and side.name == "timestamp" for side in sides):
                text = (
                    f"{self.shown(part)} is in whole seconds: timestamp() has no fractions, whatever strptime() reads."
                )
                self.warn(part.pos, text, "Count seconds, or take a duration that the log itself has.")

    def strptime(self, call: ast.Call) -> None:
        stamp, layout = call.args
        if _type(stamp) in (INT, FLOAT):
            text = f"strptime() reads nothing: {self.shown(stamp)} is a number, and it needs a String."
            remedy = "Let the group match more than digits, as (\\S+) does."
            if _type(stamp) is INT and not self.shown(layout).startswith('"0'):
                remedy = f"Write string({self.shown(stamp)})."
            self.warn(stamp.pos, text, remedy)
        if isinstance(layout, ast.StringLit) and (b"%" in layout.value or not timelayout.elements(layout.value)):
            self.unreadable(layout)

    def unreadable(self, layout: ast.StringLit) -> None:
        from nativemtail.compiler import layouthints  # imported late: few programs need it

        written = layout.value.decode("utf-8", "replace")
        if timelayout.elements(layout.value) and not layouthints.is_strftime(written):
            return
        meant = layouthints.suggestion(written) or "2006-01-02 15:04:05"
        reference = "the time Mon Jan 2 15:04:05 MST 2006 as the log would write it"
        text = f"The layout {self.shown(layout)} reads no time: a layout is {reference}."
        self.warn(layout.pos, text, f'Write "{meant}".')
