"""Classes of plain fields like those of `dataclasses` and `typing`, for what every start imports.

`dataclasses` writes and compiles a constructor for each class: with its own import that was a quarter of the time that
a start takes, and `typing` takes a tenth of it.  Here one constructor serves all; type checkers see the same (PEP 681).

Modules that every start imports say `TYPE_CHECKING = False` themselves, and take from here what stands for `typing`'s
`NamedTuple` and `Protocol` when they run.
"""

from __future__ import annotations

from _operator import itemgetter  # `operator`, without what that imports

__all__ = ["NamedTuple", "Protocol", "Record", "field"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar, NamedTuple, Protocol, Self, dataclass_transform
else:
    Protocol = object

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        return lambda cls: cls

    class NamedTuple(tuple):
        """A tuple whose subclasses' annotations name its items, their values in the class being defaults."""

        __slots__ = ()

        def __init_subclass__(cls) -> None:
            cls._fields = tuple(cls.__annotations__)
            cls._defaults = {name: cls.__dict__[name] for name in cls._fields if name in cls.__dict__}
            for number, name in enumerate(cls._fields):
                setattr(cls, name, property(itemgetter(number)))

        def __new__(cls, *values: Any, **named: Any) -> NamedTuple:
            """Raises TypeError if an item has no value, or what is given fits none."""
            names = cls._fields
            if len(values) != len(names) or named:
                given = dict(zip(names, values, strict=False))
                wanted = cls._defaults | given | named
                if len(values) > len(names) or given.keys() & named.keys() or wanted.keys() != set(names):
                    raise TypeError(f"{cls.__name__}{names} does not take {values} {named}")
                values = [wanted[name] for name in names]
            return tuple.__new__(cls, values)

        @classmethod
        def _make(cls, values: Iterable[Any]) -> NamedTuple:
            """Of as many values as there are items, unchecked."""
            return tuple.__new__(cls, values)

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"


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
