"""Types of the language and their algebra: least upper bound and unification (spec language.md §5)."""

from __future__ import annotations

from itertools import count


class Type:
    """A type; compare with `is` after `resolve`."""

    __slots__ = ()


class Base(Type):
    """One of the fixed types; there is one object for each."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Variable(Type):
    """A type variable; once bound, it always stands for `bound`."""

    __slots__ = ("bound", "number")
    _numbers = count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.bound: Type | None = None

    def __repr__(self) -> str:
        target = resolve(self)
        return f"typeVar{target.number}" if isinstance(target, Variable) else repr(target)


class Dimension(Type):
    """The type of a metric with keys."""

    __slots__ = ("keys", "value")

    def __init__(self, keys: tuple[Type, ...], value: Type) -> None:
        self.keys = keys
        self.value = value

    def __repr__(self) -> str:
        return "⨯".join(map(repr, (*self.keys, self.value)))


class Function(Type):
    """The type of a builtin."""

    __slots__ = ("params", "result")

    def __init__(self, params: tuple[Type, ...], result: Type) -> None:
        self.params = params
        self.result = result

    def __repr__(self) -> str:
        if not self.params:
            return f"→ {self.result!r}"
        return "→".join(map(repr, (*self.params, self.result)))


INT = Base("Int")
FLOAT = Base("Float")
STRING = Base("String")
BOOL = Base("Bool")
PATTERN = Base("Pattern")
NONE = Base("None")
UNDEF = Base("Undef")
BUCKETS = Base("Buckets")

BY_NAME: dict[str, Base] = {t.name: t for t in (INT, FLOAT, STRING, BOOL, PATTERN, NONE, UNDEF, BUCKETS)}

_LUB: dict[frozenset[Type], Base] = {
    frozenset((BOOL, INT)): INT,
    frozenset((BOOL, FLOAT)): FLOAT,
    frozenset((INT, FLOAT)): FLOAT,
    frozenset((BOOL, STRING)): STRING,
    frozenset((INT, STRING)): STRING,
    frozenset((FLOAT, STRING)): STRING,
    frozenset((STRING, PATTERN)): PATTERN,
    frozenset((PATTERN, BOOL)): BOOL,
    frozenset((PATTERN, INT)): BOOL,
}


def resolve(t: Type) -> Type:
    """The type that `t` stands for, or the variable at the end of its chain if that is unbound."""
    end = t
    while isinstance(end, Variable) and end.bound is not None:
        end = end.bound
    while isinstance(t, Variable) and t.bound is not None:  # path compression
        t.bound, t = end, t.bound
    return end


def is_complete(t: Type) -> bool:
    """Whether no variable is left in `t`."""
    t = resolve(t)
    if isinstance(t, Dimension):
        return all(map(is_complete, (*t.keys, t.value)))
    if isinstance(t, Function):
        return all(map(is_complete, (*t.params, t.result)))
    return not isinstance(t, Variable)


def lub(a: Type, b: Type) -> Type | None:
    """The least upper bound (§5.2), None where there is none."""
    a, b = resolve(a), resolve(b)
    if a is b or isinstance(a, Variable) or a is UNDEF:
        return b
    if isinstance(b, Variable) or b is UNDEF:
        return a
    return _LUB.get(frozenset((a, b)))


def unify(expected: Type, received: Type) -> bool:
    """Bind variables so that the two agree (§5.3); False when they cannot."""
    a, b = resolve(expected), resolve(received)
    if a is b:
        return True
    if isinstance(a, Variable):
        a.bound = b
        return True
    if isinstance(b, Variable):
        b.bound = a
        return True
    if isinstance(a, Dimension) and isinstance(b, Dimension):
        return len(a.keys) == len(b.keys) and all(map(unify, (*a.keys, a.value), (*b.keys, b.value)))
    if isinstance(a, Function) and isinstance(b, Function):
        return len(a.params) == len(b.params) and all(map(unify, (*a.params, a.result), (*b.params, b.result)))
    return lub(a, b) is not None
