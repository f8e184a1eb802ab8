"""Patterns that can be matched in one pass: sequences of literals, runs of characters, options and escapes.

Most patterns of log lines are such: at each part the next characters alone tell how far it goes.  The one-pass matcher
(core/onepass.hpp) takes the first choice of Go's order everywhere: the longest run, the first alternative.  If it
succeeds it has found Go's match, whatever the pattern.  If it fails, that means "no match" only as long as no other
choice could have succeeded; after the first part for which that is not proven, a failure decides nothing, and a
backtracking matcher is tried.

It is for ASCII text only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nativemtail.compiler.abi import CHAIN_OP, NO_SLOT, ChainCode
from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.ucd import ascii_bits
from nativemtail.compiler.tables import OnePass

ANY_NUMBER = 0xFFFFFFFF
_MOVES = (ChainCode.FIXED, ChainCode.RUN, ChainCode.LAST, ChainCode.FIRST, ChainCode.ESCAPED)

_MAX_OPS = 96
_MAX_DEPTH = 8
_MAX_COPIES = 8
_MAX_ITEMS = 512
_MAX_NESTING = 40
_MAX_BRANCHES = 24
_WIDTH = 16
"""Characters that one FIXED compares."""
_WORD = 16
"""Characters of a literal behind a run."""
_END_OF_TEXT = 1 << 128
"""Stands for the end of the text beside the 128 characters of a set."""


class _Mark(NamedTuple):
    """The position is the slot's."""

    slot: int


class _Run(NamedTuple):
    """Between `least` and `most` characters of a set."""

    chars: int
    least: int
    most: int
    lazy: bool = False

    @property
    def exact(self) -> bool:
        return self.least == self.most


class _Escaped(NamedTuple):
    """Any number of characters of a set, or of `escape` with one of another set behind it."""

    chars: int
    escape: int
    escaped: int


class _Choice(NamedTuple):
    """The first of these that matches."""

    branches: list[list[_Item]]


class _End(NamedTuple):
    """The end of the text."""


class _Word(NamedTuple):
    """The beginning or end of a word."""


_Item = _Mark | _Run | _Escaped | _Choice | _End | _Word


class _Unfit(Exception):
    """The pattern cannot be matched in one pass."""


def onepass(node: tree.Node, captures: int) -> OnePass | None:
    """How to match `node` and find its groups up to `captures` (-1: not even its extent), if it is one-pass."""
    parts = list(node.subs) if isinstance(node, tree.Concat) else [node]
    anchored = isinstance(parts[0], tree.BeginText)
    try:
        items = _Reader(captures).items(tree.Concat(tuple(parts[anchored:])))
        prefix = b"" if anchored else _leading_literal(items)
        return _Assembler(prefix, items).result()
    except _Unfit:
        return None


# --- from the tree to items ----------------------------------------------------------------------------------


