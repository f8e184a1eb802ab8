"""Statements; decorators are expanded where they are used."""

from __future__ import annotations

from nativemtail.compiler import ast, records
from nativemtail.compiler.codegen.declarations import Declarations
from nativemtail.compiler.codegen.emit import ICE, Emitter
from nativemtail.compiler.codegen.expressions import Expressions
from nativemtail.compiler.codegen.patterns import Slots
from nativemtail.compiler.codegen.variables import Leftovers
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.logfilter import LogFilter


class Statements:
    """Raises LeftoverWanted if the program needs `keeps_leftovers`."""

    def __init__(self, out: Emitter, keeps_leftovers: bool) -> None:
        self._out = out
        self.slots = Slots(out)
        self._declarations = Declarations(out)
        self._leftovers = Leftovers(out, keeps_leftovers)
        self._expressions = Expressions(out, self.slots, self._declarations, self._leftovers)
        self._uses: list[ast.DecoUse] = []  # of decorators that are being expanded, innermost last

    def program(self, root: ast.Block) -> None:
        """Generate the whole program.  Raises CompileError."""
        try:
            self._block(root)
        except RecursionError:
            text = ICE + "too many decorators within each other"
            raise CompileError(self._out.program.name, [(self._out.pos, text)]) from None

    def _block(self, block: ast.Block) -> None:
        for stmt in block.stmts:
            self._out.pos = stmt.pos
            self._statement(stmt)

    def _statement(self, stmt: ast.Stmt) -> None:
        match stmt:
            case ast.ExprStmt():
                self._expression(stmt.expr)
            case ast.Cond():
                self._condition(stmt)
            case ast.Every():
                self._every(stmt)
            case ast.VarDecl():
                self._declarations.declare(stmt)
            case ast.DecoUse():
                self._decorated(stmt)
            case ast.Next():
                self._next()
            case ast.Stop():
                self._out.emit("END")
            case ast.Del():
                self._delete(stmt)
            case ast.Begin():
                self._begin(stmt)
            case ast.Record():
                self._record(stmt)
            case ast.LogFilter():
                program = self._out.program
                program.log_filter = (program.log_filter or LogFilter()).joined(stmt.names, stmt.excluded)
            case _:  # Definitions make no code: decorators are expanded at their uses, constants are parts of patterns.
                pass

    def _expression(self, expr: ast.Expr) -> None:
        if isinstance(expr, ast.Binary) and expr.op in ("=", "+=", "-="):
            self._expressions.variables.assign(expr)
        else:
            self._leftovers.leave(*self._expressions.value(expr))

    def _condition(self, stmt: ast.Cond) -> None:
        """A condition and the chain of `else if` after it."""
        out, slots = self._out, self.slots
        leftovers = list(self._leftovers.values)
        end = out.label()
        while True:
            if_false = out.label()
            self._branch(stmt, if_false)
            if stmt.otherwise is not None:
                out.emit("JMP", d=end)
            out.place(if_false)
            if stmt.otherwise is None or not stmt.continues:
                break
            self._leftovers.values = list(leftovers)
            stmt = ast.else_if(stmt)
            out.pos = stmt.pos
        if stmt.otherwise is not None:
            before = slots.matched
            self._leftovers.values = list(leftovers)
            self._block(stmt.otherwise)
            slots.matched = before
        out.place(end)
        self._leftovers.values = leftovers

    def _branch(self, stmt: ast.Cond, if_false: int) -> None:
        """The test of a condition and the block that runs if it holds."""
        out, slots = self._out, self.slots
        before = slots.matched
        if stmt.cond is None:
            out.emit("JMATCHED", d=if_false)
        else:
            slots.renew(stmt.cond)
            slots.matched = before | self._expressions.conditions.jump(stmt.cond, if_false, when=False)
        out.emit("SETM", 0)
        self._block(stmt.truth)
        out.emit("SETM", 1)
        slots.matched = before

    def _every(self, stmt: ast.Every) -> None:
        """Code that runs the block for each match, and the code after `else` if there is none."""
        out, slots = self._out, self.slots
        slots.renew(stmt.pattern)
        subject = None
        if stmt.subject is not None:
            slots.renew(stmt.subject)
            subject = out.as_string(*self._expressions.value(stmt.subject))
        slot, number = slots.match(stmt.pattern, stmt.pattern.text)
        slots.read(slot, 0)
        none, again, end = out.label(), out.label(), out.label()
        before, leftovers = slots.matched, list(self._leftovers.values)
        if subject is None:
            out.emit("EVERY", slot, d=number, e=none)
        else:
            out.emit("EVERYS", slot, subject, d=number, e=none)
        slots.matched = before | {slot}
        out.place(again)
        out.emit("SETM", 0)
        self._block(stmt.body)
        out.emit("AGAIN", slot, d=again)
        out.emit("SETM", 1)
        slots.matched = before
        self._leftovers.values = leftovers
        out.emit("JMP", d=end)
        out.place(none)
        if stmt.otherwise is not None:
            self._block(stmt.otherwise)
            slots.matched = before
            self._leftovers.values = leftovers
        out.place(end)

    def _record(self, stmt: ast.Record) -> None:
        """`$stream` and `$logtime` are captures of a pattern that every record matches."""
        out = self._out
        out.program.record = records.framing(stmt)
        if stmt.captures is not None:
            slot, number = self.slots.match(stmt.captures, stmt.captures.text)
            following = out.label()
            out.emit("MATCH", slot, d=number, e=following)
            out.place(following)
            self.slots.matched |= {slot}

    def _decorated(self, use: ast.DecoUse) -> None:
        if use.decl is None:
            self._out.ice(use, f'No definition found for decorator "{use.name}"')
            return
        self._uses.append(use)
        depth = len(self._uses)
        self._block(use.decl.body)
        del self._uses[depth - 1 :]

    def _next(self) -> None:
        use = self._uses.pop()
        self._block(use.body)
        self._uses.append(use)

    def _delete(self, stmt: ast.Del) -> None:
        out = self._out
        target = stmt.target
        if isinstance(target, ast.Id):
            number = self._declarations.metric(ast.Index(target.pos, target, []))
            if number is not None:
                out.emit("DELALL", d=number)
            return
        if not isinstance(target, ast.Index):
            out.ice(stmt, "nothing to delete here")
            return
        keys = self._expressions.variables.keys(target)
        number = self._declarations.metric(target)
        if keys is None or number is None:
            return
        if stmt.after is not None and stmt.after > 0:
            out.emit("EXPIRE", b=keys, c=len(target.keys), d=number, e=out.integer(stmt.after))
        else:
            out.emit("DEL", b=keys, c=len(target.keys), d=number)

    def _begin(self, stmt: ast.Begin) -> None:
        """The code of a `begin` block runs once, when the program is loaded."""
        out, slots = self._out, self.slots
        outer = out.code, out.labels, slots.matched, self._leftovers.values
        out.code, out.labels, slots.matched, self._leftovers.values = [], [], frozenset(), []
        self._block(stmt.body)
        out.resolve(offset=len(out.program.begin))
        out.program.begin.extend(out.code)
        out.code, out.labels, slots.matched, self._leftovers.values = outer
