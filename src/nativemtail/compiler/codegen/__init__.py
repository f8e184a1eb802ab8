"""The checked tree to instructions: stage five of spec language.md §1, execution as in runtime.md §2.

mtail's machine has a stack of tagged values; here the tag of every value is known when the code is made (`Kind`),
so registers carry none, and what mtail finds out at run time (a Float stored into an Int) becomes a FAIL here.
Code has no loops: every jump goes forward, so a line costs at most the length of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import pairwise
from typing import Any, ClassVar

from nativemtail.compiler import ast, types
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.optimize.cse import optimized
from nativemtail.compiler.program import BUCKETS, FLOAT, INT, KINDS, STRING, Instr, MetricDecl, Program

MAX_CODE = 1_000_000
"""Decorators that use decorators can multiply; a program with more instructions than this is refused."""
MAX_OPERAND = 0xFFFF

_UNDERFLOW = "panic in thread at instr: index out of range [-1]"
_ICE = "Internal compiler error, aborting compilation: "
_TOKEN = {"=": 57398, "+": 57381, "-": 57380, "*": 57379, "%": 57378, "/": 57377, "**": 57382}
_ARITHMETIC = {"+": "ADD", "-": "SUB", "*": "MUL", "/": "DIV", "%": "MOD", "**": "POW"}
_BITS = {"&": "ANDI", "|": "ORI", "^": "XORI", "<<": "SHLI", ">>": "SHRI"}
# operator → (instruction, whether its negation is meant): NaN makes <=, >= and != true (runtime.md §2.5)
_COMPARE = {"<": ("LT", False), ">": ("GT", False), "==": ("EQ", False),
            ">=": ("LT", True), "<=": ("GT", True), "!=": ("EQ", True)}  # fmt: skip
_SUFFIX = {"Int": "I", "Float": "F", "String": "S"}


class Kind(Enum):
    """What a register holds.  LEN is the result of `len()`: an integer that is neither true nor false (§2.2)."""

    INT = "int64"
    LEN = "int"
    FLOAT = "float64"
    STRING = "string"
    BOOL = "bool"
    NOTHING = "nothing"


Value = tuple[int, Kind]


def generate(name: str, root: ast.Block) -> tuple[Program, list[tuple[ast.Position, str]]]:
    """Code for the checked tree `root`, and the places that can only fail, with their run-time errors.

    Raises CompileError with the errors of spec language.md §9.4.
    """
    try:
        gen = _Generator(name, uses_leftovers=False)
        gen.whole(root)
    except _LeftoverWanted:
        gen = _Generator(name, uses_leftovers=True)
        gen.whole(root)
    return gen.finish(), gen.failures


class _LeftoverWanted(Exception):
    """A key is a pattern, so that what earlier statements left must be kept: a second try does."""


class _Generator:
    def __init__(self, name: str, uses_leftovers: bool) -> None:
        self.program = Program(name)
        self.errors: list[tuple[ast.Position | None, str]] = []
        self.failures: list[tuple[ast.Position, str]] = []  # what can only fail when it runs
        self.code: list[Instr] = self.program.code
        self.labels: list[int] = []
        self.pos = ast.NOWHERE  # of the statement
        self.free = 0  # first register that was not used yet: each value has its own
        self.leftovers: list[Value] = []
        self.uses_leftovers = uses_leftovers
        self.metrics: dict[int, int | None] = {}  # id of a declaration → metric, None where it failed
        self.metric_numbers: dict[tuple[object, ...], int] = {}
        self.slots: dict[int, int] = {}  # id of a pattern → its latest slot
        self.slot_patterns: dict[int, int] = {}
        self.slot_groups: list[int] = []  # the highest group of each slot that is read
        self.awaited: set[int] = set()  # ids of patterns that were referred to before their place
        self.matched: frozenset[int] = frozenset()  # slots that have surely matched here
        self.bodies: list[ast.DecoUse] = []
        self.constants: dict[tuple[int, str], int] = {}
        self.lookups: dict[int, tuple[int, int, int]] = {}  # register of a datum → operands of the DATUM that set it
        self.filters: list[str] = []
        self.filtered = False

    # --- the frame ---------------------------------------------------------------------------------------

    def whole(self, root: ast.Block) -> None:
        try:
            self.block(root)
        except RecursionError:
            text = _ICE + "too many decorators within each other"
            raise CompileError(self.program.name, [(self.pos, text)]) from None

    def finish(self) -> Program:
        program = self.program
        if self.errors:
            raise CompileError(program.name, self.errors)
        program.code.append(Instr("END", line=self.pos.line))
        program.begin.append(Instr("END", line=self.pos.line))
        self._resolve(program.code)
        program.code, registers = optimized(program.code)
        program.begin, begin_registers = optimized(program.begin)
        program.registers = max(registers, begin_registers)
        if self.filtered:
            program.log_filter = frozenset(self.filters)
        program.slots = len(self.slot_groups)
        for slot, number in self.slot_patterns.items():
            program.captures[number] = max(program.captures[number], self.slot_groups[slot])
        for count, what in ((program.slots, "patterns"), (program.registers, "values at once")):
            if count > MAX_OPERAND:
                raise CompileError(program.name, [(self.pos, _ICE + f"more than {MAX_OPERAND} {what}")])
        return program

    def _resolve(self, code: list[Instr], offset: int = 0) -> None:
        for instr in code:
            if instr.op in ("JMP", "JF", "JT", "JMATCHED"):
                instr.d = self.labels[instr.d] + offset
            elif instr.op in ("MATCH", "MATCHS"):
                instr.e = self.labels[instr.e] + offset

    def ice(self, node: ast.Node, text: str) -> None:
        self.errors.append((node.pos, _ICE + text))

    def emit(self, op: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> None:
        if len(self.code) >= MAX_CODE:
            raise CompileError(self.program.name, [(self.pos, _ICE + f"more than {MAX_CODE} instructions")])
        self.code.append(Instr(op, a, b, c, d, e, self.pos.line))

    def label(self) -> int:
        self.labels.append(-1)
        return len(self.labels) - 1

    def place(self, label: int) -> None:
        self.labels[label] = len(self.code)

    def registers(self, count: int = 1) -> int:
        first = self.free
        self.free += count
        return first

    def _pooled(self, pool: list, value: object) -> int:  # type: ignore[type-arg]
        key = (id(pool), repr(value))
        if key not in self.constants:
            self.constants[key] = len(pool)
            pool.append(value)
        return self.constants[key]

    def string(self, text: bytes) -> int:
        return self._pooled(self.program.strings, text)

    def fail(self, message: str) -> None:
        self.failures.append((self.pos, message))
        self.emit("FAIL", d=self.string(message.encode()))

    # --- statements --------------------------------------------------------------------------------------

    def block(self, block: ast.Block) -> None:
        for stmt in block.stmts:
            self.pos = stmt.pos
            self._STATEMENTS[type(stmt)](self, stmt)

    def expression_statement(self, stmt: ast.ExprStmt) -> None:
        if isinstance(stmt.expr, ast.Binary) and stmt.expr.op in ("=", "+="):
            self.assign(stmt.expr)
        else:
            self.leave(*self.value(stmt.expr))

    def leave(self, register: int, kind: Kind) -> None:
        """mtail leaves the value of a statement on its stack, where a key that is a pattern finds it."""
        if self.uses_leftovers and kind is not Kind.NOTHING:
            kept = self.registers()
            self.emit("MOV", kept, register)
            self.leftovers.append((kept, kind))

    def condition(self, stmt: ast.Cond) -> None:
        before = self.matched
        leftovers = list(self.leftovers)
        lfalse, lend = self.label(), self.label()
        if stmt.cond is None:
            self.emit("JMATCHED", d=lfalse)
        else:
            self._renew_slots(stmt.cond)
            self.matched = before | self.jump(stmt.cond, lfalse, when=False)
        self.emit("SETM", 0)
        self.block(stmt.truth)
        self.emit("SETM", 1)
        self.matched = before
        if stmt.otherwise is not None:
            self.emit("JMP", d=lend)
        self.place(lfalse)
        if stmt.otherwise is not None:
            self.leftovers = list(leftovers)
            self.block(stmt.otherwise)
            self.matched = before
        self.place(lend)
        self.leftovers = leftovers

    def _renew_slots(self, expr: ast.Expr) -> None:
        """A decorator's condition that is generated again gets slots of its own."""
        self.slots.pop(id(expr), None)
        for child in ast.children(expr):
            self._renew_slots(child)

    def declaration(self, decl: ast.VarDecl) -> None:
        text = _type_name(decl.type)
        value_type = {"Float": FLOAT, "String": STRING}.get(text, INT)
        if decl.kind == "histogram":
            value_type = BUCKETS
        elif decl.kind == "text":
            value_type = STRING
        self.metrics[id(decl)] = None
        if decl.kind == "counter" and not decl.keys and value_type == STRING:
            return self.ice(decl, f"Can't initialize to zero a counter of type {text}")
        if decl.kind == "histogram" and not self._check_buckets(decl):
            return None
        name = decl.exported or decl.name
        metric = MetricDecl(name, KINDS[decl.kind], value_type, tuple(decl.keys), str(decl.pos),
                            tuple(decl.buckets or ()), decl.limit, decl.hidden)  # fmt: skip
        self.metrics[id(decl)] = self._metric_number(metric)
        return None

    def _check_buckets(self, decl: ast.VarDecl) -> bool:
        bounds = decl.buckets or []
        if len(bounds) < 2:
            self.ice(decl, "a histogram need at least two boundaries")
            return False
        if any(hi <= lo for lo, hi in pairwise(bounds)):
            self.ice(decl, "buckets boundaries must be sorted")
            return False
        return True

    def _metric_number(self, metric: MetricDecl) -> int:
        """Equal declarations are one metric whose position and limit are the later one's (successor.md §3.3).

        Not hidden ones: they are in no output, and each is a variable of its own, in each use of a decorator too.
        """
        number = fresh = len(self.program.metrics)
        if not metric.hidden:
            key = (metric.name, metric.kind, metric.type, metric.keys)
            number = self.metric_numbers.setdefault(key, fresh)
        if number == fresh:
            self.program.metrics.append(metric)
        else:
            self.program.metrics[number] = metric
        return number

    def decorated(self, use: ast.DecoUse) -> None:
        if use.decl is None:
            return self.ice(use, f'No definition found for decorator "{use.name}"')
        self.bodies.append(use)
        depth = len(self.bodies)
        self.block(use.decl.body)
        del self.bodies[depth - 1 :]
        return None

    def next(self, _stmt: ast.Next) -> None:
        use = self.bodies.pop()
        self.block(use.body)
        self.bodies.append(use)

    def stop(self, _stmt: ast.Stop) -> None:
        self.emit("END")

    def delete(self, stmt: ast.Del) -> None:
        target = stmt.target
        if not isinstance(target, ast.Index):
            return self.ice(stmt, "nothing to delete here")
        keys = self.keys(target)
        number = self.metric(target)
        if keys is None or number is None:
            return None
        if stmt.after is not None and stmt.after > 0:
            after = self._pooled(self.program.ints, stmt.after)
            return self.emit("EXPIRE", b=keys, c=len(target.keys), d=number, e=after)
        return self.emit("DEL", b=keys, c=len(target.keys), d=number)

    def begin(self, stmt: ast.Begin) -> None:
        outer_code, outer_labels, outer_matched, outer_left = self.code, self.labels, self.matched, self.leftovers
        self.code, self.labels, self.matched, self.leftovers = [], [], frozenset(), []
        self.block(stmt.body)
        self._resolve(self.code, offset=len(self.program.begin))
        self.program.begin.extend(self.code)
        self.code, self.labels, self.matched, self.leftovers = outer_code, outer_labels, outer_matched, outer_left

    def log_filter(self, stmt: ast.LogFilter) -> None:
        self.filtered = True
        self.filters.extend(stmt.names)

    def nothing(self, _stmt: ast.Stmt) -> None:
        """Definitions make no code: decorators are inlined, constants are part of the patterns that use them."""

    # --- conditions --------------------------------------------------------------------------------------

    def jump(self, expr: ast.Expr, target: int, *, when: bool, or_operand: bool = False) -> frozenset[int]:
        """Go to `target` if `expr` is `when`, else go on; the slots that have matched if `expr` is true."""
        if isinstance(expr, ast.Conv) and isinstance(expr.operand, ast.Pattern):
            return self.jump(expr.operand, target, when=when, or_operand=or_operand)
        if isinstance(expr, ast.Call) and expr.name == "bool" and len(expr.args) == 1:
            return self.jump(expr.args[0], target, when=when, or_operand=or_operand)
        if isinstance(expr, ast.Pattern):
            return self.jump_match(expr, None, target, when)
        if isinstance(expr, ast.Binary):
            if expr.op in ("&&", "||"):
                return self.jump_logical(expr, target, when)
            if expr.op == "=~":
                return self.jump_match(expr, expr.lhs, target, when)
            if expr.op == "!~":
                self.jump_match(expr, expr.lhs, target, not when)
                return frozenset()
        register, kind = self.value(expr)
        if kind in (Kind.BOOL, Kind.INT):
            self.emit("JT" if when else "JF", register, d=target)
        elif kind is Kind.NOTHING:
            self.fail(_UNDERFLOW)
        elif when != or_operand:  # every other value is true, but as an operand of || false (§2.2)
            self.emit("JMP", d=target)
        return frozenset()

    def jump_logical(self, expr: ast.Binary, target: int, when: bool) -> frozenset[int]:
        before = self.matched
        is_or = expr.op == "||"
        if is_or == when:  # the first operand decides alone
            left = self.jump(expr.lhs, target, when=when, or_operand=is_or)
            self.matched = before if is_or else before | left
            right = self.jump(expr.rhs, target, when=when, or_operand=is_or)
        else:
            skip = self.label()
            left = self.jump(expr.lhs, skip, when=not when, or_operand=is_or)
            self.matched = before if is_or else before | left
            right = self.jump(expr.rhs, target, when=when, or_operand=is_or)
            self.place(skip)
        self.matched = before
        return left & right if is_or else left | right

    def jump_match(self, expr: ast.Expr, subject: ast.Expr | None, target: int, when: bool) -> frozenset[int]:
        register = None
        if subject is not None:
            register = self.as_string(*self.value(subject))
        pattern = self.pattern_of(expr)
        if pattern is None:
            return frozenset()
        slot, number = pattern
        miss = self.label() if when else target
        if register is None:
            self.emit("MATCH", slot, d=number, e=miss)
        else:
            self.emit("MATCHS", slot, register, d=number, e=miss)
        if when:
            self.emit("JMP", d=target)
            self.place(miss)
        return frozenset((slot,))

    def pattern_of(self, expr: ast.Expr) -> tuple[int, int] | None:
        """Slot and number of a pattern on the line, or of the right side of a match (runtime.md §2.5)."""
        node = expr.rhs if isinstance(expr, ast.Binary) else expr
        if isinstance(node, ast.Pattern):
            text = node.text
        elif _type_name(node.type) not in ("Int", "Float", "String", "Bool"):
            self.value(node)
            self.ice(expr, "unexpected rhs expression for match")
            return None
        else:
            text = b""
        number = self._pooled(self.program.patterns, text)
        if number == len(self.program.captures):
            self.program.captures.append(-1)
        slot = self.slots[id(node)] if id(node) in self.awaited else self._new_slot(node)
        self.awaited.discard(id(node))
        self.slot_patterns[slot] = number
        return slot, number

    def _new_slot(self, node: ast.Expr) -> int:
        self.slots[id(node)] = slot = len(self.slot_groups)
        self.slot_groups.append(-1)
        return slot

    # --- expressions -------------------------------------------------------------------------------------

    def value(self, expr: ast.Expr) -> Value:
        """Code that leaves the value of `expr` in a register."""
        make = self._VALUES.get(type(expr))
        if make is None:  # a pattern where a value is wanted: nothing comes of it, as in mtail
            return self.registers(), Kind.NOTHING
        return make(self, expr)

    def int_literal(self, expr: ast.IntLit) -> Value:
        register = self.registers()
        self.emit("LDI", register, d=self._pooled(self.program.ints, expr.value))
        return register, Kind.INT

    def float_literal(self, expr: ast.FloatLit) -> Value:
        register = self.registers()
        self.emit("LDF", register, d=self._pooled(self.program.floats, expr.value))
        return register, Kind.FLOAT

    def string_literal(self, expr: ast.StringLit) -> Value:
        register = self.registers()
        self.emit("LDS", register, d=self.string(expr.value))
        return register, Kind.STRING

    def capture(self, expr: ast.Capref) -> Value:
        slot = self._slot(expr)
        if slot is None:
            return self.registers(), Kind.NOTHING
        op, kind = {"Int": ("CAPI", Kind.INT), "Float": ("CAPF", Kind.FLOAT)}.get(
            _type_name(expr.type), ("CAPS", Kind.STRING)
        )
        if slot in self.matched:
            op += "M"
        register = self.registers()
        self.emit(op, register, slot, expr.group)
        return register, kind

    def _slot(self, expr: ast.Capref) -> int | None:
        pattern = expr.pattern
        if pattern is None:
            self.ice(expr, f'No regular expression bound to capref "{expr.name}"')
            return None
        if id(pattern) not in self.slots:  # a later pattern of the same condition (successor.md §2.5)
            self._new_slot(pattern)
            self.awaited.add(id(pattern))
        slot = self.slots[id(pattern)]
        self.slot_groups[slot] = max(self.slot_groups[slot], expr.group)
        return slot

    def name(self, expr: ast.Id) -> Value:
        return self.read(ast.Index(expr.pos, expr, []), expr)

    def index(self, expr: ast.Index) -> Value:
        return self.read(expr, expr)

    def read(self, target: ast.Index, node: ast.Expr) -> Value:
        datum = self.datum(target)
        register = self.registers()
        if datum is None:
            return register, Kind.NOTHING
        text = _type_name(node.type)
        if text not in _SUFFIX:
            self.ice(target.base, f'invalid type for get "{text}" in {type(node).__name__}')
            return register, Kind.NOTHING
        if self.is_histogram(target):
            self.fail(f"panic in thread at instr: datum is not a{'n' if text == 'Int' else ''} {text}")
            return register, Kind.NOTHING
        self.emit("GET" + _SUFFIX[text], register, datum)
        return register, {"Int": Kind.INT, "Float": Kind.FLOAT, "String": Kind.STRING}[text]

    def metric(self, target: ast.Index) -> int | None:
        base = target.base
        if not isinstance(base, ast.Id) or not isinstance(base.symbol, ast.VarDecl):
            return None
        number = self.metrics.get(id(base.symbol))
        if number is None:
            self.ice(base, f'No metric bound to identifier "{base.name}"')
        return number

    def is_histogram(self, target: ast.Index) -> bool:
        number = self.metric(target)
        return number is not None and self.program.metrics[number].type == BUCKETS

    def keys(self, target: ast.Index) -> int | None:
        """The texts of the keys in consecutive registers; None where one of them has no value."""
        values = [(key, self.value(key)) for key in target.keys]
        pushed = [(key, value) for key, value in values if value[1] is not Kind.NOTHING]
        missing = len(values) - len(pushed)
        if missing and not self.uses_leftovers:
            raise _LeftoverWanted
        if missing > len(self.leftovers):
            self.fail(_UNDERFLOW)
            return None
        first_left = len(self.leftovers) - missing
        texts = [self.as_string(*value) for value in self.leftovers[first_left:]]
        del self.leftovers[first_left:]
        texts += [self.key_text(key, *value) for key, value in pushed]
        if len(texts) == 1 or all(b == a + 1 for a, b in pairwise(texts)):
            return texts[0] if texts else 0
        first = self.registers(len(texts))
        for at, text in enumerate(texts):
            self.emit("MOV", first + at, text)
        return first

    def key_text(self, key: ast.Expr, register: int, kind: Kind) -> int:
        text = _type_name(key.type)
        if text == "Float":
            return self.convert("F2S", self.as_float(register, kind))
        if text == "Int":
            return self.convert("I2S", self.as_int(register, kind))
        return self.as_string(register, kind)

    def datum(self, target: ast.Index) -> int | None:
        keys = self.keys(target)
        number = self.metric(target)
        if keys is None or number is None:
            return None
        register = self.registers()
        self.emit("DATUM", register, keys, len(target.keys), number)
        self.lookups[register] = keys, len(target.keys), number
        return register

    def found_again(self, datum: int) -> int:
        """Look the datum of a register up once more; its keys are not evaluated again."""
        register = self.registers()
        self.emit("DATUM", register, *self.lookups[datum])
        return register

    def call(self, expr: ast.Call) -> Value:
        if expr.name == "defined":
            return self.defined(expr)
        args = [self.value(arg) for arg in expr.args]
        if any(kind is Kind.NOTHING and not _needs_none(expr, at) for at, (_, kind) in enumerate(args)):
            self.fail(_UNDERFLOW)
            return self.registers(), Kind.NOTHING
        return self._CALLS[expr.name](self, expr, args)

    def defined(self, expr: ast.Call) -> Value:
        register = self.registers()
        arg = expr.args[0]
        if isinstance(arg, ast.Capref):
            slot = self._slot(arg)
            if slot is not None:
                self.emit("DEFINED", register, slot, arg.group)
        return register, Kind.BOOL

    def call_conversion(self, expr: ast.Call, args: list[Value]) -> Value:
        return self.conversion(expr, expr.args[0], args[0], "")

    def conversion(self, node: ast.Expr, operand: ast.Expr, value: Value, prefix: str) -> Value:
        register, kind = value
        source, target = _type_name(operand.type), _type_name(node.type)
        if source == target:
            return value
        if (source, target) == ("Int", "Float"):
            return self.convert("I2F", self.as_int(register, kind)), Kind.FLOAT
        if (source, target) == ("String", "Float"):
            return self.convert("S2F", self.as_string(register, kind)), Kind.FLOAT
        if (source, target) == ("String", "Int"):
            return self.convert("S2I", self.as_string(register, kind)), Kind.INT
        if (source, target) == ("Float", "String"):
            return self.convert("F2S", self.as_float(register, kind)), Kind.STRING
        if (source, target) == ("Int", "String"):
            return self.convert("I2S", self.as_int(register, kind)), Kind.STRING
        self.ice(node, f'{prefix}can\'t convert "{source}" to "{target}" on node {type(node).__name__}')
        return value

    def converted(self, expr: ast.Conv) -> Value:
        if isinstance(expr.operand, ast.Pattern):
            return self.boolean(expr)
        return self.conversion(expr, expr.operand, self.value(expr.operand), "internal error: ")

    def call_bool(self, _expr: ast.Call, args: list[Value]) -> Value:
        return args[0] if args else (self.registers(), Kind.NOTHING)

    def call_len(self, _expr: ast.Call, args: list[Value]) -> Value:
        return self.convert("LEN", self.as_string(*args[0])), Kind.LEN

    def call_tolower(self, _expr: ast.Call, args: list[Value]) -> Value:
        return self.convert("LOWER", self.as_string(*args[0])), Kind.STRING

    def call_subst(self, expr: ast.Call, args: list[Value]) -> Value:
        by_pattern = isinstance(expr.args[0], ast.Pattern)
        texts = [self.as_string(*value) for value in args[by_pattern:]]
        first = self.registers(len(texts))
        for at, text in enumerate(texts):
            self.emit("MOV", first + at, text)
        register = self.registers()
        if by_pattern:
            pattern = self.pattern_of(expr.args[0])
            assert pattern is not None
            self.slot_groups[pattern[0]] = 0
            self.emit("SUBSTRE", register, first, d=pattern[1])
        else:
            self.emit("SUBST", register, first)
        return register, Kind.STRING

    def call_strtol(self, _expr: ast.Call, args: list[Value]) -> Value:
        text, base = self.as_string(*args[0]), self.as_int(*args[1])
        register = self.registers()
        self.emit("STRTOL", register, text, base)
        return register, Kind.INT

    def call_settime(self, _expr: ast.Call, args: list[Value]) -> Value:
        register, kind = args[0]
        if kind is Kind.INT:
            self.emit("SETTIME", register)
        else:
            self.fail("Failed to pop a timestamp off the stack: not an int64 instead")
        return register, Kind.NOTHING

    def call_strptime(self, expr: ast.Call, args: list[Value]) -> Value:
        register, kind = args[0]
        if kind is not Kind.STRING:  # numbers give the empty text (runtime.md §3)
            register = self.registers()
            self.emit("LDS", register, d=self.string(b""))
        layout = expr.args[1]
        assert isinstance(layout, ast.StringLit)
        self.emit("STRPTIME", register, d=self._pooled(self.program.layouts, layout.value))
        return register, Kind.NOTHING

    def call_timestamp(self, _expr: ast.Call, _args: list[Value]) -> Value:
        register = self.registers()
        self.emit("TSTAMP", register)
        return register, Kind.INT

    def call_getfilename(self, _expr: ast.Call, _args: list[Value]) -> Value:
        register = self.registers()
        self.emit("FNAME", register)
        return register, Kind.STRING

    def unary(self, expr: ast.Unary) -> Value:
        if expr.op == "~":
            register, kind = self.value(expr.operand)
            if kind is Kind.BOOL:
                return self.convert("NOTB", register), Kind.BOOL
            return self.convert("NOTI", self.as_int(register, kind)), Kind.INT
        register = self.registers()
        target = _as_index(expr.operand)
        datum = self.datum(target) if target else None
        if target is None or datum is None:
            return register, Kind.NOTHING
        if self.is_histogram(target):
            self.fail("panic in thread at instr: datum is not an Int")
            return register, Kind.NOTHING
        self.emit("INC" if expr.op == "++" else "DEC", register, datum, d=self.metric(target) or 0)
        return register, Kind.INT

    def binary(self, expr: ast.Binary) -> Value:
        if expr.op in ("=", "+="):
            self.assign(expr)
            return self.registers(), Kind.NOTHING
        if expr.op in ("&&", "||", "=~", "!~"):
            return self.boolean(expr)
        left, right = self.value(expr.lhs), self.value(expr.rhs)
        if Kind.NOTHING in (left[1], right[1]) and not self.errors:
            self.fail(_UNDERFLOW)
            kind = Kind.BOOL if expr.op in _COMPARE else Kind.INT
            return self.registers(), kind
        if expr.op in _BITS:
            return self.three(_BITS[expr.op], Kind.INT, left, right, self.as_int)
        if expr.op in _COMPARE:
            return self.comparison(expr, left, right)
        return self.arithmetic(expr, left, right)

    def boolean(self, expr: ast.Expr) -> Value:
        register = self.registers()
        lfalse = self.label()
        self.emit("LDI", register, d=self._pooled(self.program.ints, 0))
        before = self.matched
        self.jump(expr, lfalse, when=False)
        self.matched = before
        self.emit("LDI", register, d=self._pooled(self.program.ints, 1))
        self.place(lfalse)
        return register, Kind.BOOL

    def arithmetic(self, expr: ast.Binary, left: Value, right: Value) -> Value:
        text = _type_name(expr.type)
        if text == "Int":
            return self.three(_ARITHMETIC[expr.op] + "I", Kind.INT, left, right, self.as_int)
        if text == "Float":
            return self.three(_ARITHMETIC[expr.op] + "F", Kind.FLOAT, left, right, self.as_float)
        if text == "String" and expr.op == "+":
            return self.three("CAT", Kind.STRING, left, right, self.as_string)
        self.ice(expr, f"no opcode for type {text} in op {_TOKEN[expr.op]}")
        return left

    def comparison(self, expr: ast.Binary, left: Value, right: Value) -> Value:
        text = _type_name(expr.lhs.type)
        suffix = _SUFFIX.get(text)
        if text == "Bool" and {left[1], right[1]} <= {Kind.INT, Kind.LEN}:  # results of ~
            suffix = "I"
        if suffix is None or text != _type_name(expr.rhs.type):
            self.fail(f"cannot compare {left[1].value} with {right[1].value}")
            return self.registers(), Kind.BOOL
        convert = {"I": self.as_int, "F": self.as_float, "S": self.as_string}[suffix]
        name, negated = _COMPARE[expr.op]
        if suffix == "S" and _guesses_numbers(expr.lhs):
            suffix = "N"
        register, kind = self.three(name + suffix, Kind.BOOL, left, right, convert)
        return (self.convert("NOTB", register), kind) if negated else (register, kind)

    def three(self, op: str, kind: Kind, left: Value, right: Value, to: Callable[[int, Kind], int]) -> Value:
        """`op` of two operands; the right one is converted first, as it comes off mtail's stack first."""
        b = to(*right)
        a = to(*left)
        register = self.registers()
        self.emit(op, register, a, b)
        return register, kind

    # --- stores ------------------------------------------------------------------------------------------

    def assign(self, expr: ast.Binary) -> None:
        target = _as_index(expr.lhs)
        if target is None:
            return None
        start = len(self.code)
        datum = self.datum(target)
        found = len(self.code)
        text = _type_name(expr.type)
        old: Value | None = None
        if expr.op == "+=" and text in ("Float", "String") and datum is not None:
            if self.is_histogram(target):
                return self.fail(f"panic in thread at instr: datum is not a {text}")
            # mtail evaluates the left side twice here, which shows when a key counts
            twice = any(instr.op in ("INC", "DEC") for instr in self.code[start:found])
            read = self.datum(target) if twice else datum
            register = self.registers()
            self.emit("GET" + _SUFFIX[text], register, read or 0)
            old = register, Kind.FLOAT if text == "Float" else Kind.STRING
        value = self.value(expr.rhs)
        if datum is None:
            return None
        if text not in _SUFFIX:
            if expr.op == "=":
                return self.ice(expr, f"no opcode for type {text} in op {_TOKEN['=']}")
            return self.ice(expr, f"invalid type for add-assignment: {text}")
        if value[1] is Kind.NOTHING:
            return self.fail(_UNDERFLOW)
        if any(instr.op == "DATUM" for instr in self.code[found:]):
            # another lookup may have evicted what the left side found (deviation limit-write)
            datum = self.found_again(datum)
        if old is not None:
            value = self.three("ADDF" if text == "Float" else "CAT", old[1], old, value,
                               self.as_float if text == "Float" else self.as_string)  # fmt: skip
        return self.store(target, datum, text, value, add=expr.op == "+=" and text == "Int")

    def store(self, target: ast.Index, datum: int, text: str, value: Value, *, add: bool) -> None:
        metric = self.metric(target) or 0
        if self.is_histogram(target):
            if add or text == "String":
                return self.fail(f"panic in thread at instr: datum is not a{'n Int' if add else ' String'}")
            as_float = self.as_float(*value) if text == "Float" else self.convert("I2F", self.as_int(*value))
            return self.emit("OBSERVE", datum, as_float, d=metric)
        if text == "Int":
            return self.emit("INCBY" if add else "SETI", datum, self.as_int(*value), d=metric)
        if text == "Float":
            return self.emit("SETF", datum, self.as_float(*value), d=metric)
        return self.emit("SETS", datum, self.as_string(*value), d=metric)

    # --- what mtail converts when it pops a value (runtime.md §2.4) ----------------------------------------

    def convert(self, op: str, register: int, c: int = 0) -> int:
        result = self.registers()
        self.emit(op, result, register, c)
        return result

    def as_int(self, register: int, kind: Kind) -> int:
        if kind in (Kind.INT, Kind.LEN):
            return register
        if kind is Kind.STRING:
            return self.convert("S2I", register, c=1)
        self.fail(f"unexpected int type {kind.value}")
        return register

    def as_float(self, register: int, kind: Kind) -> int:
        if kind is Kind.FLOAT:
            return register
        if kind is Kind.LEN:
            return self.convert("I2F", register)
        if kind is Kind.STRING:
            return self.convert("S2F", register, c=1)
        self.fail(f"unexpected float type {kind.value}")
        return register

    def as_string(self, register: int, kind: Kind) -> int:
        if kind is Kind.STRING:
            return register
        if kind in (Kind.INT, Kind.LEN):
            return self.convert("I2S", register)
        if kind is Kind.FLOAT:
            return self.convert("F2SG", register)
        self.fail(f"unexpected type for string {kind.value}")
        return register

    _STATEMENTS: ClassVar[dict[type[ast.Stmt], Callable[[_Generator, Any], None]]] = {
        ast.ExprStmt: expression_statement,
        ast.Cond: condition,
        ast.VarDecl: declaration,
        ast.DecoUse: decorated,
        ast.Next: next,
        ast.Stop: stop,
        ast.Del: delete,
        ast.Begin: begin,
        ast.LogFilter: log_filter,
        ast.ConstDecl: nothing,
        ast.DecoDecl: nothing,
    }
    _VALUES: ClassVar[dict[type[ast.Expr], Callable[[_Generator, Any], Value]]] = {
        ast.IntLit: int_literal,
        ast.FloatLit: float_literal,
        ast.StringLit: string_literal,
        ast.Capref: capture,
        ast.Id: name,
        ast.Index: index,
        ast.Call: call,
        ast.Unary: unary,
        ast.Binary: binary,
        ast.Conv: converted,
    }
    _CALLS: ClassVar[dict[str, Callable[[_Generator, ast.Call, list[Value]], Value]]] = {
        "bool": call_bool,
        "int": call_conversion,
        "float": call_conversion,
        "string": call_conversion,
        "len": call_len,
        "tolower": call_tolower,
        "subst": call_subst,
        "strtol": call_strtol,
        "settime": call_settime,
        "strptime": call_strptime,
        "timestamp": call_timestamp,
        "getfilename": call_getfilename,
    }


