"""Conditions as jumps (short-circuit code): `&&` and `||` do not compute a value."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast
from nativemtail.compiler.codegen.emit import UNDERFLOW, Emitter, Kind, Value, type_name
from nativemtail.compiler.codegen.patterns import Slots

Matched = frozenset[int]
"""The slots that have matched if the condition is true."""


class Conditions:
    """`value` generates an operand that is not itself a condition."""

    def __init__(self, out: Emitter, slots: Slots, value: Callable[[ast.Expr], Value]) -> None:
        self._out = out
        self._slots = slots
        self._value = value

    def jump(self, expr: ast.Expr, target: int, *, when: bool, or_operand: bool = False) -> Matched:
        """Jump to `target` if `expr` is `when`, else fall through."""
        if isinstance(expr, ast.Conv) and isinstance(expr.operand, (ast.Pattern, ast.Fields)):
            return self.jump(expr.operand, target, when=when, or_operand=or_operand)
        if isinstance(expr, ast.Call) and expr.name == "bool" and len(expr.args) == 1:
            return self.jump(expr.args[0], target, when=when, or_operand=or_operand)
        if isinstance(expr, (ast.Pattern, ast.Fields)):
            return self._jump_match(expr, None, target, when)
        if isinstance(expr, ast.Unary) and expr.op == "!":
            self.jump(expr.operand, target, when=not when)
            return frozenset()
        if isinstance(expr, ast.Binary):
            if expr.op in ("&&", "||"):
                return self._jump_logical(expr, target, when)
            if expr.op == "=~":
                return self._jump_match(expr, expr.lhs, target, when)
            if expr.op == "!~":
                self._jump_match(expr, expr.lhs, target, not when)
                return frozenset()
        out = self._out
        register, kind = self._value(expr)
        if kind in (Kind.BOOL, Kind.INT):
            out.emit("JT" if when else "JF", register, d=target)
        elif kind is Kind.NOTHING:
            out.fail(UNDERFLOW)
        elif when != or_operand:  # every other value is true, but as an operand of || false (§2.2)
            out.emit("JMP", d=target)
        return frozenset()

    def boolean(self, expr: ast.Expr) -> Value:
        """Generate the condition as a value in a register."""
        out = self._out
        register = out.registers()
        if_false = out.label()
        out.emit("LDI", register, d=out.integer(0))
        before = self._slots.matched
        self.jump(expr, if_false, when=False)
        self._slots.matched = before
        out.emit("LDI", register, d=out.integer(1))
        out.place(if_false)
        return register, Kind.BOOL

    def pattern(self, expr: ast.Expr) -> tuple[int, int] | None:
        """Slot and number of a pattern on the line, or of the right side of a match (runtime.md §2.5)."""
        node = expr.rhs if isinstance(expr, ast.Binary) else expr
        if isinstance(node, (ast.Pattern, ast.Fields)):
            return self._slots.match(node, node.text)
        if type_name(node.type) not in ("Int", "Float", "String", "Bool"):
            self._value(node)
            self._out.ice(expr, "unexpected rhs expression for match")
            return None
        return self._slots.match(node, b"")

    def _jump_logical(self, expr: ast.Binary, target: int, when: bool) -> Matched:
        slots = self._slots
        before = slots.matched
        is_or = expr.op == "||"
        decides_alone = is_or == when  # the first operand, if it is `when`
        skip = target if decides_alone else self._out.label()
        left = self.jump(expr.lhs, skip, when=when if decides_alone else not when, or_operand=is_or)
        slots.matched = before if is_or else before | left
        right = self.jump(expr.rhs, target, when=when, or_operand=is_or)
        if not decides_alone:
            self._out.place(skip)
        slots.matched = before
        return left & right if is_or else left | right

    def _jump_match(self, expr: ast.Expr, subject: ast.Expr | None, target: int, when: bool) -> Matched:
        out = self._out
        register = None if subject is None else out.as_string(*self._value(subject))
        pattern = self.pattern(expr)
        if pattern is None:
            return frozenset()
        slot, number = pattern
        miss = out.label() if when else target
        is_fields = isinstance(expr.rhs if isinstance(expr, ast.Binary) else expr, ast.Fields)
        op = "FIELDS" if is_fields else "MATCH"
        if register is None:
            out.emit(op, slot, d=number, e=miss)
        else:
            out.emit(f"{op}S", slot, register, d=number, e=miss)
        if when:
            out.emit("JMP", d=target)
            out.place(miss)
        return frozenset((slot,))
