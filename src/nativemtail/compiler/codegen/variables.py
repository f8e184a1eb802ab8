"""Metrics as variables: finding the series that keys name, reading it, storing into it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from nativemtail.compiler import ast
from nativemtail.compiler.codegen.declarations import Declarations
from nativemtail.compiler.codegen.emit import SUFFIX, UNDERFLOW, Emitter, Kind, Value, type_name
from nativemtail.compiler.codegen.operators import TOKEN, three

_FLOAT = {"+=": "ADDF", "-=": "SUBF"}


class LeftoverWanted(Exception):
    """A key is a pattern, for which mtail takes the value that earlier statements left on its stack.

    As this is rare, code is first generated without keeping such values, and again with them if this is raised.
    """


class Leftovers:
    """The values that statements leave on mtail's stack, if they are kept."""

    def __init__(self, out: Emitter, kept: bool) -> None:
        self._out = out
        self._kept = kept
        self.values: list[Value] = []

    def leave(self, register: int, kind: Kind) -> None:
        """Record the value that a statement leaves on mtail's stack."""
        if self._kept and kind is not Kind.NOTHING:
            copy = self._out.registers()
            self._out.emit("MOV", copy, register)
            self.values.append((copy, kind))

    def pop(self, count: int) -> list[Value] | None:
        """The last `count` values; None if there are fewer.  Raises LeftoverWanted if they are not kept."""
        if count and not self._kept:
            raise LeftoverWanted
        if count > len(self.values):
            return None
        first = len(self.values) - count
        values = self.values[first:]
        del self.values[first:]
        return values