class _Reader:
    def __init__(self, captures: int) -> None:
        self._captures = captures
        self._left = _MAX_ITEMS

    def items(self, node: tree.Node, depth: int = 0) -> list[_Item]:
        if depth > _MAX_NESTING:
            raise _Unfit
        found = list(self._items(node, depth + 1))
        self._left -= len(found)
        if self._left < 0:
            raise _Unfit
        return found

    def _items(self, node: tree.Node, depth: int) -> Iterable[_Item]:
        match node:
            case tree.Literal():
                if len(node.runes) > _MAX_ITEMS:
                    raise _Unfit
                return [_one(rune, node.fold) for rune in node.runes]
            case tree.Class() | tree.AnyNotNL() | tree.Any():
                return [_Run(_chars(node), 1, 1)]
            case tree.Empty():
                return []
            case tree.EndText():
                return [_End()]
            case tree.WordBoundary():
                return [_Word()]
            case tree.Concat(subs):
                return [item for sub in subs for item in self.items(sub, depth)]
            case tree.Capture(index, _, sub):
                items = self.items(sub, depth)
                return items if index > self._captures else [_Mark(2 * index), *items, _Mark(2 * index + 1)]
            case tree.Star(sub, greedy):
                return [self._loop(sub, 0, greedy, depth)]
            case tree.Plus(sub, greedy):
                return [self._loop(sub, 1, greedy, depth)]
            case tree.Repeat(sub, least, most, greedy):
                return self._repeated(sub, least, most, greedy, depth)
            case tree.Quest(sub, greedy):
                return self._optional(sub, greedy, depth)
            case tree.Alternate(subs) if len(subs) <= _MAX_BRANCHES:
                return [_Choice([self.items(sub, depth) for sub in subs])]
            case _:
                raise _Unfit

    def _loop(self, sub: tree.Node, least: int, greedy: bool, depth: int) -> _Item:
        if tree.is_char(sub):
            return _Run(_chars(sub), least, ANY_NUMBER, not greedy)
        if isinstance(sub, tree.Alternate) and len(sub.subs) == 2 and not least and greedy:
            plain, pair = sorted(sub.subs, key=lambda part: isinstance(part, tree.Concat) or not tree.is_char(part))
            return self._escaped(plain, pair, depth)
        raise _Unfit

    def _escaped(self, plain: tree.Node, pair: tree.Node, depth: int) -> _Escaped:
        items = self.items(pair, depth)
        if isinstance(plain, tree.Plus) and plain.greedy:
            plain = plain.sub
        if not tree.is_char(plain) or len(items) != 2:
            raise _Unfit
        escape, escaped = items
        if not (isinstance(escape, _Run) and isinstance(escaped, _Run) and escape.exact and escaped.exact):
            raise _Unfit
        chars = _chars(plain)
        if escape.least != 1 or escaped.least != 1 or escape.chars & (escape.chars - 1) or escape.chars & chars:
            raise _Unfit
        return _Escaped(chars, escape.chars.bit_length() - 1, escaped.chars)

    def _repeated(self, sub: tree.Node, least: int, most: int | None, greedy: bool, depth: int) -> list[_Item]:
        if tree.is_char(sub):
            if most == 0:
                return []
            return [_Run(_chars(sub), least, ANY_NUMBER if most is None else most, not greedy and least != most)]
        if (least, most) == (0, 1):
            return self._optional(sub, greedy, depth)
        items = self.items(sub, depth)
        if least != most or least > _MAX_COPIES or any(isinstance(item, _Mark) for item in _all(items)):
            raise _Unfit
        return items * least

    def _optional(self, sub: tree.Node, greedy: bool, depth: int) -> list[_Item]:
        if tree.is_char(sub):
            return [_Run(_chars(sub), 0, 1, not greedy)]
        if not greedy:
            raise _Unfit
        return [_Choice([self.items(sub, depth), []])]


@lru_cache(maxsize=1024)
def _one(rune: str, fold: bool) -> _Run:
    return _Run(_chars(tree.Literal(rune, fold)), 1, 1)


def _chars(node: tree.Node) -> int:
    """The ASCII characters of a one-character node, as bits."""
    bits = ascii_bits(tree.char_ranges(node))
    if not bits:
        raise _Unfit
    return bits


def _all(items: Sequence[_Item]) -> Iterator[_Item]:
    for item in items:
        yield item
        if isinstance(item, _Choice):
            for branch in item.branches:
                yield from _all(branch)


def _literal(items: Sequence[_Item]) -> bytes:
    """The characters that follow for certain, if each is one only."""
    text = b""
    for item in items:
        if isinstance(item, (_Mark, _Word)):
            continue
        if not isinstance(item, _Run) or not item.exact or item.chars & (item.chars - 1) or not item.least:
            break
        text += bytes([item.chars.bit_length() - 1]) * item.least
        if len(text) >= _WIDTH:
            break
    return text[:_WIDTH]


def _known(items: Sequence[_Item], width: int) -> tuple[int, int, list[tuple[int, int]]]:
    """How many of the `width` characters that are known to be here whole items stand for, and how many items those are.

    And the marks among them: slot, and characters before it.
    """
    count = 0
    marks: list[tuple[int, int]] = []
    for done, item in enumerate(items):
        if isinstance(item, _Mark):
            marks.append((item.slot, count))
        elif isinstance(item, _Run) and item.exact and count + item.least <= width:
            count += item.least
        else:
            return count, done, marks
    return count, len(items), marks


