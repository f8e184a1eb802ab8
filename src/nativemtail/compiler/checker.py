"""Names and types: decorates the tree and reports every semantic error (spec language.md §4, §5, §6, §9).

The walk is recursive; `max_recursion_depth` bounds it, counted in the nodes that mtail's own tree has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from nativemtail.compiler import ast, budget, timelayout, types
from nativemtail.compiler.ast import Position, merge, merge_all
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.lexer import OPERATORS
from nativemtail.compiler.regex import captypes, tree
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.symbols import (
    ConstSymbol,
    DecoSymbol,
    GroupSymbol,
    Kind,
    Scope,
    Symbol,
    TooComplex,
    Usage,
    VarSymbol,
)
from nativemtail.compiler.types import (
    BOOL,
    BY_NAME,
    FLOAT,
    INT,
    NONE,
    PATTERN,
    STRING,
    Function,
    Type,
    Variable,
    lub,
    resolve,
    unify,
)
from nativemtail.gotext import go_quote

_ERROR = types.Base("type error")
"""The type of what was reported already; silences follow-ups."""

_DEFAULT_LENGTH = 1024
_DEFAULT_DEPTH = 100
_MAX_DEPTH = 10_000
_LENGTH_CAP = (1 << 63) - 1
"""Constants made of constants can double in length with every line."""
_FRAMES_PER_NODE = 5

_HINT_BOOLEAN = "\n\tTry using comparison operators to make the condition explicit."
_HINT_LAYOUT = "\n\tRefer to the documentation at https://golang.org/pkg/time/#pkg-constants for advice."
_HINT_LENGTH = "\n\tExcessively long patterns are likely to cause compilation and runtime performance problems."

_BUILTINS: dict[str, tuple[tuple[Type | None, ...], Type]] = {
    "bool": ((None,), BOOL),
    "defined": ((None,), BOOL),
    "float": ((None,), FLOAT),
    "getfilename": ((), STRING),
    "int": ((None,), INT),
    "len": ((STRING,), INT),
    "settime": ((INT,), NONE),
    "string": ((None,), STRING),
    "strptime": ((STRING, STRING), NONE),
    "strtol": ((STRING, INT), INT),
    "subst": ((PATTERN, STRING, STRING), STRING),
    "timestamp": ((), INT),
    "tolower": ((STRING,), STRING),
}
"""Parameters, None for one of any type, and result (§6)."""

_ARITHMETIC = frozenset(("+", "-", "*", "/", "%", "**"))
_COMPARISON = frozenset(("<", ">", "<=", ">=", "==", "!="))
_BITWISE = frozenset(("&", "|", "^", "<<", ">>"))
_LOGICAL = frozenset(("&&", "||"))
_CONDITION_CALLS = frozenset(("bool", "defined"))


class Limits(Protocol):
    """The bounds of §7; 0 means the default."""

    @property
    def max_regexp_length(self) -> int:
        """Bytes of a whole pattern."""

    @property
    def max_recursion_depth(self) -> int:
        """Levels of the tree."""


class _TooExpensive(Exception):
    """The patterns of the program take too long."""


class _Regex(NamedTuple):
    """What the checker needs to know of a pattern's text."""

    error: str
    groups: list[Type]
    names: list[str | None]


