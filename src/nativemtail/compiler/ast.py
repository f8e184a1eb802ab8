"""The syntax tree of a program: what the parser builds, the checker decorates and the code generator reads.

Nodes are plain data.  The parser fills the fields of the grammar (spec language.md §3); the checker adds
`type` to expressions and `symbol` to references, and wraps operands in `Conv` where §5.5 inserts a conversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nativemtail.compiler.types import Type


class Position(NamedTuple):
    """A span on one line of a program; lines and columns count from 1, columns in bytes, `end` inclusive."""

    file: str
    line: int
    start: int
    end: int

    def __str__(self) -> str:
        span = f"{self.file}:{self.line}:{self.start}"
        return span if self.end <= self.start else f"{span}-{self.end}"


NOWHERE = Position("", 0, 0, 0)
"""The position of an empty list of nodes; prints as `:0:0`."""


def merge(a: Position, b: Position) -> Position:
    """The span of both if they are on one line, else the first (§2.7)."""
    if a.line == 0:
        return b
    if b.line != a.line or b.file != a.file:
        return a
    return Position(a.file, a.line, min(a.start, b.start), max(a.end, b.end))


@dataclass(slots=True, eq=False)
class Node:
    pos: Position


def merge_all(nodes: Iterable[Node]) -> Position:
    pos = NOWHERE
    for node in nodes:
        pos = merge(pos, node.pos)
    return pos


# --- expressions ---------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Expr(Node):
    type: Type | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class IntLit(Expr):
    value: int


@dataclass(slots=True, eq=False)
class FloatLit(Expr):
    value: float


@dataclass(slots=True, eq=False)
class StringLit(Expr):
    value: bytes


@dataclass(slots=True, eq=False)
class RegexLit(Expr):
    """The text between two slashes, `\\/` already turned into `/`."""

    text: bytes


@dataclass(slots=True, eq=False)
class Pattern(Expr):
    """A use of a pattern: one or more fragments (`RegexLit` or `Id` of a constant) joined by `+`.

    The checker sets `text` to the whole pattern.  Each occurrence has match results of its own.  From the parser it
    may have names only, `a + b`; the checker turns it into a sum when none of them is a constant.
    """

    parts: list[RegexLit | Id]
    text: bytes = b""
    leads: bool = field(default=False, init=False)
    """It begins a condition, and if it is a pattern, what follows is one expression (§3)."""


@dataclass(slots=True, eq=False)
class Field(Node):
    """A field of a field pattern; `path` as written."""

    path: str
    kind: str
    """int, float or string."""
    name: str
    optional: bool


@dataclass(slots=True, eq=False)
class Fields(Expr):
    """A use of a field pattern (beyond §3); `text` stands for it among the patterns of the program (fields.py)."""

    format: str
    fields: list[Field]
    text: bytes
    every: bool


@dataclass(slots=True, eq=False)
class Id(Expr):
    """A name; `symbol` is the `VarDecl` or `ConstDecl` that it refers to (set by the checker)."""

    name: str
    symbol: VarDecl | ConstDecl | None = None


@dataclass(slots=True, eq=False)
class Capref(Expr):
    """`$1` or `$name`; the checker binds it to a pattern occurrence and the number of the group."""

    name: str
    named: bool
    pattern: Pattern | Fields | None = None
    group: int = 0


@dataclass(slots=True, eq=False)
class Index(Expr):
    """`metric[key, …]`; a metric without keys that is read or written is an `Index` with no keys."""

    base: Expr
    keys: list[Expr]


@dataclass(slots=True, eq=False)
class Call(Expr):
    """A call of a builtin (spec language.md §6), or of a function (beyond §10)."""

    name: str
    args: list[Expr]


@dataclass(slots=True, eq=False)
class Unary(Expr):
    """`~x`, `-x`, `!x`, `x++` or `x--`; `op` is the spelling."""

    op: str
    operand: Expr


@dataclass(slots=True, eq=False)
class Binary(Expr):
    """Any binary operator, `=`, `+=`, `-=`, `=~`, `!~`, `&&` and `||` included; `op` is the spelling.

    Right of `=~` and `!~`, and for operands of `&&`/`||` that are patterns, the operand is a `Pattern`.
    """

    op: str
    lhs: Expr
    rhs: Expr


@dataclass(slots=True, eq=False)
class Conv(Expr):
    """A conversion inserted by the checker: `operand` converted to this node's `type`."""

    operand: Expr


