"""Calls of builtins (spec language.md §6)."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast, prefixes
from nativemtail.compiler.builtins import BUILTINS, FUNCTIONS, Builtin, Function
from nativemtail.compiler.builtins import Kind as Param
from nativemtail.compiler.codegen.conditions import Conditions
from nativemtail.compiler.codegen.emit import UNDERFLOW, Emitter, Kind, Value, type_name
from nativemtail.compiler.codegen.patterns import Slots
from nativemtail.compiler.types import FLOAT, STRING

_OF_FLOAT = frozenset(("CEIL", "EXP", "FLOOR", "LN", "LOG10", "ROUND", "SQRT"))


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
        if expr.name in FUNCTIONS:
            return self._function(expr, FUNCTIONS[expr.name])
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

    def _function(self, expr: ast.Call, function: Function) -> Value:
        """Call a function that mtail does not have."""
        out = self._out
        if function.result is None or function.opcode in _OF_FLOAT:
            return self._numeric(expr, function)
        kinds = list(function.params.values())
        operands = [
            out.as_string(*self._value(arg)) if kind in (Param.TEXT, Param.STRING) else out.as_int(*self._value(arg))
            for kind, arg in zip(kinds, expr.args, strict=False)
            if kind is not Param.PREFIX
        ]
        register = out.registers()
        if function.opcode == "IPIN":
            texts = [arg.value for arg in expr.args[1:] if isinstance(arg, ast.StringLit)]
            out.emit("IPIN", register, operands[0], d=out.string(prefixes.packed(texts)))
            return register, Kind.BOOL
        if len(operands) > 2:
            operands = [self._consecutive(operands)]
        out.emit(function.opcode, register, *operands)
        return register, Kind.FLOAT if function.result is FLOAT else Kind.STRING

    def _numeric(self, expr: ast.Call, function: Function) -> Value:
        """A function of numbers: of Floats, or of arguments of one type."""
        out = self._out
        if function.result is None:
            text = type_name(expr.type)
            op, kind = (function.opcode + "I", Kind.INT) if text == "Int" else (function.opcode + "F", Kind.FLOAT)
        else:
            text = type_name(expr.args[0].type)
            op, kind = function.opcode, Kind.FLOAT
        if text not in ("Int", "Float"):
            out.ice(expr, f"no opcode for type {text} in {expr.name}()")
            return out.registers(), kind
        values = [self._number(arg, kind) for arg in expr.args]
        result = values[0]
        if len(values) == 1:
            return out.convert(op, result), kind
        for value in values[1:]:
            register = out.registers()
            out.emit(op, register, result, value)
            result = register
        return result, kind

    def _number(self, arg: ast.Expr, kind: Kind) -> int:
        """The value of a number as an Int or a Float."""
        register, found = self._value(arg)
        if kind is Kind.INT:
            return self._out.as_int(register, found)
        if found is Kind.INT:
            return self._out.convert("I2F", register)
        return self._out.as_float(register, found)

    def _consecutive(self, registers: list[int]) -> int:
        """Copy registers to consecutive ones; returns the first."""
        first = self._out.registers(len(registers))
        for at, register in enumerate(registers):
            self._out.emit("MOV", first + at, register)
        return first

    def _defined(self, expr: ast.Call) -> Value:
        register = self._out.registers()
        arg = expr.args[0]
        if isinstance(arg, ast.Capref):
            slot = self._slots.capture(arg)
            if slot is not None:
                self._out.emit("DEFINED", register, slot, arg.group)
        return register, Kind.BOOL

    def _conversion(self, expr: ast.Call, args: list[Value]) -> Value:
        is_literal = isinstance(expr.args[0], ast.FloatLit)  # refused, as in mtail: it is written as an Int
        if expr.name == "int" and type_name(expr.args[0].type) == "Float" and not is_literal:
            return self._out.convert("F2I", self._out.as_float(*args[0])), Kind.INT
        return self.convert(expr, expr.args[0], args[0])

    def _bool(self, _expr: ast.Call, args: list[Value]) -> Value:
        return args[0] if args else (self._out.registers(), Kind.NOTHING)

    def _len(self, _expr: ast.Call, args: list[Value]) -> Value:
        return self._out.convert("LEN", self._out.as_string(*args[0])), Kind.LEN

    def _subst(self, expr: ast.Call, args: list[Value]) -> Value:
        out = self._out
        by_pattern = isinstance(expr.args[0], ast.Pattern)
        first = self._consecutive([out.as_string(*value) for value in args[by_pattern:]])
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
        elif kind is Kind.FLOAT:
            self._out.emit("SETTIMEF", register)
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