class _Checker:
    def __init__(self, limits: Limits) -> None:
        self.max_length = limits.max_regexp_length or _DEFAULT_LENGTH
        self.max_depth = limits.max_recursion_depth or _DEFAULT_DEPTH
        self.errors: list[tuple[Position | None, str]] = []
        self.notes: list[tuple[Position | None, str]] = []
        self.scope = Scope()
        self.decorators: list[DecoSymbol] = []
        """The definitions that are being checked, innermost last."""
        self.begins = 0
        self.deep_reported = False
        self.caprefs: list[tuple[ast.Capref, GroupSymbol]] = []
        self.vars: list[VarSymbol] = []
        self.regexes: dict[bytes, _Regex] = {}
        self.spent = budget.Spent()
        self.places: dict[bytes, Position] = {}
        """Where each of them is first."""
        self.current: Position | None = None
        """The latest statement."""

    def error(self, pos: Position, text: str) -> None:
        self.errors.append((pos, text))

    def too_deep(self, pos: Position, depth: int) -> bool:
        if depth <= min(self.max_depth, _MAX_DEPTH):
            return False
        if not self.deep_reported:
            self.deep_reported = True
            self.error(pos, f"Expression exceeded maximum recursion depth of {self.max_depth}")
        return True

    def finish(self) -> None:
        """Bind what could only be known once every scope was complete."""
        for capref, symbol in self.caprefs:
            capref.pattern, capref.group = symbol.pattern, symbol.group
        for var in self.vars:
            var.decl.type = resolve(var.type)

    # --- scopes ------------------------------------------------------------------------------------------

    @contextmanager
    def inside(self, prefill: Scope | None = None) -> Iterator[Scope]:
        """A scope in the current one; reports what was declared in it and never used."""
        scope = self.scope = Scope(self.scope, prefill)
        yield scope
        assert scope.parent is not None
        self.scope = scope.parent
        for symbol in scope.table.values():
            if symbol.usage.seen:
                continue
            if isinstance(symbol, GroupSymbol):
                if symbol.label != "0":
                    text = f"capture group reference `{symbol.label}' at {symbol.pos} appears to be unused"
                    self.notes.append((symbol.pos, text))
            elif not self.deep_reported:
                text = f"Declaration of {symbol.kind.value} `{symbol.name}' here is never used."
                self.error(symbol.pos, text)

    def declare(self, symbol: Symbol) -> bool:
        previous = self.scope.insert(symbol)
        if previous is None:
            return True
        what, verb, done = symbol.kind.value, "Redeclaration", "declared"
        name = f"@{symbol.name}" if symbol.kind is Kind.DECO else symbol.name
        if symbol.kind is Kind.CONST:
            what, verb, done = "pattern constant", "Redefinition", "defined"
        self.error(symbol.pos, f"{verb} of {what} `{name}' previously {done} at {previous.pos}")
        return False

    def find(self, node: ast.Id) -> VarSymbol | ConstSymbol | None:
        """The metric or, failing that, the constant that `node` names."""
        symbol = self.scope.lookup(node.name, Kind.VAR) or self.scope.lookup(node.name, Kind.CONST)
        if isinstance(symbol, (VarSymbol, ConstSymbol)):
            node.symbol = symbol.decl
            return symbol
        hint = f"\n\tTry adding `counter {node.name}' to the top of the program."
        if node.name == node.name.upper():
            hint = f"\n\tTry adding `const {node.name} /.../' earlier in the program."
        self.error(node.pos, f"Identifier `{node.name}' not declared.{hint}")
        return None

    # --- statements --------------------------------------------------------------------------------------

    def block(self, block: ast.Block, depth: int, prefill: Scope | None = None) -> None:
        if self.too_deep(block.pos, depth):
            return
        with self.inside(prefill):
            for stmt in block.stmts:
                self.stmt(stmt, depth + 1)

    def stmt(self, stmt: ast.Stmt, depth: int) -> None:
        self.current = stmt.pos
        if isinstance(stmt, ast.ExprStmt):
            stmt.expr = self.expr(stmt.expr, depth)
        elif self.too_deep(stmt.pos, depth):
            pass
        elif isinstance(stmt, ast.Cond):
            self.conditional(stmt, depth)
        elif isinstance(stmt, ast.VarDecl):
            self.metric(stmt)
        elif isinstance(stmt, ast.ConstDecl):
            self.constant(stmt, depth)
        elif isinstance(stmt, ast.DecoDecl):
            self.decorator(stmt, depth)
        elif isinstance(stmt, ast.DecoUse):
            self.decorated(stmt, depth)
        elif isinstance(stmt, ast.Next):
            self.next(stmt)
        elif isinstance(stmt, ast.Del):
            self.delete(stmt, depth)
        elif isinstance(stmt, ast.Begin):
            self.begins += 1
            self.block(stmt.body, depth + 1)
            self.begins -= 1

    def conditional(self, stmt: ast.Cond, depth: int) -> None:
        with self.inside():
            if stmt.cond is None:
                self.too_deep(stmt.head, depth + 1)
            else:
                stmt.cond = self.condition(stmt, self.settle(stmt.cond), depth + 1)
            self.block(stmt.truth, depth + 1)
            if stmt.otherwise is not None:
                self.block(stmt.otherwise, depth + 1)

    def condition(self, stmt: ast.Cond, cond: ast.Expr, depth: int) -> ast.Expr:
        if isinstance(cond, ast.Pattern):
            if self.too_deep(stmt.head, depth):
                return cond
            depth += 1
        pos = stmt.head if isinstance(cond, ast.Pattern) else cond.pos
        cond = self.expr(cond, depth)
        if isinstance(cond, ast.Pattern):
            if self.begins:
                self.error(pos, "Can't use pattern matching inside a BEGIN block")
        elif not (
            isinstance(cond, (ast.Binary, ast.Unary))
            or (isinstance(cond, ast.Call) and cond.name in _CONDITION_CALLS)
            or _failed(cond)
        ):
            self.error(cond.pos, f"Can't interpret {_type(cond)!r} as a boolean expression here.{_HINT_BOOLEAN}")
        return cond

    def settle(self, cond: ast.Expr) -> ast.Expr:
        """Decide whether names joined by `+` that begin a condition are a pattern or a sum (successor.md §2.4).

        What follows a pattern is one logical expression; a sum is the first of a left-associative chain.
        """
        chain: list[ast.Binary] = []
        first = cond
        while isinstance(first, ast.Binary) and first.op in _LOGICAL:
            chain.append(first)
            first = first.lhs
        if not isinstance(first, ast.Pattern) or any(isinstance(part, ast.RegexLit) for part in first.parts):
            return cond
        if not any(self.is_constant(part) for part in first.parts):
            total = _sum(first)
            if not chain:
                return total
            chain[-1].lhs = total
            return cond
        if len(chain) < 2:
            return cond
        rhs = chain[-1].rhs
        for link in chain[-2::-1]:
            rhs = ast.Binary(merge(rhs.pos, link.rhs.pos), link.op, rhs, link.rhs)
        return ast.Binary(cond.pos, chain[-1].op, first, rhs)

    def is_constant(self, name: ast.Expr) -> bool:
        if not isinstance(name, ast.Id) or self.scope.lookup(name.name, Kind.VAR):
            return False
        return self.scope.lookup(name.name, Kind.CONST) is not None

    def metric(self, decl: ast.VarDecl) -> None:
        value = STRING if decl.kind == "text" else Variable()
        keys = tuple(Variable() for _ in decl.keys)
        symbol = VarSymbol(Kind.VAR, decl.name, decl.pos, type=value, decl=decl, keys=keys)
        self.vars.append(symbol)
        self.declare(symbol)
        if decl.buckets is not None and decl.kind != "histogram":
            self.error(decl.pos, f"Can't specify buckets for non-histogram metric `{decl.name}'.")

    def constant(self, decl: ast.ConstDecl, depth: int) -> None:
        symbol = ConstSymbol(Kind.CONST, decl.name, decl.pos, type=PATTERN, decl=decl)
        self.declare(symbol)
        if not self.concatenation_too_deep(decl.pattern, depth):
            symbol.length = self.evaluate(decl.pattern)
            decl.text = decl.pattern.text

    def decorator(self, decl: ast.DecoDecl, depth: int) -> None:
        symbol = DecoSymbol(Kind.DECO, decl.name, decl.pos, decl=decl)
        self.declare(symbol)
        self.decorators.append(symbol)
        self.block(decl.body, depth + 1)
        self.decorators.pop()
        symbol.complete = True
        if symbol.next_scope is None:
            hint = "\n\tTry adding a `next' statement inside the `{}' block."
            self.error(decl.pos, f"No symbols found in decorator `@{decl.name}'.{hint}")

    def decorated(self, use: ast.DecoUse, depth: int) -> None:
        symbol = self.scope.lookup(use.name, Kind.DECO)
        if not isinstance(symbol, DecoSymbol):
            hint = f"\n\tTry adding a definition `def {use.name} {{}}' earlier in the program."
            self.error(use.pos, f"Decorator `@{use.name}' is not defined.{hint}")
        elif not symbol.complete:
            hint = f"\n\tTry removing @{use.name} from here."
            self.error(use.pos, f"Decorator `@{use.name}' is not completely defined yet.{hint}")
        else:
            use.decl = symbol.decl
            self.block(use.body, depth + 1, symbol.next_scope)

    def next(self, stmt: ast.Next) -> None:
        if not self.decorators:
            self.error(stmt.pos, "Can't use `next' outside of a decorator.")
        elif self.decorators[-1].next_scope is not None:
            self.error(stmt.pos, "Can't use `next' statement twice in a decorator.")
        else:
            self.decorators[-1].next_scope = self.scope

    def delete(self, stmt: ast.Del, depth: int) -> None:
        target = stmt.target = self.expr(stmt.target, depth + 1)
        if isinstance(target, ast.Index):
            if not target.keys and not _failed(target):
                hint = "\n\tTry deleting an index from this dimensioned metric."
                self.error(target.pos, f"Cannot delete this.{hint}")
        else:
            hint = "\n\tTry deleting from a dimensioned metric with this as an index."
            self.error(target.pos, f"Cannot delete this.{hint}")

    # --- patterns ----------------------------------------------------------------------------------------

    def concatenation_too_deep(self, pattern: ast.Pattern, depth: int) -> bool:
        """Each `+` of a concatenation is a node whose left side is the next one."""
        room = min(self.max_depth, _MAX_DEPTH) - depth
        parts = len(pattern.parts)
        return parts > room and self.too_deep(merge_all(pattern.parts[: max(1, parts - room)]), depth + parts)

    def evaluate(self, pattern: ast.Pattern) -> int | None:
        """Set the pattern's text if it is not too long; its length, or None after an error."""
        pieces: list[bytes] = []
        length: int | None = 0
        for part in pattern.parts:
            if isinstance(part, ast.RegexLit):
                part.type = PATTERN
                pieces.append(part.text)
                size: int | None = len(part.text)
            else:
                size, text = self.fragment(part)
                pieces.append(text)
            length = None if size is None or length is None else min(length + size, _LENGTH_CAP)
        pattern.type = PATTERN
        if length is not None and length <= self.max_length:
            pattern.text = b"".join(pieces)
        return length

    def fragment(self, name: ast.Id) -> tuple[int | None, bytes]:
        name.type = PATTERN
        symbol = self.find(name)
        if isinstance(symbol, VarSymbol):
            hint = "\n\tTry using a `const'-defined pattern fragment."
            self.error(name.pos, f"Can't append variable `{name.name}' to this pattern.{hint}")
        if not isinstance(symbol, ConstSymbol):
            return None, b""
        unknown = symbol.length is None and not symbol.decl.pattern.type
        if unknown or symbol.length == 0:
            hint = f"\n\tTry {'defining it earlier in the program' if unknown else 'a pattern that is not empty'}."
            self.error(name.pos, f"Can't evaluate pattern fragment `{name.name}' here.{hint}")
        return symbol.length or None, symbol.decl.text

    def pattern(self, pattern: ast.Pattern, depth: int, declares: bool = True) -> ast.Pattern:
        """A use of a pattern; `declares`: its groups become visible in the current scope."""
        if self.too_deep(pattern.pos, depth) or self.concatenation_too_deep(pattern, depth):
            pattern.type = _ERROR
            return pattern
        length = self.evaluate(pattern)
        if length is None:
            return pattern
        if length > self.max_length:
            text = f"Exceeded maximum regular expression pattern length of {self.max_length} bytes with {length}."
            self.error(pattern.pos, text + _HINT_LENGTH)
            return pattern
        regex = self.timed_regex(pattern)
        if regex.error:
            self.error(pattern.pos, regex.error)
        elif declares:
            self.declare_groups(pattern, regex)
        return pattern

    def timed_regex(self, pattern: ast.Pattern) -> _Regex:
        self.places.setdefault(pattern.text, pattern.pos)
        before = time.thread_time()
        regex = self.regex(pattern.text)
        if not self.spent.add(pattern.text, time.thread_time() - before):
            raise _TooExpensive
        return regex

    def regex(self, text: bytes) -> _Regex:
        if text not in self.regexes:
            try:
                node = parse(text)
            except RegexError as error:
                self.regexes[text] = _Regex(str(error), [], [])
            else:
                # A group that simplifying removes (`(a){0}`) does not exist for mtail; its type is None.
                groups = [BY_NAME[name] for name in captypes.group_types(node)]
                names = [n if t is not NONE else None for n, t in zip(tree.group_names(node), groups, strict=False)]
                self.regexes[text] = _Regex("", [NONE, *groups], [None, *names])
        return self.regexes[text]

    def declare_groups(self, pattern: ast.Pattern, regex: _Regex) -> None:
        for group, (type_, name) in enumerate(zip(regex.groups, regex.names, strict=True)):
            usage = Usage()
            label = name or str(group)
            symbol = GroupSymbol(
                Kind.GROUP, str(group), pattern.pos, usage, type_, pattern=pattern, group=group, label=label
            )
            present = self.scope.insert(symbol)
            if isinstance(present, GroupSymbol) and name is None:
                present.pattern, present.group = pattern, group
            elif present is not None:
                self.redeclared(present, pattern)
            if name is None or present is not None:
                continue
            alias = GroupSymbol(Kind.GROUP, name, pattern.pos, usage, type_, pattern=pattern, group=group, label=name)
            present = self.scope.insert(alias)
            if present is not None and not (isinstance(present, GroupSymbol) and present.pattern is pattern):
                self.redeclared(present, pattern)

    def redeclared(self, present: Symbol, pattern: ast.Pattern) -> None:
        text = f"Redeclaration of capture group `{present.name}' previously declared at {present.pos}"
        self.error(pattern.pos, text)

    # --- expressions -------------------------------------------------------------------------------------

    def expr(self, node: ast.Expr, depth: int) -> ast.Expr:
        """Check `node`; the node that takes its place."""
        if isinstance(node, ast.Pattern):
            return self.pattern(node, depth)
        if self.too_deep(node.pos, depth):
            node.type = _ERROR
        elif isinstance(node, ast.Id):
            return self.name(node, depth)
        elif isinstance(node, ast.Index):
            return self.indexed(node, depth)
        elif isinstance(node, ast.Capref):
            self.capref(node)
        elif isinstance(node, ast.Call):
            self.call(node, depth)
        elif isinstance(node, ast.Unary):
            self.unary(node, depth)
        elif isinstance(node, ast.Binary):
            self.binary(node, depth)
        elif isinstance(node, ast.IntLit):
            node.type = INT
        elif isinstance(node, ast.FloatLit):
            node.type = FLOAT
        elif isinstance(node, ast.StringLit):
            node.type = STRING
        return node

    def name(self, node: ast.Id, depth: int) -> ast.Expr:
        """A name on its own: a metric without keys, or a use of a constant."""
        return self.indexed(ast.Index(node.pos, node, []), depth)

    def indexed(self, node: ast.Index, depth: int) -> ast.Expr:
        """A metric with its keys; a constant stays one, whatever keys it is given."""
        node.type = _ERROR
        if self.too_deep(merge_all(node.keys), depth + 1):
            return node
        node.keys[:] = [self.expr(key, depth + 2) for key in node.keys]
        if self.is_constant(node.base):
            assert isinstance(node.base, ast.Id)
            return self.pattern(ast.Pattern(node.base.pos, [node.base]), depth)
        self.index(node)
        return node

    def index(self, node: ast.Index) -> None:
        assert isinstance(node.base, ast.Id)
        symbol = self.find(node.base)
        if symbol is None:
            return
        node.base.type = symbol.type
        assert isinstance(symbol, VarSymbol)
        if node.keys and not symbol.keys:
            self.error(node.pos, "Index taken on unindexable expression")
            return
        expected, received = len(symbol.keys), len(node.keys)
        if received != expected:
            few = "Not enough" if received < expected else "Too many"
            stop = "" if received < expected else "."
            text = f"{few} keys for indexed expression: expecting {expected}, received {received}{stop}"
            self.error(node.pos, text)
            return
        for wanted, key in zip(symbol.keys, node.keys, strict=True):
            if not _failed(key) and not unify(wanted, _type(key)):
                self.error(node.pos, f"type mismatch; expected {wanted!r} received {_type(key)!r}")
        node.type = symbol.type

    def capref(self, node: ast.Capref) -> None:
        node.type = _ERROR
        if self.begins:
            self.error(node.pos, "Can't use capture group references inside a BEGIN block")
            return
        symbol = self.scope.lookup(node.name, Kind.GROUP)
        if isinstance(symbol, GroupSymbol):
            node.type = symbol.type
            self.caprefs.append((node, symbol))
            return
        hint = f"\n\tCheck that there are at least {node.name} pairs of parentheses."
        if node.named:
            hint = f"\n\tTry using `(?P<{node.name}>...)' to name the capture group."
        text = f"Capture group `${node.name}' was not defined by a regular expression visible to this scope."
        self.error(node.pos, text + hint)

    def unary(self, node: ast.Unary, depth: int) -> None:
        operand = node.operand = self.expr(node.operand, depth + 1)
        type_ = _type(operand)
        if node.op == "~":
            node.type = BOOL
            if not _failed(operand) and not unify(INT, type_):
                self.error(operand.pos, f"type mismatch; expected Int received {type_!r} for `~' operator.")
            return
        node.type = INT
        if _failed(operand):
            return
        if not isinstance(operand, ast.Index):
            self.error(operand.pos, "Can't assign to expression; expecting a variable here.")
        elif not unify(INT, type_):
            self.error(node.pos, f"type mismatch; expected Int received {type_!r}")
        elif resolve(type_) is not INT:
            self.error(operand.pos, f"type mismatch: expecting an Int for {_op(node.op)}, not {type_!r}.")

    def binary(self, node: ast.Binary, depth: int) -> None:
        if isinstance(node.lhs, ast.Pattern) and node.op in _LOGICAL:
            # mtail has a node of its own for a pattern as an operand.
            node.lhs = self.pattern(node.lhs, depth + 2)
        else:
            node.lhs = self.expr(node.lhs, depth + 1)
        node.rhs = self.expr(node.rhs, depth + 1)
        if node.op in ("=", "+="):
            self.assignment(node)
        elif node.op in _ARITHMETIC:
            self.arithmetic(node)
        elif node.op in _COMPARISON:
            self.comparison(node)
        else:
            node.type = INT if node.op in _BITWISE else BOOL
            if not _failed(node.lhs) and not _failed(node.rhs):
                self.fixed_operands(node, _type(node.lhs), _type(node.rhs), depth)

    def fixed_operands(self, node: ast.Binary, left: Type, right: Type, depth: int) -> None:
        """Operators that want one given type, and convert at run time."""
        op = _op(node.op)
        if node.op in _BITWISE:
            if not (unify(INT, left) and unify(INT, right)):
                self.error(node.pos, f"Integer types expected for bitwise {op}, got {left!r} and {right!r}")
        elif node.op in _LOGICAL:
            if not (unify(BOOL, left) and unify(BOOL, right)):
                self.error(node.pos, f"Boolean types expected for logical {op}, got {left!r} and {right!r}")
        elif not unify(PATTERN, right):
            text = f"Parameter to {op} has a type mismatch; expected Pattern received {right!r}."
            self.error(node.pos, text)
        elif resolve(right) is not PATTERN:
            literal = ast.RegexLit(node.rhs.pos, b"".join(self.pieces(node.rhs)))
            if literal.text:  # else it matches everything and declares nothing
                node.rhs = self.pattern(ast.Pattern(literal.pos, [literal]), depth + 1)

    def pieces(self, expr: ast.Expr) -> Iterator[bytes]:
        """What mtail makes a pattern of where none stands: the literals, however deep, one behind the other."""
        match expr:
            case ast.StringLit():
                yield expr.value
            case ast.IntLit():
                yield b"%d" % expr.value
            case ast.FloatLit():
                yield f"{expr.value:g}".encode()
            case ast.Pattern():
                yield expr.text
            case ast.Id():
                yield self.fragment(expr)[1]
            case ast.Binary() if expr.op != "+":
                self.error(expr.pos, f"internal error: Invalid operator in concatenation: {expr.op}")
            case _:
                for child in ast.children(expr):
                    yield from self.pieces(child)

    def assignment(self, node: ast.Binary) -> None:
        node.type = _ERROR
        if not isinstance(node.lhs, ast.Index):
            self.error(node.lhs.pos, "Can't assign to expression on left; expecting a variable here.")
            return
        if _failed(node.lhs) or _failed(node.rhs):
            return
        node.type = _type(node.lhs)
        bound = lub(node.type, _type(node.rhs))
        if bound is None:
            self.error(node.pos, f"internal error; expected {node.type!r} received incomplete type")
        else:
            unify(node.type, bound)

    def common(self, node: ast.Binary) -> Type:
        """Give both operands their least upper bound."""
        if _failed(node.lhs) or _failed(node.rhs):
            return _ERROR
        left, right = _type(node.lhs), _type(node.rhs)
        bound = lub(left, right)
        if bound is None:
            text = f'can\'t apply {_op(node.op)} to LHS of type "{left!r}" with RHS of type "{right!r}".'
            self.error(node.pos, f"type mismatch: {text}")
            return _ERROR
        unify(left, right)
        node.lhs, node.rhs = _convert(node.lhs, bound), _convert(node.rhs, bound)
        return resolve(bound)

    def arithmetic(self, node: ast.Binary) -> None:
        node.type = self.common(node)
        rhs = node.rhs
        if node.type is _ERROR or node.op not in ("/", "%"):
            return
        if isinstance(rhs, ast.IntLit) and rhs.value == 0:
            self.error(node.pos, "Can't divide by zero.")

    def comparison(self, node: ast.Binary) -> None:
        node.type = BOOL if self.common(node) is not _ERROR else _ERROR

    # --- builtins ----------------------------------------------------------------------------------------

    def call(self, node: ast.Call, depth: int) -> None:
        params, result = _BUILTINS[node.name]
        node.type = result
        if node.args and self.too_deep(merge_all(node.args), depth + 1):
            return
        node.args[:] = [self.argument(node, arg, depth + 2) for arg in node.args]
        if any(map(_failed, node.args)):
            return
        if len(node.args) != len(params):
            wanted = "incomplete type" if None in params else repr(Function(_known(params), result))
            text = f"call to `{node.name}': type mismatch; expected {wanted} received incomplete type"
            self.error(node.pos, text)
            node.type = _ERROR
            return
        for param, arg in zip(params, node.args, strict=True):
            if param is not None and not unify(param, _type(arg)):
                text = f"call to `{node.name}': type mismatch; expected {param!r} received {_type(arg)!r}"
                self.error(node.pos, text)
                node.type = _ERROR
                return
        self.special(node)

    def argument(self, call: ast.Call, arg: ast.Expr, depth: int) -> ast.Expr:
        """The pattern that `subst` replaces declares no groups."""
        if call.name == "subst" and arg is call.args[0]:
            if isinstance(arg, ast.Id) and self.is_constant(arg):
                arg = ast.Pattern(arg.pos, [arg])
            if isinstance(arg, ast.Pattern):
                return self.pattern(arg, depth, declares=False)
        return self.expr(arg, depth)

    def special(self, node: ast.Call) -> None:
        """What the signature does not say."""
        last = node.args[-1] if node.args else None
        if last is None:
            return
        type_ = _type(last)
        if node.name == "defined" and not isinstance(last, ast.Capref):
            self.error(last.pos, "defined() expects a capture group reference as its argument")
        elif node.name == "tolower" and type_ is not STRING:
            self.error(last.pos, f"Expecting a String for argument 1 of tolower(), not {type_!r}.")
        elif node.name == "strptime" and type_ is not STRING:
            self.error(last.pos, f"Expecting a format string for argument 2 of strptime(), not {type_!r}.")
        elif node.name == "strptime" and not isinstance(last, ast.StringLit):
            self.error(node.pos, "Internal error: exprlist child is not string literal.")
        elif node.name == "strptime" and isinstance(last, ast.StringLit):
            layout = last.value.decode()
            if not timelayout.is_valid(layout):
                self.error(last.pos, f"invalid time format string {go_quote(layout)}{_HINT_LAYOUT}{_meant(layout)}")


