"""Expressions: types of values, conversions of operands."""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position, merge_all
from nativemtail.compiler.checker.calls import Calls
from nativemtail.compiler.checker.context import ERROR, Context, converted, failed, operator_name, type_of
from nativemtail.compiler.checker.patterns import Patterns
from nativemtail.compiler.symbols import GroupSymbol, Kind, VarSymbol
from nativemtail.compiler.types import BOOL, FLOAT, INT, NONE, PATTERN, STRING, Type, lub, resolve, unify

_ARITHMETIC = frozenset(("+", "-", "*", "/", "%", "**"))
_COMPARISON = frozenset(("<", ">", "<=", ">=", "==", "!="))
_BITWISE = frozenset(("&", "|", "^", "<<", ">>"))
LOGICAL = frozenset(("&&", "||"))

_HINT_BOOLEAN = "\n\tTry using comparison operators to make the condition explicit."
_CONDITION_CALLS = frozenset(("bool", "defined", "ip_in"))


class Expressions:
    def __init__(self, context: Context, patterns: Patterns) -> None:
        self.context = context
        self.patterns = patterns
        self.calls = Calls(context, patterns, self.expr)
        self.caprefs: list[tuple[ast.Capref, GroupSymbol]] = []
        """Uses of groups that are resolved when every scope is complete, with their symbols."""

    def expr(self, node: ast.Expr, depth: int) -> ast.Expr:
        """Check `node`; returns the node that replaces it."""
        if isinstance(node, ast.Pattern):
            if self.context.is_sum(node):
                return self.expr(ast.sum_of(node.parts), depth)
            return self.patterns.pattern(node, depth)
        if self.context.too_deep(node.pos, depth):
            node.type = ERROR
        elif isinstance(node, ast.Fields):
            return self.patterns.fields(node)
        elif isinstance(node, ast.Id):
            return self._name(node, depth)
        elif isinstance(node, ast.Index):
            return self._indexed(node, depth)
        elif isinstance(node, ast.Capref):
            self._capref(node)
        elif isinstance(node, ast.Call):
            self.calls.call(node, depth)
        elif isinstance(node, ast.Unary):
            self._unary(node, depth)
        elif isinstance(node, ast.Binary):
            self._binary(node, depth)
        elif isinstance(node, ast.IntLit):
            node.type = INT
        elif isinstance(node, ast.FloatLit):
            node.type = FLOAT
        elif isinstance(node, ast.StringLit):
            node.type = STRING
        return node

    def _name(self, node: ast.Id, depth: int) -> ast.Expr:
        """A name on its own: a metric without keys, or a use of a constant."""
        return self._indexed(ast.Index(node.pos, node, []), depth)

    def _indexed(self, node: ast.Index, depth: int) -> ast.Expr:
        """A metric with keys; a constant remains one even if it is given keys."""
        node.type = ERROR
        if self.context.too_deep(merge_all(node.keys), depth + 1):
            return node
        node.keys[:] = [self.expr(key, depth + 2) for key in node.keys]
        if self.context.is_constant(node.base):
            assert isinstance(node.base, ast.Id)
            return self.patterns.pattern(ast.Pattern(node.base.pos, [node.base]), depth)
        self._index(node)
        return node

    def _index(self, node: ast.Index) -> None:
        assert isinstance(node.base, ast.Id)
        symbol = self.context.find(node.base)
        if symbol is None:
            return
        node.base.type = symbol.type
        assert isinstance(symbol, VarSymbol)
        if node.keys and not symbol.keys:
            self.context.error(node.pos, "Index taken on unindexable expression")
            return
        expected, received = len(symbol.keys), len(node.keys)
        if received != expected:
            few = "Not enough" if received < expected else "Too many"
            stop = "" if received < expected else "."
            text = f"{few} keys for indexed expression: expecting {expected}, received {received}{stop}"
            self.context.error(node.pos, text)
            return
        for wanted, key in zip(symbol.keys, node.keys, strict=True):
            if not failed(key) and not unify(wanted, type_of(key)):
                self.context.error(node.pos, f"type mismatch; expected {wanted!r} received {type_of(key)!r}")
        node.type = symbol.type

    def _capref(self, node: ast.Capref) -> None:
        node.type = ERROR
        if self.context.begins:
            self.context.error(node.pos, "Can't use capture group references inside a BEGIN block")
            return
        symbol = self.context.scope.lookup(node.name, Kind.GROUP)
        if isinstance(symbol, GroupSymbol):
            node.type = symbol.type
            self.caprefs.append((node, symbol))
            return
        hint = f"\n\tCheck that there are at least {node.name} pairs of parentheses."
        if node.named:
            hint = f"\n\tTry using `(?P<{node.name}>...)' to name the capture group."
        text = f"Capture group `${node.name}' was not defined by a regular expression visible to this scope."
        self.context.error(node.pos, text + hint)

    def refuse_unless_condition(self, expr: ast.Expr, pos: Position) -> None:
        """Report an expression that can't be a condition, or the operand of `!`; `pos` if it is a pattern."""
        if isinstance(expr, (ast.Pattern, ast.Fields)):
            if self.context.begins:
                self.context.error(pos, "Can't use pattern matching inside a BEGIN block")
        elif not (
            isinstance(expr, (ast.Binary, ast.Unary))
            or (isinstance(expr, ast.Call) and expr.name in _CONDITION_CALLS)
            or failed(expr)
        ):
            self.context.error(
                expr.pos, f"Can't interpret {type_of(expr)!r} as a boolean expression here.{_HINT_BOOLEAN}"
            )

    def _unary(self, node: ast.Unary, depth: int) -> None:
        operand = node.operand = self.expr(node.operand, depth + 1)
        type_ = type_of(operand)
        if node.op == "!":
            node.type = BOOL
            self.refuse_unless_condition(operand, operand.pos)
            return
        if node.op == "-":
            node.type = operand.type
            self._number("-", operand)
            return
        if node.op == "~":
            node.type = BOOL
            if not failed(operand) and not unify(INT, type_):
                self.context.error(operand.pos, f"type mismatch; expected Int received {type_!r} for `~' operator.")
            return
        node.type = INT
        if failed(operand):
            return
        if not isinstance(operand, ast.Index):
            self.context.error(operand.pos, "Can't assign to expression; expecting a variable here.")
        elif not unify(INT, type_):
            self.context.error(node.pos, f"type mismatch; expected Int received {type_!r}")
        elif resolve(type_) is not INT:
            self.context.error(
                operand.pos, f"type mismatch: expecting an Int for {operator_name(node.op)}, not {type_!r}."
            )

    def _number(self, op: str, operand: ast.Expr) -> None:
        """Report an operand that is no number; of a metric whose type is not known yet, the code generator does."""
        type_ = resolve(type_of(operand))
        if type_ in (STRING, BOOL, PATTERN, NONE):
            self.context.error(operand.pos, f"type mismatch: expecting a number for `{op}', not {type_!r}.")

    def _binary(self, node: ast.Binary, depth: int) -> None:
        lhs = node.lhs
        # mtail has a node of its own for a pattern as an operand.
        extra = isinstance(lhs, ast.Pattern) and node.op in LOGICAL and not self.context.is_sum(lhs)
        node.lhs = self.expr(lhs, depth + 1 + extra)
        node.rhs = self.expr(node.rhs, depth + 1)
        if node.op in ("=", "+=", "-="):
            self._assignment(node)
        elif node.op in _ARITHMETIC:
            self._arithmetic(node)
        elif node.op in _COMPARISON:
            self._comparison(node)
        else:
            node.type = INT if node.op in _BITWISE else BOOL
            if not failed(node.lhs) and not failed(node.rhs):
                self._fixed_operands(node, type_of(node.lhs), type_of(node.rhs), depth)

    def _fixed_operands(self, node: ast.Binary, left: Type, right: Type, depth: int) -> None:
        """Operators whose operands must have one given type; they are converted at run time."""
        op = operator_name(node.op)
        if node.op in _BITWISE:
            if not (unify(INT, left) and unify(INT, right)):
                self.context.error(node.pos, f"Integer types expected for bitwise {op}, got {left!r} and {right!r}")
        elif node.op in LOGICAL:
            if not (unify(BOOL, left) and unify(BOOL, right)):
                self.context.error(node.pos, f"Boolean types expected for logical {op}, got {left!r} and {right!r}")
        elif not unify(PATTERN, right):
            text = f"Parameter to {op} has a type mismatch; expected Pattern received {right!r}."
            self.context.error(node.pos, text)
        elif resolve(right) is not PATTERN:
            literal = ast.RegexLit(node.rhs.pos, b"".join(self.patterns.pieces(node.rhs)))
            if literal.text:  # an empty one matches everything and declares nothing
                node.rhs = self.patterns.pattern(ast.Pattern(literal.pos, [literal]), depth + 1)

    def _assignment(self, node: ast.Binary) -> None:
        node.type = ERROR
        if not isinstance(node.lhs, ast.Index):
            self.context.error(node.lhs.pos, "Can't assign to expression on left; expecting a variable here.")
            return
        if failed(node.lhs) or failed(node.rhs):
            return
        node.type = type_of(node.lhs)
        bound = lub(node.type, type_of(node.rhs))
        if bound is None:
            self.context.error(node.pos, f"internal error; expected {node.type!r} received incomplete type")
            return
        if node.op == "-=":
            self._number("-=", node.lhs)
            self._number("-=", node.rhs)
        unify(node.type, bound)

    def _common(self, node: ast.Binary) -> Type:
        """Convert both operands to their least upper bound."""
        if failed(node.lhs) or failed(node.rhs):
            return ERROR
        left, right = type_of(node.lhs), type_of(node.rhs)
        bound = lub(left, right)
        if bound is None:
            text = f'can\'t apply {operator_name(node.op)} to LHS of type "{left!r}" with RHS of type "{right!r}".'
            self.context.error(node.pos, f"type mismatch: {text}")
            return ERROR
        unify(left, right)
        node.lhs, node.rhs = converted(node.lhs, bound), converted(node.rhs, bound)
        return resolve(bound)

    def _arithmetic(self, node: ast.Binary) -> None:
        node.type = self._common(node)
        rhs = node.rhs
        if node.type is ERROR or node.op not in ("/", "%"):
            return
        if isinstance(rhs, ast.IntLit) and rhs.value == 0:
            self.context.error(node.pos, "Can't divide by zero.")

    def _comparison(self, node: ast.Binary) -> None:
        node.type = BOOL if self._common(node) is not ERROR else ERROR
