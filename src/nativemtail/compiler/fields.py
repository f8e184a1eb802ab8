"""Field patterns: what they look for, how they are kept among a program's patterns, their tables for the engine.

A field pattern takes the place of a pattern's text: its own is `MARK` and a literal of its parts, without the names of
captures, so that equal ones of several programs are one pattern.
"""

from __future__ import annotations

import ast as python
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from nativemtail.compiler.abi import FIELD_EDGE, FIELD_NODE, FIELD_SPEC, FieldFormat, FieldType
from nativemtail.compiler.prefilter.literals import RequiredLiteral, literal_frequency
from nativemtail.compiler.tables import FieldSpecs, FieldTable

MARK = b"\xff"
"""Begins the text of a field pattern; a regular expression is UTF-8."""

Step = bytes | int | tuple[bytes, int] | None
"""A name in an object, an index in an array, either (of a JSON pointer), or `[]`: each element."""


class Wanted(NamedTuple):
    path: str
    """As written."""
    steps: tuple[Step, ...]
    type: str
    optional: bool

    @property
    def is_each(self) -> bool:
        return None in self.steps


class FieldPattern(NamedTuple):
    format: str
    separator: int
    wanted: tuple[Wanted, ...]


def encoded(pattern: FieldPattern) -> bytes:
    return MARK + repr((pattern.format, pattern.separator, [tuple(each) for each in pattern.wanted])).encode()


@lru_cache(maxsize=4096)
def decoded(text: bytes) -> FieldPattern:
    format_, separator, wanted = python.literal_eval(text[1:].decode())
    return FieldPattern(format_, separator, tuple(Wanted(*each) for each in wanted))


def is_fields(text: bytes) -> bool:
    return text.startswith(MARK)


def shown(text: bytes) -> str:
    """A pattern as a program writes it, with slashes if it is a regular expression."""
    if not is_fields(text):
        return f"/{text.decode('utf-8', 'replace')}/"
    pattern = decoded(text)
    if pattern.format == "record":
        return "record"
    separator = f' separator "{chr(pattern.separator)}"' if pattern.format == "csv" and pattern.separator != 44 else ""
    return f"{pattern.format}{separator} " + ", ".join(map(_shown_field, pattern.wanted))


def _shown_field(wanted: Wanted) -> str:
    type_ = "" if wanted.type == "string" else f" {wanted.type}"
    return wanted.path + type_ + (" optional" if wanted.optional else "")


# --- prefilter ---------------------------------------------------------------------------------------------------


def required(text: bytes) -> frozenset[RequiredLiteral] | None:
    """Literals of which each line with the wanted fields contains one; None if there are none."""
    pattern = decoded(text)
    found = [
        literals
        for wanted in pattern.wanted
        if not wanted.optional
        for step in wanted.steps
        if isinstance(step, bytes) and (literals := _literals(pattern.format, step))
    ]
    return min(found, key=lambda literals: sum(each.cost for each in literals), default=None)


def _literals(format_: str, name: bytes) -> frozenset[RequiredLiteral] | None:
    if format_ == "logfmt":
        return frozenset([_literal(name)])
    if any(byte < 0x20 or byte in b'"\\/' for byte in name):
        return None  # may be written with an escape of two characters
    # A name of ASCII can only be written otherwise as \u00XX.
    return frozenset([_literal(b'"%s"' % name), _literal(b"\\u00" if name.isascii() else b"\\u")])


def _literal(text: bytes) -> RequiredLiteral:
    return RequiredLiteral(text, cost=literal_frequency(text, caseless=False))


# --- tables ------------------------------------------------------------------------------------------------------


class _Node:
    """What is wanted of a value."""

    def __init__(self) -> None:
        self.names: dict[bytes, _Node] = {}
        self.indexes: dict[int, _Node] = {}
        self.each: _Node | None = None
        self.fields: list[int] = []
        """Numbers of the fields that are this value."""
        self.low = self.high = 0

    def below(self) -> Iterator[_Node]:
        """The nodes directly below, each once."""
        seen: set[int] = set()
        for node in (*self.names.values(), *self.indexes.values(), *([self.each] if self.each else [])):
            if id(node) not in seen:
                seen.add(id(node))
                yield node

    @property
    def has_each(self) -> bool:
        return self.each is not None or any(node.has_each for node in self.below())