def _meant(layout: str) -> str:
    from nativemtail.compiler import layouthints  # of no use to a program without errors

    meant = layouthints.suggestion(layout)
    if meant:
        return f"\n\tWrite {go_quote(meant)}."
    if layouthints.has_underscore(layout):
        return '\n\tNo `_\' can be read: capture date and time each, and write strptime($date + " " + $time, …).'
    return ""


def _known(params: tuple[Type | None, ...]) -> tuple[Type, ...]:
    return tuple(param for param in params if param is not None)


def _type(node: ast.Expr) -> Type:
    return _ERROR if node.type is None else resolve(node.type)


def _failed(node: ast.Expr) -> bool:
    return _type(node) is _ERROR


def _op(spelling: str) -> str:
    return OPERATORS[spelling.encode()]


def _convert(node: ast.Expr, to: Type) -> ast.Expr:
    to = resolve(to)
    if _type(node) is to:
        return node
    conv = ast.Conv(node.pos, node)
    conv.type = to
    return conv


def _sum(names: ast.Pattern) -> ast.Expr:
    total: ast.Expr = names.parts[0]
    for name in names.parts[1:]:
        total = ast.Binary(merge(total.pos, name.pos), "+", total, name)
    return total


@contextmanager
def recursion_room(depth: int = _MAX_DEPTH) -> Iterator[None]:
    """Let Python recurse as deep as a tree of `depth` levels needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 1000 + min(depth, _MAX_DEPTH) * _FRAMES_PER_NODE))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def check(name: str, root: ast.Block, limits: Limits) -> list[tuple[Position | None, str]]:
    """Decorate the tree; the notes on capture groups that are never used.  Raises CompileError with all errors."""
    checker = _Checker(limits)
    try:
        with recursion_room(checker.max_depth):
            checker.block(root, 1)
    except TooComplex:
        checker.errors.append((checker.current, "Too many nested decorators to look names up in"))
    except _TooExpensive:
        checker.errors.append((checker.places[checker.spent.worst], checker.spent.error()))
    if checker.errors:
        raise CompileError(name, checker.errors)
    checker.finish()
    return checker.notes