def _leading_literal(items: Sequence[_Item]) -> bytes:
    text = _literal(items)
    if not text:
        raise _Unfit
    return text


# --- what may come next ----------------------------------------------------------------------------------------


def _next(items: Sequence[_Item]) -> tuple[int, bool]:
    """The characters with which a match of `items` may begin, and whether it may also be empty before more text."""
    chars = 0
    for item in items:
        match item:
            case _Run():
                chars |= item.chars
                if item.least:
                    return chars, False
            case _Escaped():
                chars |= item.chars | 1 << item.escape
            case _End():
                return chars | _END_OF_TEXT, False
            case _Word():
                return 2 * _END_OF_TEXT - 1, False
            case _Choice(branches):
                empty = False
                for branch in branches:
                    more, may_be_empty = _next(branch)
                    chars |= more
                    empty |= may_be_empty
                if not empty:
                    return chars, False
    return chars, True


def _prefix(items: Sequence[_Item]) -> list[int]:
    """The sets that the first characters of every match are in, as far as they are known."""
    sets: list[int] = []
    for at, item in enumerate(items):
        if isinstance(item, _Mark):
            continue
        if isinstance(item, _Run):
            if len(sets) + item.least > _WIDTH:
                return [*sets, *[item.chars] * (_WIDTH - len(sets))]
            sets += [item.chars] * item.least
        if not isinstance(item, _Run) or not item.exact:
            chars, empty = _next(items[at:])
            if isinstance(item, _Run) and item.least:
                more, empty = _next(items[at + 1 :])
                chars = item.chars | more
            return sets if empty else [*sets, chars]
    return sets


def _apart(one: Sequence[_Item], other: Sequence[_Item]) -> bool:
    """Whether what begins with a match of one does not begin with a match of the other."""
    return any(not a & b for a, b in zip(_prefix(one), _prefix(other), strict=False))


def _given_back(run: _Run, rest: Sequence[_Item]) -> int | None:
    """How many of the characters that a run could take every match leaves to `rest`; None when that is not certain."""
    chars, empty = _next(rest)
    if not chars & run.chars and not empty:
        return 0
    if empty and not run.lazy:
        return 0  # what follows cannot fail
    if run.most != ANY_NUMBER:
        return None
    if not run.lazy and _takes_over(run, rest):
        return 0
    count = 0
    for at, item in enumerate(rest):
        if isinstance(item, _Mark):
            continue
        chars, empty = _next(rest[at:])
        if not chars & run.chars and not empty:
            return count
        if not isinstance(item, _Run) or not item.exact or item.chars & ~run.chars:
            return None
        count += item.least
    return None


def _takes_over(run: _Run, rest: Sequence[_Item]) -> bool:
    """Whether a run comes next that would take all that is given back to it, and leaves nothing itself."""
    for at, item in enumerate(rest):
        if isinstance(item, _Mark):
            continue
        if not isinstance(item, _Run) or run.chars & ~item.chars or (item.least, item.most) != (0, ANY_NUMBER):
            return False
        return not item.lazy and _given_back(item, rest[at + 1 :]) == 0
    return False


# --- from items to operations ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Op:
    """One operation.  When its own part is done, `slot` gets the position; then comes a literal of `n` characters,
    perhaps none, and `then` gets the position `behind` characters before its end."""

    code: int
    slot: int = NO_SLOT
    then: int = NO_SLOT
    behind: int = 0
    back: int = 0
    n: int = 0
    target: int = 0
    table: int = 0
    literal: int = 0
    least: int = 0
    most: int = 0


