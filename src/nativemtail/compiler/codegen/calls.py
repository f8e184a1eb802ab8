"""Calls of builtins (spec language.md §6)."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast
from nativemtail.compiler.builtins import BUILTINS, Builtin
from nativemtail.compiler.codegen.conditions import Conditions
from nativemtail.compiler.codegen.emit import UNDERFLOW, Emitter, Kind, Value, type_name
from nativemtail.compiler.codegen.patterns import Slots
from nativemtail.compiler.types import STRING


class Calls:
    """`value` generates an argument."""

    def __init__(self, out: Emitter, slots: Slots, conditions: Conditions, value: Callable[[ast.Expr], Value]) -> None:
        self._out = out
        self._slots = slots
        self._conditions = conditions
        self._value = value
        self._builtins: dict[str, Callable[[ast.Call, list[Value]], Value]] = {
            "bool": self._bool,
            "int": self._conversion,
            "float": self._conversion,
            "string": self._conversion,
            "len": self._len,
            "subst": self._subst,
            "settime": self._settime,
            "strptime": self._strptime,
        }

    def call(self, expr: ast.Call) -> Value:
        if expr.name == "defined":
            return self._defined(expr)
        args = [self._value(arg) for arg in expr.args]
        if any(kind is Kind.NOTHING and not _needs_none(expr, at) for at, (_, kind) in enumerate(args)):
            self._out.fail(UNDERFLOW)
            return self._out.registers(), Kind.NOTHING
        builtin = BUILTINS[expr.name]
        return self._instruction(builtin, args) if builtin.opcode else self._builtins[expr.name](expr, args)

    def convert(self, node: ast.Expr, operand: ast.Expr, value: Value, prefix: str = "") -> Value:
        """Convert the `value` of `operand` to the type of `node`; `prefix` begins the error if that is impossible."""
        out = self._out
        register, kind = value
        source, target = type_name(operand.type), type_name(node.type)
        if source == target:
            return value
        if (source, target) == ("Int", "Float"):
            return out.convert("I2F", out.as_int(register, kind)), Kind.FLOAT
        if (source, target) == ("String", "Float"):
            return out.convert("S2F", out.as_string(register, kind)), Kind.FLOAT
        if (source, target) == ("String", "Int"):
            return out.convert("S2I", out.as_string(register, kind)), Kind.INT
        if (source, target) == ("Float", "String"):
            return out.convert("F2S", out.as_float(register, kind)), Kind.STRING
        if (source, target) == ("Int", "String"):
            return out.convert("I2S", out.as_int(register, kind)), Kind.STRING
        out.ice(node, f'{prefix}can\'t convert "{source}" to "{target}" on node {type(node).__name__}')
        return value

    def _instruction(self, builtin: Builtin, args: list[Value]) -> Value:
        out = self._out
        operands = [
            out.as_string(*arg) if param is STRING else out.as_int(*arg)
            for param, arg in zip(builtin.params, args, strict=True)
        ]
        register = out.registers()
        out.emit(builtin.opcode, register, *operands)
        return register, Kind.STRING if builtin.result is STRING else Kind.INT

    def _defined(self, expr: ast.Call) -> Value:
        register = self._out.registers()
        arg = expr.args[0]
        if isinstance(arg, ast.Capref):
            slot = self._slots.capture(arg)
            if slot is not None:
                self._out.emit("DEFINED", register, slot, arg.group)
        return register, Kind.BOOL

    def _conversion(self, expr: ast.Call, args: list[Value]) -> Value:
        return self.convert(expr, expr.args[0], args[0])

    def _bool(self, _expr: ast.Call, args: list[Value]) -> Value:
        return args[0] if args else (self._out.registers(), Kind.NOTHING)

    def _len(self, _expr: ast.Call, args: list[Value]) -> Value:
        return self._out.convert("LEN", self._out.as_string(*args[0])), Kind.LEN

    def _subst(self, expr: ast.Call, args: list[Value]) -> Value:
        out = self._out
        by_pattern = isinstance(expr.args[0], ast.Pattern)
        texts = [out.as_string(*value) for value in args[by_pattern:]]
        first = out.registers(len(texts))
        for at, text in enumerate(texts):
            out.emit("MOV", first + at, text)
        register = out.registers()
        if by_pattern:
            pattern = self._conditions.pattern(expr.args[0])
            assert pattern is not None
            slot, number = pattern
            self._slots.read(slot, 0)
            out.emit("SUBSTRE", register, first, d=number)
        else:
            out.emit("SUBST", register, first)
        return register, Kind.STRING

    def _settime(self, _expr: ast.Call, args: list[Value]) -> Value:
        register, kind = args[0]
        if kind is Kind.INT:
            self._out.emit("SETTIME", register)
        else:
            self._out.fail("Failed to pop a timestamp off the stack: not an int64 instead")
        return register, Kind.NOTHING

    def _strptime(self, expr: ast.Call, args: list[Value]) -> Value:
        out = self._out
        register, kind = args[0]
        if kind is not Kind.STRING:  # numbers give the empty text (runtime.md §3)
            register = out.registers()
            out.emit("LDS", register, d=out.string(b""))
        layout = expr.args[1]
        assert isinstance(layout, ast.StringLit)
        out.emit("STRPTIME", register, d=out.constant(out.program.layouts, layout.value))
        return register, Kind.NOTHING


def _needs_none(call: ast.Call, at: int) -> bool:
    """Whether an argument may lack a value: conversions report its type, and `subst` takes a pattern."""
    if call.name == "subst":
        return at == 0 and isinstance(call.args[0], ast.Pattern)
    return call.name in ("bool", "int", "float", "string")