class Variables:
    """`value` generates a key, or a value to store."""

    def __init__(
        self, out: Emitter, declarations: Declarations, leftovers: Leftovers, value: Callable[[ast.Expr], Value]
    ) -> None:
        self._out = out
        self._declarations = declarations
        self._leftovers = leftovers
        self._value = value
        self._lookups: dict[int, tuple[int, int, int]] = {}  # register of a datum → operands of its DATUM

    def keys(self, target: ast.Index) -> int | None:
        """Load the keys as texts into consecutive registers; None if one of them has no value."""
        out = self._out
        values = [(key, self._value(key)) for key in target.keys]
        pushed = [(key, value) for key, value in values if value[1] is not Kind.NOTHING]
        left = self._leftovers.pop(len(values) - len(pushed))
        if left is None:
            out.fail(UNDERFLOW)
            return None
        texts = [out.as_string(*value) for value in left]
        texts += [self._key_text(key, *value) for key, value in pushed]
        if len(texts) == 1 or all(b == a + 1 for a, b in pairwise(texts)):
            return texts[0] if texts else 0
        first = out.registers(len(texts))
        for at, text in enumerate(texts):
            out.emit("MOV", first + at, text)
        return first

    def read(self, target: ast.Index, node: ast.Expr) -> Value:
        """Read the value of a series, as the type of `node`."""
        out = self._out
        datum = self._datum(target)
        register = out.registers()
        if datum is None:
            return register, Kind.NOTHING
        text = type_name(node.type)
        if text not in SUFFIX:
            out.ice(target.base, f'invalid type for get "{text}" in {type(node).__name__}')
            return register, Kind.NOTHING
        if self._declarations.is_histogram(target):
            out.fail(f"panic in thread at instr: datum is not a{'n' if text == 'Int' else ''} {text}")
            return register, Kind.NOTHING
        out.emit("GET" + SUFFIX[text], register, datum)
        return register, {"Int": Kind.INT, "Float": Kind.FLOAT, "String": Kind.STRING}[text]

    def increment(self, expr: ast.Unary) -> Value:
        """`x++` or `x--`."""
        out = self._out
        register = out.registers()
        target = _as_index(expr.operand)
        datum = self._datum(target) if target else None
        if target is None or datum is None:
            return register, Kind.NOTHING
        if self._declarations.is_histogram(target):
            out.fail("panic in thread at instr: datum is not an Int")
            return register, Kind.NOTHING
        out.emit("INC" if expr.op == "++" else "DEC", register, datum, d=self._declarations.metric(target) or 0)
        return register, Kind.INT

    def assign(self, expr: ast.Binary) -> None:
        """`x = y`, `x += y` or `x -= y`."""
        out = self._out
        target = _as_index(expr.lhs)
        if target is None:
            return
        start = len(out.code)
        datum = self._datum(target)
        found = len(out.code)
        text = type_name(expr.type)
        old: Value | None = None
        if expr.op == "-=" and text not in ("Int", "Float"):
            out.ice(expr, f"invalid type for subtract-assignment: {text}")
            return
        if expr.op != "=" and text in ("Float", "String") and datum is not None:
            if self._declarations.is_histogram(target):
                out.fail(f"panic in thread at instr: datum is not a {text}")
                return
            old = self._old_value(target, datum, text, start)
        value = self._value(expr.rhs)
        if datum is None or not self._storable(expr, text, value):
            return
        if any(instr.op == "DATUM" for instr in out.code[found:]):
            # evaluating the right side may have evicted the series (deviation limit-write)
            datum = self._found_again(datum)
        if old is not None and text == "Float" and not self._reads_metrics(start, found):
            self._add_float(expr.op, target, datum, value)
            return
        if old is not None:
            op, convert = (_FLOAT[expr.op], out.as_float) if text == "Float" else ("CAT", out.as_string)
            value = three(out, op, old[1], old, value, convert)
        elif expr.op == "-=":
            value = out.convert("NEGI", out.as_int(*value)), Kind.INT
        self._store(target, datum, text, value, add=expr.op != "=" and text == "Int")

    def _storable(self, expr: ast.Binary, text: str, value: Value) -> bool:
        if text not in SUFFIX:
            if expr.op == "=":
                self._out.ice(expr, f"no opcode for type {text} in op {TOKEN['=']}")
            else:
                self._out.ice(expr, f"invalid type for add-assignment: {text}")
            return False
        if value[1] is Kind.NOTHING:
            self._out.fail(UNDERFLOW)
            return False
        return True

    def _old_value(self, target: ast.Index, datum: int, text: str, start: int) -> Value:
        """The value that `+=` adds to and `-=` subtracts from; `start` is the first instruction of the left side."""
        # mtail evaluates the left side twice here, which is visible if a key has side effects
        twice = any(instr.op in ("INC", "DEC") for instr in self._out.code[start:])
        again = self._datum(target) if twice else datum
        register = self._out.registers()
        self._out.emit("GET" + SUFFIX[text], register, again or 0)
        return register, Kind.FLOAT if text == "Float" else Kind.STRING

    def _reads_metrics(self, start: int, found: int) -> bool:
        """Whether a key, or the right side, reads or changes a metric; `found` is where the left side ends."""
        code = self._out.code
        return any(instr.op in ("INC", "DEC") for instr in code[start:found]) or any(
            instr.op == "DATUM" for instr in code[found:]
        )

    def _add_float(self, op: str, target: ast.Index, datum: int, value: Value) -> None:
        out = self._out
        number = out.as_float(*value)
        if op == "-=":
            number = out.convert("NEGF", number)
        out.emit("INCBYF", datum, number, d=self._declarations.metric(target) or 0)

    def _store(self, target: ast.Index, datum: int, text: str, value: Value, *, add: bool) -> None:
        out = self._out
        metric = self._declarations.metric(target) or 0
        if self._declarations.is_histogram(target):
            if add or text == "String":
                out.fail(f"panic in thread at instr: datum is not a{'n Int' if add else ' String'}")
                return
            as_float = out.as_float(*value) if text == "Float" else out.convert("I2F", out.as_int(*value))
            out.emit("OBSERVE", datum, as_float, d=metric)
        elif text == "Int":
            out.emit("INCBY" if add else "SETI", datum, out.as_int(*value), d=metric)
        elif text == "Float":
            out.emit("SETF", datum, out.as_float(*value), d=metric)
        else:
            out.emit("SETS", datum, out.as_string(*value), d=metric)

    def _datum(self, target: ast.Index) -> int | None:
        """Look up the series that the keys name; returns its register."""
        keys = self.keys(target)
        number = self._declarations.metric(target)
        if keys is None or number is None:
            return None
        register = self._out.registers()
        self._out.emit("DATUM", register, keys, len(target.keys), number)
        self._lookups[register] = keys, len(target.keys), number
        return register

    def _found_again(self, datum: int) -> int:
        """Look up the series of a register again, without evaluating its keys again."""
        register = self._out.registers()
        self._out.emit("DATUM", register, *self._lookups[datum])
        return register

    def _key_text(self, key: ast.Expr, register: int, kind: Kind) -> int:
        out = self._out
        text = type_name(key.type)
        if text == "Float":
            return out.convert("F2S", out.as_float(register, kind))
        if text == "Int":
            return out.convert("I2S", out.as_int(register, kind))
        return out.as_string(register, kind)


def _as_index(expr: ast.Expr) -> ast.Index | None:
    if isinstance(expr, ast.Id):
        return ast.Index(expr.pos, expr, [])
    return expr if isinstance(expr, ast.Index) else None