class _Assembler:
    def __init__(self, prefix: bytes, items: list[_Item]) -> None:
        self._ops: list[_Op] = []
        self._pool = bytearray(_word(prefix))
        self._tables: dict[bytes, int] = {}
        self._prefix_length = len(prefix)
        self._sure: int | None = None
        self._joint = 0
        self._known, done, marks = _known(items, len(prefix))
        self._place(marks, self._known)
        self._emit(items[done:] if self._known else items, [], 0)
        self._add(_Op(ChainCode.DONE))
        choices = [item for item in items if isinstance(item, _Choice)]
        self._optional = any(isinstance(item, _Mark) for item in _all(choices))

    def result(self) -> OnePass:
        for op in self._ops:
            if op.code == ChainCode.RUN and op.most == ANY_NUMBER and not op.back:
                op.code = ChainCode.SPAN
        packed = b"".join(
            CHAIN_OP.pack(
                op.code, op.slot, op.then, op.behind, op.n, op.back, op.target, op.table, op.literal, op.least, op.most
            )
            for op in self._ops
        )
        sure = len(self._ops) if self._sure is None else self._sure
        return OnePass(packed, bytes(self._pool), self._prefix_length, self._known, sure, self._optional)

    def _add(self, op: _Op) -> _Op:
        if len(self._ops) >= _MAX_OPS:
            raise _Unfit
        self._ops.append(op)
        return op

    def _unsure(self) -> None:
        """Other choices than that of the last operation might do, too."""
        if self._sure is None:
            self._sure = len(self._ops) - 1

    def _table(self, data: bytes) -> int:
        if data not in self._tables:
            self._tables[data] = len(self._pool)
            self._pool += data
        return self._tables[data]

    def _emit(self, items: list[_Item], after: list[_Item], depth: int) -> None:
        """Operations for `items`, with `after` behind them."""
        at = 0
        while at < len(items):
            item = items[at]
            match item:
                case _Run() if item.exact and item.least <= _WIDTH:
                    at = self._fixed(items, at)
                    continue
                case _Mark(slot):
                    self._mark(slot)
                case _Run():
                    at += self._run(item, items[at + 1 :], after)
                case _Escaped():
                    self._escaped(item, [*items[at + 1 :], *after])
                case _End():
                    self._add(_Op(ChainCode.END))
                case _Word():
                    self._add(_Op(ChainCode.WORD))
                case _Choice():
                    self._choice(item, [*items[at + 1 :], *after], depth)
            at += 1

    def _mark(self, slot: int, behind: int = 0) -> None:
        if slot >= NO_SLOT:
            raise _Unfit
        last = self._last()
        if last is not None and last.slot == NO_SLOT and not behind and not last.n and last.code in _MOVES:
            last.slot = slot
        elif last is not None and last.then == NO_SLOT and last.code in _MOVES:
            last.then, last.behind = slot, behind
        else:
            self._add(_Op(ChainCode.SAVE, then=slot, behind=behind))

    def _place(self, marks: list[tuple[int, int]], width: int) -> None:
        """Marks in the `width` characters that the position has just gone by: slot, and characters before it."""
        for slot, before in marks:
            self._mark(slot, width - before)

    def _last(self) -> _Op | None:
        """The operation that is always the one before."""
        return self._ops[-1] if len(self._ops) > self._joint else None

    def _fixed(self, items: list[_Item], at: int) -> int:
        """One operation for as many single characters as it takes; where the items go on."""
        sets: list[int] = []
        marks: list[tuple[int, int]] = []
        last = self._last()
        proven = self._sure != len(self._ops) - 1
        joins = (
            last is not None
            and last.code in (ChainCode.RUN, ChainCode.ESCAPED)
            and not last.n
            and proven
            and _is_one(items[at])
        )
        width = _WORD if joins else _WIDTH
        while at < len(items):
            item = items[at]
            if isinstance(item, _Mark):
                marks.append((item.slot, len(sets)))
            elif isinstance(item, _Run) and item.exact and len(sets) + item.least <= width:
                if _two_ranges(item.chars) is None or (joins and not _is_one(item)):
                    break
                sets += [item.chars] * item.least
            else:
                break
            at += 1
        if not sets and not marks:  # a set that is not made of two ranges
            item = items[at]
            assert isinstance(item, _Run)
            self._add(_Op(ChainCode.RUN, table=self._table(_nibbles(item.chars)), least=item.least, most=item.most))
            return at + 1
        if joins and last is not None:
            last.n = last.behind = len(sets)  # a mark that is there already is in front of the literal
            last.literal = self._table(_word(bytes(chars.bit_length() - 1 for chars in sets)))
        else:
            self._add(_Op(ChainCode.FIXED, table=self._table(_lanes(sets)), most=len(sets)))
        self._place(marks, len(sets))
        return at

    def _run(self, item: _Run, here: list[_Item], after: list[_Item]) -> int:
        """With `here` and then `after` behind it; how many items of `here` are done as well."""
        rest = [*here, *after]
        table = self._table(_nibbles(item.chars))
        back = 0 if item.exact else _given_back(item, rest)
        if back is not None:
            if back > 255:
                raise _Unfit
            self._add(_Op(ChainCode.RUN, table=table, least=item.least, most=item.most, back=back))
            return 0
        literal = _literal(rest)
        done = 0
        if literal:
            code = ChainCode.FIRST if item.lazy else ChainCode.LAST
            op = self._add(_Op(code, table=table, least=item.least, most=item.most, target=len(literal)))
            op.literal = self._table(_word(literal))
            op.n, done, marks = _known(here, len(literal))
            self._unsure()
            self._place(marks, op.n)
        elif item.lazy or (item.most == ANY_NUMBER and not _next(rest)[0] & ~item.chars):
            raise _Unfit  # the first choice never comes through
        else:
            self._add(_Op(ChainCode.RUN, table=table, least=item.least, most=item.most))
            self._unsure()
        return done

    def _escaped(self, item: _Escaped, rest: list[_Item]) -> None:
        chars, empty = _next(rest)
        table = self._table(_nibbles(item.chars) + _nibbles(item.escaped))
        self._add(_Op(ChainCode.ESCAPED, table=table, most=item.escape))
        if not empty and chars & (item.chars | 1 << item.escape):
            self._unsure()

    def _choice(self, item: _Choice, rest: list[_Item], depth: int) -> None:
        if depth == _MAX_DEPTH:
            raise _Unfit
        jumps = []
        slots = [mark.slot for mark in _all([item]) if isinstance(mark, _Mark)]
        for number, branch in enumerate(item.branches):
            if number == len(item.branches) - 1:
                self._emit(branch, rest, depth)
                break
            attempt = self._add(_Op(ChainCode.TRY, least=min(slots, default=0), most=max(slots, default=-1) + 1))
            self._emit(branch, rest, depth + 1)
            jumps.append(self._add(_Op(ChainCode.JUMP)))
            others = ([*other, *rest] for other in item.branches[number + 1 :])
            if not _next(rest)[1] and not all(_apart(branch, other) for other in others):
                self._unsure()
            attempt.target = len(self._ops)
        for jump in jumps:
            jump.target = len(self._ops)
        self._joint = len(self._ops)


