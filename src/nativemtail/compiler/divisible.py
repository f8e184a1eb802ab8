"""Which programs can be divided: run over parts of the logs, in any order, by several workers whose counts are added.

Increments commute.  So a program is divisible if nothing that it does depends on a stored value, and if it does nothing
to a metric whose result depends on the order of lines.  Others run in order: over all lines, sorted by time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from nativemtail import compiler
from nativemtail.compiler import Options, ast
from nativemtail.compiler.abi import MetricKind, ValueType
from nativemtail.compiler.ast import Position
from nativemtail.compiler.includes import NOTHING_INCLUDED, Included
from nativemtail.compiler.opcodes import KEPT
from nativemtail.compiler.program import MetricDecl, Program

_ASSIGNMENTS = ("=", "+=", "-=")
_STEPS = ("++", "--")
_READS = ("GETI", "GETF", "GETS")


class How(IntEnum):
    """How the writes to a metric are kept by their time (core/history.hpp)."""

    NOT = 0
    SUM = 1
    EXACT = 2
    LATEST = 3
    OBSERVED = 4


class Reason(NamedTuple):
    """Why a program cannot be divided."""

    pos: Position
    text: str

    def __str__(self) -> str:
        return f"{self.pos.file}:{self.pos.line}:{self.pos.start} {self.text}"


def compile_program(
    name: str, source: bytes, options: Options | None = None, included: Included = NOTHING_INCLUDED
) -> tuple[Program, list[Reason]]:
    """The compiled program, and why it cannot be divided.  Raises CompileError."""
    roots: list[ast.Block] = []
    program = compiler.compile_program(name, source, options, lambda _, root: roots.append(root), included)
    return program, reasons(roots[-1], program)


def reasons(root: ast.Block, program: Program) -> list[Reason]:
    """Why the program cannot be divided, one reason for each place, in order; none: it can.

    `root` is its checked tree.
    """
    found = list(dict.fromkeys(_Reasons().of(root)))
    if not found:  # code may read what the tree does not show
        found = [
            Reason(Position(*program.where(instr), 1, 1), "a stored value is read here")
            for instr in program.code
            if instr.op in _READS
        ]
    return sorted(found, key=lambda reason: (reason.pos.file != program.name, reason.pos))


class _Reasons:
    def __init__(self) -> None:
        self._assigned: dict[object, Position] = {}  # gauges and timers, and where
        self._added: dict[object, list[Reason]] = {}
        self._in_begin = False

    def of(self, root: ast.Block) -> Iterator[Reason]:
        yield from self._block(root)
        for metric, added in self._added.items():
            if metric in self._assigned:
                yield from added

    def _block(self, block: ast.Block | None) -> Iterator[Reason]:
        for stmt in block.stmts if block is not None else ():
            yield from self._statement(stmt)

    def _statement(self, stmt: ast.Stmt) -> Iterator[Reason]:
        match stmt:
            case ast.ExprStmt():
                yield from self._effect(stmt.expr)
            case ast.Cond():
                yield from self._read(stmt.cond)
                yield from self._block(stmt.truth)
                yield from self._block(stmt.otherwise)
            case ast.Every():
                yield from self._read(stmt.subject)
                yield from self._block(stmt.body)
                yield from self._block(stmt.otherwise)
            case ast.DecoDecl() | ast.DecoUse():
                yield from self._block(stmt.body)
            case ast.Begin():
                self._in_begin = True
                yield from self._block(stmt.body)
                self._in_begin = False
            case ast.VarDecl():
                yield from _declared(stmt)
            case ast.Del():
                yield Reason(stmt.pos, f"del removes series of {_name(stmt.target)}")
                yield from self._keys(stmt.target)
            case _:
                pass

    def _effect(self, expr: ast.Expr) -> Iterator[Reason]:
        """An expression whose value is not used."""
        if isinstance(expr, ast.Conv):
            yield from self._effect(expr.operand)
        elif isinstance(expr, ast.Binary) and expr.op in _ASSIGNMENTS:
            yield from self._write(expr.lhs, expr.op, expr.pos)
            yield from self._read(expr.rhs)
        elif isinstance(expr, ast.Unary) and expr.op in _STEPS:
            yield from self._write(expr.operand, expr.op, expr.pos)
        else:
            yield from self._read(expr)

    def _write(self, target: ast.Expr, op: str, pos: Position) -> Iterator[Reason]:
        yield from self._keys(target)
        decl = _metric(target)
        if decl is None:
            return
        if self._in_begin:
            yield Reason(pos, f"begin changes {decl.name}")
        if decl.kind == "counter" and op == "=":
            yield Reason(pos, f"the counter {decl.name} is assigned")
        elif decl.kind in ("gauge", "timer"):
            metric = (decl.exported, decl.kind, tuple(decl.keys), decl.hidden and id(decl))
            if op == "=":
                self._assigned.setdefault(metric, pos)
            else:
                text = f"{decl.name} is changed from its value, and is also assigned"
                self._added.setdefault(metric, []).append(Reason(pos, text))

    def _keys(self, target: ast.Expr) -> Iterator[Reason]:
        for key in target.keys if isinstance(target, ast.Index) else ():
            if isinstance(key, (ast.Pattern, ast.Fields)):
                yield Reason(key.pos, "a pattern as key has the value of an earlier statement")
            yield from self._read(key)

    def _read(self, expr: ast.Expr | None) -> Iterator[Reason]:
        """An expression whose value is used."""
        if expr is None:
            return
        decl = _metric(expr)
        if decl is not None:
            yield Reason(expr.pos, f"the value of {'hidden ' * decl.hidden}{decl.name} is read")
            yield from self._keys(expr)
        elif isinstance(expr, ast.Unary) and expr.op in _STEPS:
            yield Reason(expr.pos, f"the value of {_name(expr.operand)}{expr.op} is used")
            yield from self._keys(expr.operand)
        elif isinstance(expr, ast.Binary) and expr.op in _ASSIGNMENTS:
            yield Reason(expr.pos, f"the value of {_name(expr.lhs)} {expr.op} … is used")
            yield from self._effect(expr)
        else:
            for part in ast.children(expr):
                yield from self._read(part)


def _declared(decl: ast.VarDecl) -> Iterator[Reason]:
    if decl.limit > 0:
        yield Reason(decl.pos, f"limit removes series of {decl.name}")
    if decl.kind == "text":
        yield Reason(decl.pos, f"the text {decl.name} is what was written last")


def _metric(expr: ast.Expr) -> ast.VarDecl | None:
    base = expr.base if isinstance(expr, ast.Index) else expr
    return base.symbol if isinstance(base, ast.Id) and isinstance(base.symbol, ast.VarDecl) else None


def _name(expr: ast.Expr) -> str:
    decl = _metric(expr)
    return decl.name if decl is not None else "a metric"


def how_kept(program: Program, shared: Sequence[Sequence[int]], *, in_order: bool) -> tuple[list[How], frozenset[int]]:
    """How the writes to the metric of each declaration are kept, and the declarations whose writes are to be kept.

    `shared`: for each declaration the numbers of those with the same metric.
    """
    assigned = {instr.d for instr in program.code if instr.op in ("SETI", "SETF")}
    written = {instr.d for instr in program.code if instr.op in KEPT and instr.op not in ("DATUM", "END")}
    hows = []
    for at, decl in enumerate(program.metrics):
        is_written = not written.isdisjoint(shared[at])
        hows.append(_how(decl, in_order or not assigned.isdisjoint(shared[at])) if is_written else How.NOT)
    return hows, frozenset(range(len(program.metrics)) if in_order else {at for at in written if hows[at]})


def _how(decl: MetricDecl, latest: bool) -> How:
    if decl.hidden or decl.kind == MetricKind.TEXT:
        return How.NOT
    if decl.kind == MetricKind.HISTOGRAM:
        return How.OBSERVED
    if latest:
        return How.LATEST
    return How.EXACT if decl.type == ValueType.FLOAT else How.SUM
