"""Records behave as data classes do."""

from __future__ import annotations

import pytest

from nativemtail.record import NamedTuple, Record, field


class Point(Record):
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


class Named(Point):
    name: str = ""


class Place(NamedTuple):
    line: int
    column: int = 1


def test_values_by_place_and_by_name_and_defaults() -> None:
    point = Point(1, tags=["a"])
    assert (point.x, point.y, point.tags) == (1, 2, ["a"])
    assert Named(1, 3, [], "n").name == "n"
    assert Named.names == ("x", "y", "tags", "name")


def test_defaults_are_not_shared() -> None:
    one, two = Point(1), Point(1)
    one.tags.append("a")
    assert two.tags == []


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((), {"y": 1}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1, 2, [], 4), {})],
)
def test_what_does_not_fit_is_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Point(*values, **named)  # type: ignore[arg-type]


def test_equal_if_of_one_class_with_equal_values() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    with pytest.raises(TypeError):
        hash(Point(1))


def test_replace_copies() -> None:
    point = Point(1)
    assert point.replace(y=5) == Point(1, 5)
    assert point == Point(1)
    with pytest.raises(TypeError):
        point.replace(z=1)


def test_it_shows_its_fields() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"


def test_a_named_tuple_is_a_tuple() -> None:
    place = Place(3)
    assert (place.line, place.column) == place == (3, 1) == Place(column=1, line=3)
    assert Place._make((3, 1)) == place
    assert {place: "here"}[Place(3, 1)] == "here"
    assert repr(place) == "Place(line=3, column=1)"
    with pytest.raises(AttributeError):
        place.line = 4  # type: ignore[misc]


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"line": 1}), ((1,), {"row": 1})])
def test_what_does_not_fit_a_named_tuple_is_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Place(*values, **named)
