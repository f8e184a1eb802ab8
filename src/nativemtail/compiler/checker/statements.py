"""Statements: scopes, declarations, decorators."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TypeGuard

from nativemtail.compiler import ast
from nativemtail.compiler.checker.context import Context, failed
from nativemtail.compiler.checker.expressions import LOGICAL, Expressions
from nativemtail.compiler.checker.patterns import Patterns
from nativemtail.compiler.symbols import ConstSymbol, DecoSymbol, Kind, Scope, VarSymbol
from nativemtail.compiler.types import PATTERN, STRING, Variable, resolve
from nativemtail.gotext import go_quote

_UNIT = re.compile(r"[A-Za-z0-9_]+")


class Statements:
    def __init__(self, context: Context, patterns: Patterns) -> None:
        self.context = context
        self.patterns = patterns
        self.expressions = Expressions(context, patterns)
        self._decorators: list[DecoSymbol] = []
        """The definitions that are being checked, innermost last."""
        self._vars: list[VarSymbol] = []

    def block(self, block: ast.Block, depth: int, prefill: Scope | None = None) -> None:
        if self.context.too_deep(block.pos, depth):
            return
        with self.context.inside(prefill):
            for stmt in block.stmts:
                self._stmt(stmt, depth + 1)

    def _stmt(self, stmt: ast.Stmt, depth: int) -> None:
        self.context.current = stmt.pos
        if isinstance(stmt, ast.ExprStmt):
            stmt.expr = self.expressions.expr(stmt.expr, depth)
        elif self.context.too_deep(stmt.pos, depth):
            pass
        elif isinstance(stmt, ast.Cond):
            self._conditional(stmt, depth)
        elif isinstance(stmt, ast.Every):
            self._every(stmt, depth)
        elif isinstance(stmt, ast.Record):
            self._record(stmt, depth)
        elif isinstance(stmt, ast.VarDecl):
            self._metric(stmt)
        elif isinstance(stmt, ast.ConstDecl):
            self._constant(stmt, depth)
        elif isinstance(stmt, ast.DecoDecl):
            self._decorator(stmt, depth)
        elif isinstance(stmt, ast.DecoUse):
            self._decorated(stmt, depth)
        elif isinstance(stmt, ast.Next):
            self._next(stmt)
        elif isinstance(stmt, ast.Del):
            self._delete(stmt, depth)
        elif isinstance(stmt, ast.Begin):
            self.context.begins += 1
            self.block(stmt.body, depth + 1)
            self.context.begins -= 1

    def _conditional(self, stmt: ast.Cond, depth: int) -> None:
        """Check a condition and the chain of `else if` after it, whose scopes are within each other."""
        with ExitStack() as scopes:
            while True:
                scopes.enter_context(self.context.inside())
                if stmt.cond is None:
                    self.context.too_deep(stmt.head, depth + 1)
                else:
                    stmt.cond = self._condition(stmt, self._settle(stmt.cond), depth + 1)
                self.block(stmt.truth, depth + 1)
                if stmt.otherwise is None:
                    return
                if not stmt.continues:
                    self.block(stmt.otherwise, depth + 1)
                    return
                stmt = ast.else_if(stmt)
                self.context.current = stmt.pos

    def _every(self, stmt: ast.Every, depth: int) -> None:
        with self.context.inside():
            if stmt.subject is not None:
                stmt.subject = self.expressions.expr(stmt.subject, depth + 1)
            elif self.context.begins:
                self.context.error(stmt.pattern.pos, "Can't use pattern matching inside a BEGIN block")
            if isinstance(stmt.pattern, ast.Pattern) and self._is_a_metric(stmt.pattern):
                hint = "\n\tTry `every /…/ {', `every $x =~ /…/ {' or `every json a[] {'"
                self.context.error(stmt.pos, f"every takes a pattern.{hint}")
            else:
                self.expressions.expr(stmt.pattern, depth + 1)
            self.block(stmt.body, depth + 1)
            if stmt.otherwise is not None:
                self.block(stmt.otherwise, depth + 1)

    def _record(self, stmt: ast.Record, depth: int) -> None:
        if stmt.pattern is not None:
            self.patterns.pattern(stmt.pattern, depth + 1, declares=False)
        if stmt.captures is not None:
            self.patterns.fields(stmt.captures)

    def _is_a_metric(self, pattern: ast.Pattern) -> bool:
        """Whether the pattern is the name of a metric alone."""
        [part, *more] = pattern.parts
        return not more and isinstance(part, ast.Id) and self.context.scope.lookup(part.name, Kind.VAR) is not None

    def _condition(self, stmt: ast.Cond, cond: ast.Expr, depth: int) -> ast.Expr:
        if isinstance(cond, ast.Pattern):
            if self.context.too_deep(stmt.head, depth):
                return cond
            depth += 1
        pos = stmt.head if isinstance(cond, ast.Pattern) else cond.pos
        cond = self.expressions.expr(cond, depth)
        self.expressions.refuse_unless_condition(cond, pos)
        return cond

    def _settle(self, cond: ast.Expr) -> ast.Expr:
        """Decide whether names joined by `+` that begin a condition are a pattern or a sum (successor.md §2.4).

        After a pattern comes one logical expression (parser/expressions.py); a sum is the first operand of a chain.
        """
        chain: list[ast.Binary] = []
        first = cond
        while isinstance(first, ast.Binary) and first.op in LOGICAL:
            chain.append(first)
            first = first.lhs
        if not isinstance(first, ast.Pattern) or not first.leads or self.context.is_sum(first):
            return cond
        return ast.right_grouped(first, chain)

    def _metric(self, decl: ast.VarDecl) -> None:
        value = STRING if decl.kind == "text" else Variable()
        keys = tuple(Variable() for _ in decl.keys)
        symbol = VarSymbol(Kind.VAR, decl.name, decl.pos, type=value, decl=decl, keys=keys)
        self._vars.append(symbol)
        self.context.declare(symbol)
        if decl.buckets is not None and decl.kind != "histogram":
            self.context.error(decl.pos, f"Can't specify buckets for non-histogram metric `{decl.name}'.")
        if decl.unit is not None and decl.unit.value:
            self._unit(decl, decl.unit)

    def _unit(self, decl: ast.VarDecl, unit: ast.StringLit) -> None:
        """OpenMetrics wants the name to end in the unit (beyond §8)."""
        text = unit.value.decode()
        name = decl.exported.replace("-", "_")
        if not _UNIT.fullmatch(text):
            self.context.error(unit.pos, f"Invalid unit {go_quote(text)}.\n\tUse letters, digits and _")
        elif not (name.removesuffix("_total") if decl.kind == "counter" else name).endswith(f"_{text}"):
            hint = f"\n\tTry `as {go_quote(f'{decl.exported}_{text}')}', or leave out the unit"
            self.context.error(unit.pos, f"The name `{decl.exported}' does not end in `_{text}'.{hint}")

    def _constant(self, decl: ast.ConstDecl, depth: int) -> None:
        symbol = ConstSymbol(Kind.CONST, decl.name, decl.pos, type=PATTERN, decl=decl)
        self.context.declare(symbol)
        if not self.patterns.concatenation_too_deep(decl.pattern, depth):
            symbol.length = self.patterns.evaluate(decl.pattern)
            decl.text = decl.pattern.text

    def _decorator(self, decl: ast.DecoDecl, depth: int) -> None:
        symbol = DecoSymbol(Kind.DECO, decl.name, decl.pos, decl=decl)
        self.context.declare(symbol)
        self._decorators.append(symbol)
        self.block(decl.body, depth + 1)
        self._decorators.pop()
        symbol.complete = True
        if symbol.next_scope is None:
            hint = "\n\tTry adding a `next' statement inside the `{}' block."
            self.context.error(decl.pos, f"No symbols found in decorator `@{decl.name}'.{hint}")

    def _decorated(self, use: ast.DecoUse, depth: int) -> None:
        symbol = self.context.scope.lookup(use.name, Kind.DECO)
        if not isinstance(symbol, DecoSymbol):
            hint = f"\n\tTry adding a definition `def {use.name} {{}}' earlier in the program."
            self.context.error(use.pos, f"Decorator `@{use.name}' is not defined.{hint}")
        elif not symbol.complete:
            hint = f"\n\tTry removing @{use.name} from here."
            self.context.error(use.pos, f"Decorator `@{use.name}' is not completely defined yet.{hint}")
        else:
            use.decl = symbol.decl
            self.block(use.body, depth + 1, symbol.next_scope)

    def _next(self, stmt: ast.Next) -> None:
        if not self._decorators:
            self.context.error(stmt.pos, "Can't use `next' outside of a decorator.")
        elif self._decorators[-1].next_scope is not None:
            self.context.error(stmt.pos, "Can't use `next' statement twice in a decorator.")
        else:
            self._decorators[-1].next_scope = self.context.scope

    def _delete(self, stmt: ast.Del, depth: int) -> None:
        if self._is_whole(stmt.target):
            if stmt.after is not None:
                hint = f"\n\tTry `del {stmt.target.name}[…] after'"
                self.context.error(stmt.target.pos, f"after needs a label set.{hint}")
            return
        target = stmt.target = self.expressions.expr(stmt.target, depth + 1)
        if isinstance(target, ast.Index):
            if not target.keys and not failed(target):
                hint = "\n\tTry deleting an index from this dimensioned metric."
                self.context.error(target.pos, f"Cannot delete this.{hint}")
        else:
            hint = "\n\tTry deleting from a dimensioned metric with this as an index."
            self.context.error(target.pos, f"Cannot delete this.{hint}")

    def _is_whole(self, target: ast.Expr) -> TypeGuard[ast.Id]:
        """Whether the target of a `del` names a metric with keys, that is all its label sets (beyond §7)."""
        if not isinstance(target, ast.Id):
            return False
        symbol = self.context.scope.lookup(target.name, Kind.VAR)
        if not isinstance(symbol, VarSymbol) or not symbol.keys:
            return False
        target.symbol = symbol.decl
        return True

    def finish(self) -> None:
        """Bind the capture groups that can be resolved only when every scope is complete."""
        for capref, symbol in self.expressions.caprefs:
            capref.pattern, capref.group = symbol.pattern, symbol.group
        for var in self._vars:
            var.decl.type = resolve(var.type)