def _is_one(item: _Item) -> bool:
    """Whether it stands for the same text always."""
    return isinstance(item, _Run) and item.exact and not item.chars & (item.chars - 1)


def _word(text: bytes) -> bytes:
    """A literal and the mask of its bytes, as words."""
    return text.ljust(_WORD, b"\0") + (b"\xff" * len(text)).ljust(_WORD, b"\0")


@lru_cache(maxsize=1024)
def _two_ranges(chars: int) -> list[tuple[int, int]] | None:
    """The set as two ranges (twice the same if one will do); None when it has more."""
    ranges = []
    while chars:
        low = (chars & -chars).bit_length() - 1
        high = low + ((chars >> low) + 1 & ~(chars >> low)).bit_length() - 2
        ranges.append((low, high))
        chars &= -1 << (high + 1)
    if len(ranges) > 2:
        return None
    return ranges if len(ranges) == 2 else ranges * 2


def _lanes(sets: list[int]) -> bytes:
    """For each place the first characters of two ranges, and how much further they go."""
    rows = zip(*map(_lane, sets), strict=True)
    return b"".join(bytes(row).ljust(_WIDTH, filling) for row, filling in zip(rows, (b"\0", b"\xff") * 2, strict=True))


@lru_cache(maxsize=1024)
def _lane(chars: int) -> tuple[int, int, int, int]:
    ranges = _two_ranges(chars)
    assert ranges is not None
    (low, high), (other_low, other_high) = ranges
    return low, high - low, other_low, other_high - other_low


@lru_cache(maxsize=1024)
def _nibbles(chars: int) -> bytes:
    """For each low half of a character the high halves with which it is in the set, as bits."""
    return bytes(sum((chars >> (16 * high + low) & 1) << high for high in range(8)) for low in range(16))