def _child(node: _Node, step: Step) -> _Node:
    if step is None:
        node.each = node.each or _Node()
        return node.each
    if isinstance(step, tuple):
        name, index = step
        known = node.names.get(name) or node.indexes.get(index) or _Node()
        node.names.setdefault(name, known)
        node.indexes.setdefault(index, known)
        return known
    if isinstance(step, bytes):
        return node.names.setdefault(step, _Node())
    return node.indexes.setdefault(step, _Node())


def _tree(wanted: Iterable[tuple[int, Wanted]]) -> _Node:
    root = _Node()
    for number, each in wanted:
        node = root
        for step in each.steps:
            node = _child(node, step)
        node.fields.append(number)
    return root


class _Packer:
    """Packs a tree, the spans of elements numbered after the others."""

    def __init__(self, root: _Node, wanted: tuple[Wanted, ...]) -> None:
        self.spans: dict[int, int] = {}
        """Number of a field to that of its span."""
        self._wanted = wanted
        self.common = self._number(root, 0)
        self.each = 0
        for node in _walk(root):
            if node.each is not None:
                self.each = self._number(node.each, self.common) - self.common
        self._nodes: list[_Node] = []
        self._places: dict[int, int] = {}
        self._list(root)

    def _number(self, node: _Node, first: int) -> int:
        node.low = first
        for field in node.fields:
            self.spans[field] = first
            first += 1
        for each in node.below():
            if each is not node.each:
                first = self._number(each, first)
        node.high = first
        return first

    def _list(self, root: _Node) -> None:
        for node in _walk(root):
            self._places[id(node)] = len(self._nodes)
            self._nodes.append(node)

    def table(self) -> FieldTable:
        nodes, edges, leaves, pool = b"", b"", b"", b""
        edge_count = leaf_count = 0
        for node in self._nodes:
            lengths = 0
            first = edge_count
            for name, child in node.names.items():
                edges += FIELD_EDGE.pack(len(pool), len(name), self._places[id(child)])
                lengths |= 1 << min(len(name), 63)
                pool += name
            for index, child in node.indexes.items():
                edges += FIELD_EDGE.pack(0, index, self._places[id(child)])
            edge_count += len(node.names) + len(node.indexes)
            each = self._places[id(node.each)] if node.each else 0
            nodes += FIELD_NODE.pack(
                lengths, first, len(node.names), len(node.indexes), leaf_count, len(node.fields), node.low, node.high,
                each, node.has_each, 0,
            )  # fmt: skip
            leaves += b"".join(self.spans[field].to_bytes(4, "little") for field in node.fields)
            leaf_count += len(node.fields)
        of_span = sorted((span, field) for field, span in self.spans.items())
        needed = bytes(not self._wanted[field].optional for _, field in of_span)
        return FieldTable(nodes, edges, leaves, pool, needed, self.common, self.each)


def _walk(root: _Node) -> Iterator[_Node]:
    waiting = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting.extend(node.below())


def specs(text: bytes) -> FieldSpecs:
    """The engine's form of a field pattern."""
    pattern = decoded(text)
    numbered = list(enumerate(pattern.wanted))
    whole = _tree(numbered)
    trees = [whole]
    if any(node.each and node.indexes for node in _walk(whole)):  # elements are wanted by index, too: look twice
        trees = [_tree(pair for pair in numbered if pair[1].is_each is each) for each in (False, True)]
    packed = [_Packer(tree, pattern.wanted) for tree in trees]
    fields = b""
    for number, wanted in numbered:
        of = packed[-1] if wanted.is_each else packed[0]
        span = of.spans[number]
        fields += FIELD_SPEC.pack(
            span - (of.common if wanted.is_each else 0), FieldType[wanted.type.upper()], wanted.optional,
            wanted.is_each, 0,
        )  # fmt: skip
    return FieldSpecs(
        int(FieldFormat[pattern.format.upper()]),
        pattern.separator,
        [each.table() for each in packed],
        fields,
        [wanted.path.encode() for wanted in pattern.wanted],
    )
