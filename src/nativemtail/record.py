"""Classes of plain fields like those of `dataclasses`, for what every start imports.

`dataclasses` writes and compiles a constructor for each class: with its own import that was a quarter of the time that
a start takes.  Here one constructor serves all; type checkers see the same (PEP 681).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform


class _Default:
    """How to make the default of a field that must not be shared."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A field whose default is made anew for each object."""
    return _Default(default_factory)


@dataclass_transform(field_specifiers=(field,))
class Record:
    """The base class; its subclasses' annotations are the fields, their values in the class the defaults."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.names = (*cls.names, *(name for name in cls.__annotations__ if name not in cls.names))

    def __init__(self, *values: Any, **named: Any) -> None:
        """Raises TypeError if a field without default gets no value, or what is given fits no field."""
        names = self.names
        if len(values) == len(names) and not named:
            self.__dict__ = dict(zip(names, values, strict=True))
            return
        given = dict(zip(names, values, strict=False)) if values else {}
        if len(values) > len(names) or named.keys() - set(names) or given.keys() & named.keys():
            raise TypeError(f"{type(self).__name__}{names} does not take {values} {named}")
        self.__dict__.update(given, **named)
        for name in names[len(values) :]:
            if name in named:
                continue
            try:
                default = getattr(type(self), name)
            except AttributeError:
                raise TypeError(f"{type(self).__name__}: no value for {name}") from None
            setattr(self, name, default.make() if isinstance(default, _Default) else default)

    def replace(self, **named: Any) -> Self:
        """A copy with other values of these fields."""
        return type(self)(**{**self.__dict__, **named})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.names)})"