def _needs_none(call: ast.Call, at: int) -> bool:
    """Whether a call can do without a value of an argument: conversions refuse its type, `subst` works on a pattern."""
    if call.name == "subst":
        return at == 0 and isinstance(call.args[0], ast.Pattern)
    return call.name in ("bool", "int", "float", "string")


def _as_index(expr: ast.Expr) -> ast.Index | None:
    if isinstance(expr, ast.Id):
        return ast.Index(expr.pos, expr, [])
    return expr if isinstance(expr, ast.Index) else None


def _guesses_numbers(lhs: ast.Expr) -> bool:
    """Whether a comparison with this text on its left is mtail's untyped one, which takes texts for numbers if it can.

    It is where mtail's type of the left side is not String itself but stands for it: calls and sums of texts that
    begin with one, metrics that are not declared as text, label sets.
    """
    if isinstance(lhs, ast.Binary):
        while isinstance(lhs, ast.Binary) and not isinstance(lhs.rhs, ast.Conv):
            lhs = lhs.lhs
        return isinstance(lhs, ast.Call)
    if isinstance(lhs, ast.Index) and not lhs.keys:
        lhs = lhs.base
    if isinstance(lhs, ast.Id):
        return isinstance(lhs.symbol, ast.VarDecl) and lhs.symbol.kind != "text"
    return isinstance(lhs, (ast.Call, ast.Index))


def _type_name(type_: types.Type | None) -> str:
    return str(types.resolve(type_)) if type_ is not None else "None"