def children(expr: Expr) -> list[Expr]:
    """The direct sub-expressions, left to right."""
    match expr:
        case Binary():
            return [expr.lhs, expr.rhs]
        case Unary() | Conv():
            return [expr.operand]
        case Call():
            return list(expr.args)
        case Index():
            return [expr.base, *expr.keys]
    return []


def sum_of(names: Sequence[Expr]) -> Expr:
    """Operands joined by `+`."""
    total = names[0]
    for name in names[1:]:
        total = Binary(merge(total.pos, name.pos), "+", total, name)
    return total


def right_grouped(first: Expr, chain: Sequence[Binary]) -> Expr:
    """What `chain`, the last operator first, joins to `first`, with everything after `first` as one operand."""
    if len(chain) < 2:
        return chain[0] if chain else first
    rhs = chain[-1].rhs
    for link in chain[-2::-1]:
        rhs = Binary(merge(rhs.pos, link.rhs.pos), link.op, rhs, link.rhs)
    return Binary(chain[0].pos, chain[-1].op, first, rhs)


# --- statements ----------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Stmt(Node):
    pass


@dataclass(slots=True, eq=False)
class Block(Node):
    stmts: list[Stmt]


@dataclass(slots=True, eq=False)
class ExprStmt(Stmt):
    expr: Expr


@dataclass(slots=True, eq=False)
class Cond(Stmt):
    """`cond { truth } else { otherwise }`; `cond` None is the statement `otherwise { truth }`.

    `head` is the span of the condition; of one that is a pattern it reaches to the `{`.
    """

    cond: Expr | None
    truth: Block
    otherwise: Block | None
    head: Position = NOWHERE
    continues: bool = field(default=False, init=False)
    """The block of `otherwise` is a single statement, an `else if`."""


def else_if(stmt: Cond) -> Cond:
    """The statement after the `else` of one that `continues`."""
    assert stmt.otherwise is not None
    following = stmt.otherwise.stmts[0]
    assert isinstance(following, Cond)
    return following


@dataclass(slots=True, eq=False)
class Every(Stmt):
    """`every pattern { body } else { otherwise }` (beyond §4); `subject` None is the line."""

    subject: Expr | None
    pattern: Pattern | Fields
    body: Block
    otherwise: Block | None


@dataclass(slots=True, eq=False)
class Record(Stmt):
    """`record …` (beyond §5): `container` is "", cri or docker; `joined` "", start, end, continue, lines or csv.

    `pattern` belongs to start, end and continue, `count` to lines, `separator` to csv; `timeout` is in nanoseconds.
    `captures` are those that cri and docker give.
    """

    container: str
    joined: str = ""
    pattern: Pattern | None = None
    count: int = 0
    separator: int = 0
    most: int = 0
    timeout: int = 0
    captures: Fields | None = None


@dataclass(slots=True, eq=False)
class VarDecl(Stmt):
    """A metric.  `exported` is the name after `as`, or the declared one; `type` is the value's type once checked.

    `unit` is a literal, whose position errors name.
    """

    kind: str
    name: str
    hidden: bool = False
    keys: list[str] = field(default_factory=list)
    exported: str = ""
    limit: int = 0
    buckets: list[float] | None = None
    help: str = ""
    unit: StringLit | None = None
    type: Type | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class ConstDecl(Stmt):
    """`const NAME pattern`; the checker sets `text`."""

    name: str
    pattern: Pattern
    text: bytes = b""


@dataclass(slots=True, eq=False)
class DecoDecl(Stmt):
    name: str
    body: Block


@dataclass(slots=True, eq=False)
class DecoUse(Stmt):
    """`@name { body }`; the code generator splices `body` in place of the definition's `next`."""

    name: str
    body: Block
    decl: DecoDecl | None = None


@dataclass(slots=True, eq=False)
class Next(Stmt):
    pass


@dataclass(slots=True, eq=False)
class Stop(Stmt):
    pass


@dataclass(slots=True, eq=False)
class Del(Stmt):
    """`del target [after D]`; `after` in nanoseconds, None for a plain `del`.

    A target that is a metric with keys, without any, means all its label sets.
    """

    target: Expr
    after: int | None


@dataclass(slots=True, eq=False)
class Begin(Stmt):
    body: Block


@dataclass(slots=True, eq=False)
class LogFilter(Stmt):
    names: list[str]
    excluded: list[str]
