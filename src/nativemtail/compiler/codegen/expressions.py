"""Expressions: code that leaves a value in a register."""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.codegen import operators
from nativemtail.compiler.codegen.calls import Calls
from nativemtail.compiler.codegen.conditions import Conditions
from nativemtail.compiler.codegen.declarations import Declarations
from nativemtail.compiler.codegen.emit import UNDERFLOW, Emitter, Kind, Value, type_name
from nativemtail.compiler.codegen.patterns import Slots
from nativemtail.compiler.codegen.variables import Leftovers, Variables


class Expressions:
    def __init__(self, out: Emitter, slots: Slots, declarations: Declarations, leftovers: Leftovers) -> None:
        self._out = out
        self._slots = slots
        self.conditions = Conditions(out, slots, self.value)
        self.variables = Variables(out, declarations, leftovers, self.value)
        self._calls = Calls(out, slots, self.conditions, self.value)

    def value(self, expr: ast.Expr) -> Value:
        match expr:
            case ast.IntLit():
                return self._load("LDI", Kind.INT, self._out.integer(expr.value))
            case ast.FloatLit():
                return self._load("LDF", Kind.FLOAT, self._out.constant(self._out.program.floats, expr.value))
            case ast.StringLit():
                return self._load("LDS", Kind.STRING, self._out.string(expr.value))
            case ast.Capref():
                return self._capture(expr)
            case ast.Id():
                return self.variables.read(ast.Index(expr.pos, expr, []), expr)
            case ast.Index():
                return self.variables.read(expr, expr)
            case ast.Call():
                return self._calls.call(expr)
            case ast.Unary() if expr.op == "~":
                return operators.complement(self._out, *self.value(expr.operand))
            case ast.Unary() if expr.op == "!":
                return self.conditions.boolean(expr)
            case ast.Unary() if expr.op == "-":
                return operators.minus(self._out, expr, *self.value(expr.operand))
            case ast.Unary():
                return self.variables.increment(expr)
            case ast.Binary():
                return self._binary(expr)
            case ast.Conv() if isinstance(expr.operand, (ast.Pattern, ast.Fields)):
                return self.conditions.boolean(expr)
            case ast.Conv():
                return self._calls.convert(expr, expr.operand, self.value(expr.operand), "internal error: ")
        # a pattern used as a value gives none, as in mtail
        return self._out.registers(), Kind.NOTHING

    def _load(self, op: str, kind: Kind, constant: int) -> Value:
        register = self._out.registers()
        self._out.emit(op, register, d=constant)
        return register, kind

    def _capture(self, expr: ast.Capref) -> Value:
        slot = self._slots.capture(expr)
        if slot is None:
            return self._out.registers(), Kind.NOTHING
        if isinstance(expr.pattern, ast.Fields) and type_name(expr.type) in ("Int", "Float"):
            return self._number_of_field(expr, slot, len(expr.pattern.fields))
        op, kind = {"Int": ("CAPI", Kind.INT), "Float": ("CAPF", Kind.FLOAT)}.get(
            type_name(expr.type), ("CAPS", Kind.STRING)
        )
        if slot in self._slots.matched:
            op += "M"
        register = self._out.registers()
        self._out.emit(op, register, slot, expr.group)
        return register, kind

    def _number_of_field(self, expr: ast.Capref, slot: int, count: int) -> Value:
        register = self._out.registers()
        is_int = type_name(expr.type) == "Int"
        self._out.emit("FLDI" if is_int else "FLDF", register, slot, expr.group, count)
        return register, Kind.INT if is_int else Kind.FLOAT

    def _binary(self, expr: ast.Binary) -> Value:
        out = self._out
        if expr.op in ("=", "+=", "-="):
            self.variables.assign(expr)
            return out.registers(), Kind.NOTHING
        if expr.op in ("&&", "||", "=~", "!~"):
            return self.conditions.boolean(expr)
        left, right = self.value(expr.lhs), self.value(expr.rhs)
        if Kind.NOTHING in (left[1], right[1]) and not out.errors:
            out.fail(UNDERFLOW)
            return out.registers(), Kind.BOOL if expr.op in operators.COMPARE else Kind.INT
        return operators.binary(out, expr, left, right)
