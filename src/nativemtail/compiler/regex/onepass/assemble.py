"""Translates items to operations of the one-pass matcher, and the pool that these point into."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nativemtail.compiler.abi import NO_SLOT, ONEPASS_OP, OnePassCode
from nativemtail.compiler.regex.onepass.follow import apart, following, given_back
from nativemtail.compiler.regex.onepass.items import (
    ANY_NUMBER,
    WIDTH,
    Choice,
    End,
    Escaped,
    Item,
    Mark,
    Run,
    Unfit,
    Word,
    known,
    literal,
    walk,
)
from nativemtail.compiler.tables import OnePass

_MOVES = (OnePassCode.FIXED, OnePassCode.RUN, OnePassCode.LAST, OnePassCode.FIRST, OnePassCode.ESCAPED)

_MAX_OPS = 96
_MAX_DEPTH = 8
_LITERAL = 16
"""Limit for a literal after a run, in characters."""


@dataclass(slots=True)
class _Op:
    """One operation.

    After its own part, the offset slot `slot` is set to the position.  Then a literal of `n` characters (maybe none)
    follows, and `then` is set to `behind` characters before its end.
    """

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


class Assembler:
    def __init__(self, prefix: bytes, items: list[Item]) -> None:
        self._ops: list[_Op] = []
        self._pool = bytearray(_word(prefix))
        self._tables: dict[bytes, int] = {}
        self._prefix_length = len(prefix)
        self._sure: int | None = None
        self._joint = 0
        self._known, done, marks = known(items, len(prefix))
        self._place(marks, self._known)
        self._emit(items[done:] if self._known else items, [], 0)
        self._add(_Op(OnePassCode.DONE))
        choices = [item for item in items if isinstance(item, Choice)]
        self._optional = any(isinstance(item, Mark) for item in walk(choices))

    def result(self) -> OnePass:
        for op in self._ops:
            if op.code == OnePassCode.RUN and op.most == ANY_NUMBER and not op.back:
                op.code = OnePassCode.SPAN
        packed = b"".join(
            ONEPASS_OP.pack(
                op.code, op.slot, op.then, op.behind, op.n, op.back, op.target, op.table, op.literal, op.least, op.most
            )
            for op in self._ops
        )
        sure = len(self._ops) if self._sure is None else self._sure
        return OnePass(packed, bytes(self._pool), self._prefix_length, self._known, sure, self._optional)

    def _add(self, op: _Op) -> _Op:
        if len(self._ops) >= _MAX_OPS:
            raise Unfit
        self._ops.append(op)
        return op

    def _unsure(self) -> None:
        """From here on, a choice other than that of the last operation might succeed, too."""
        if self._sure is None:
            self._sure = len(self._ops) - 1

    def _table(self, data: bytes) -> int:
        if data not in self._tables:
            self._tables[data] = len(self._pool)
            self._pool += data
        return self._tables[data]

    def _emit(self, items: list[Item], after: list[Item], depth: int) -> None:
        """Emit operations for `items`, which are followed by `after`."""
        at = 0
        while at < len(items):
            item = items[at]
            match item:
                case Run() if item.exact and item.least <= WIDTH:
                    at = self._fixed(items, at)
                    continue
                case Mark(slot):
                    self._mark(slot)
                case Run():
                    at += self._run(item, items[at + 1 :], after)
                case Escaped():
                    self._escaped(item, [*items[at + 1 :], *after])
                case End():
                    self._add(_Op(OnePassCode.END))
                case Word():
                    self._add(_Op(OnePassCode.WORD))
                case Choice():
                    self._choice(item, [*items[at + 1 :], *after], depth)
            at += 1

    def _mark(self, slot: int, behind: int = 0) -> None:
        if slot >= NO_SLOT:
            raise Unfit
        last = self._last()
        if last is not None and last.slot == NO_SLOT and not behind and not last.n and last.code in _MOVES:
            last.slot = slot
        elif last is not None and last.then == NO_SLOT and last.code in _MOVES:
            last.then, last.behind = slot, behind
        else:
            self._add(_Op(OnePassCode.SAVE, then=slot, behind=behind))

    def _place(self, marks: list[tuple[int, int]], width: int) -> None:
        """Emit the marks in the `width` characters just consumed, given as slot and distance back."""
        for slot, before in marks:
            self._mark(slot, width - before)

    def _last(self) -> _Op | None:
        """The operation that always runs just before, if there is exactly one."""
        return self._ops[-1] if len(self._ops) > self._joint else None

    def _fixed(self, items: list[Item], at: int) -> int:
        """Emit one operation for as many single characters as fit; returns the index of the next item."""
        sets: list[int] = []
        marks: list[tuple[int, int]] = []
        last = self._last()
        proven = self._sure != len(self._ops) - 1
        joins = (
            last is not None
            and last.code in (OnePassCode.RUN, OnePassCode.ESCAPED)
            and not last.n
            and proven
            and _is_one(items[at])
        )
        width = _LITERAL if joins else WIDTH
        while at < len(items):
            item = items[at]
            if isinstance(item, Mark):
                marks.append((item.slot, len(sets)))
            elif isinstance(item, Run) and item.exact and len(sets) + item.least <= width:
                if _two_ranges(item.chars) is None or (joins and not _is_one(item)):
                    break
                sets += [item.chars] * item.least
            else:
                break
            at += 1
        if not sets and not marks:  # a set that needs more than two ranges
            item = items[at]
            assert isinstance(item, Run)
            self._add(_Op(OnePassCode.RUN, table=self._table(_nibbles(item.chars)), least=item.least, most=item.most))
            return at + 1
        if joins and last is not None:
            last.n = last.behind = len(sets)  # an existing mark is before the literal
            last.literal = self._table(_word(bytes(chars.bit_length() - 1 for chars in sets)))
        else:
            self._add(_Op(OnePassCode.FIXED, table=self._table(_lanes(sets)), most=len(sets)))
        self._place(marks, len(sets))
        return at

    def _run(self, item: Run, here: list[Item], after: list[Item]) -> int:
        """Emit operations for a run followed by `here`, then `after`; returns how many items of `here` they cover."""
        rest = [*here, *after]
        table = self._table(_nibbles(item.chars))
        back = 0 if item.exact else given_back(item, rest)
        if back is not None:
            if back > 255:
                raise Unfit
            self._add(_Op(OnePassCode.RUN, table=table, least=item.least, most=item.most, back=back))
            return 0
        text = literal(rest)
        done = 0
        if text:
            code = OnePassCode.FIRST if item.lazy else OnePassCode.LAST
            op = self._add(_Op(code, table=table, least=item.least, most=item.most, target=len(text)))
            op.literal = self._table(_word(text))
            op.n, done, marks = known(here, len(text))
            self._unsure()
            self._place(marks, op.n)
        elif item.lazy or (item.most == ANY_NUMBER and not following(rest)[0] & ~item.chars):
            raise Unfit  # the first choice never succeeds
        else:
            self._add(_Op(OnePassCode.RUN, table=table, least=item.least, most=item.most))
            self._unsure()
        return done

    def _escaped(self, item: Escaped, rest: list[Item]) -> None:
        chars, empty = following(rest)
        table = self._table(_nibbles(item.chars) + _nibbles(item.escaped))
        self._add(_Op(OnePassCode.ESCAPED, table=table, most=item.escape))
        if not empty and chars & (item.chars | 1 << item.escape):
            self._unsure()

    def _choice(self, item: Choice, rest: list[Item], depth: int) -> None:
        if depth == _MAX_DEPTH:
            raise Unfit
        jumps = []
        slots = [mark.slot for mark in walk([item]) if isinstance(mark, Mark)]
        for number, branch in enumerate(item.branches):
            if number == len(item.branches) - 1:
                self._emit(branch, rest, depth)
                break
            attempt = self._add(_Op(OnePassCode.TRY, least=min(slots, default=0), most=max(slots, default=-1) + 1))
            self._emit(branch, rest, depth + 1)
            jumps.append(self._add(_Op(OnePassCode.JUMP)))
            others = ([*other, *rest] for other in item.branches[number + 1 :])
            if not following(rest)[1] and not all(apart(branch, other) for other in others):
                self._unsure()
            attempt.target = len(self._ops)
        for jump in jumps:
            jump.target = len(self._ops)
        self._joint = len(self._ops)


def _is_one(item: Item) -> bool:
    """Whether it matches a single text."""
    return isinstance(item, Run) and item.exact and not item.chars & (item.chars - 1)


def _word(text: bytes) -> bytes:
    """A literal and the mask of its bytes, as words."""
    return text.ljust(_LITERAL, b"\0") + (b"\xff" * len(text)).ljust(_LITERAL, b"\0")


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
    """For each position the first characters of two ranges, and their widths."""
    rows = zip(*map(_lane, sets), strict=True)
    return b"".join(bytes(row).ljust(WIDTH, filling) for row, filling in zip(rows, (b"\0", b"\xff") * 2, strict=True))


@lru_cache(maxsize=1024)
def _lane(chars: int) -> tuple[int, int, int, int]:
    ranges = _two_ranges(chars)
    assert ranges is not None
    (low, high), (other_low, other_high) = ranges
    return low, high - low, other_low, other_high - other_low


@lru_cache(maxsize=1024)
def _nibbles(chars: int) -> bytes:
    """A nibble table: for each low nibble, the bit set of high nibbles with which it is in the set."""
    return bytes(sum((chars >> (16 * high + low) & 1) << high for high in range(8)) for low in range(16))
