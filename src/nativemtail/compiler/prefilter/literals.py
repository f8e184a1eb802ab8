"""Extracts the required literals of a pattern: texts, or short regular expressions over bytes, of which every matching
line contains one.

Each part of a pattern is described by the strings that it matches, or that its matches begin and end with, as sequences
of byte sets.  Strings of adjacent parts are concatenated.  Of all sets of strings such that each match must contain one
of the set, the one is chosen that the fewest log lines are expected to contain.

Lines are bytes without newlines, valid UTF-8 or not; in records, a newline is unknown text, because it need not be
where the lines are.  An invalid byte matches as U+FFFD, so sets with U+FFFD in them
stand for unknown text here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from nativemtail.compiler.prefilter.frequency import BYTE_FREQUENCY, LINE, RAREST, known_frequency
from nativemtail.compiler.regex import tree, ucd
from nativemtail.compiler.regex.ucd import Ranges

MAX_LITERALS = 64
USELESS = 0.6
"""A set of literals expected on more than this fraction of lines is not worth searching for."""

_MAX_LENGTH = 24
_MAX_COPIES = 12
_MAX_OTHERS = 64
_WEAK = 0.02
_SHORT = 3
"""A literal expected on more than `_WEAK` of the lines and no longer than this is replaced by a rarer byte pattern."""
_MAX_EXPANSION = 8
_MAX_REGEX = 12
_LEAST_LITERAL = 6
"""The least number of bytes that a literal is shortened to."""
_NO_DIGITS = bytes(byte for byte in range(256) if byte not in b"0123456789")
_LITERAL_EFFORT, _REGEX_EFFORT = 1e-4, 1e-3
"""The cost of searching for one more literal, expressed as a fraction of lines."""


@dataclass(frozen=True, slots=True)
class RequiredLiteral:
    """Bytes to find in a line: `text`, in either case of ASCII letters if `caseless` (then it is in lower case); or, if
    `regex`, a regular expression of byte sets, in the syntax that Hyperscan, RE2 and Python have in common.

    `cost` is the expected fraction of log lines that contain it.
    """

    text: bytes
    caseless: bool = False
    regex: bool = False
    cost: float = field(default=1.0, compare=False)


def required_literals(node: tree.Node, *, of_records: bool = False) -> frozenset[RequiredLiteral] | None:
    """Literals of which every line that the pattern matches contains one; None when there are none that are useful.

    The empty set means that the pattern matches no line at all.
    """
    known: dict[int, _Strings] = {}
    for part in tree.postorder(node):
        known[id(part)] = _strings(part, [known[id(sub)] for sub in tree.children(part)], of_records)
    best = _best_inside(known[id(node)])
    return frozenset(map(_eased, best.literals)) if best is not None and best.cost <= USELESS else None


def _eased(literal: RequiredLiteral) -> RequiredLiteral:
    """A part of a literal that is as good and quicker to look for: Hyperscan first looks for the last three bytes.

    Numbers are left whole, as they make the difference between lines of one kind.
    """
    if literal.regex:
        return literal
    words = len(literal.text.rstrip(_NO_DIGITS))

    def effort(end: int) -> float:
        tail = tuple(1 << byte for byte in literal.text[end - 3 : end])
        return _frequency(tail) + 3 * literal_frequency(literal.text[:end], literal.caseless)

    least = max(words, min(_LEAST_LITERAL, len(literal.text)))
    end = min({*range(least, min(least + 9, len(literal.text) + 1)), len(literal.text)}, key=effort)
    if end == len(literal.text):
        return literal
    return replace(literal, text=literal.text[:end], cost=literal_frequency(literal.text[:end], literal.caseless))


# --- strings -------------------------------------------------------------------------------------------------

_Bytes = int
"""A set of byte values, bit by bit; then two bits for characters that equal ASCII letters when case is ignored, and one
that says that the byte may be missing."""

_String = tuple[_Bytes, ...]

_KELVIN, _LONG_S, _OPTIONAL = 1 << 256, 1 << 257, 1 << 258
_SPECIAL = {_KELVIN: "\u212a".encode(), _LONG_S: "\u017f".encode()}
_SPECIAL_RUNES = {0x212A: _KELVIN, 0x17F: _LONG_S}
_LETTERS = sum(1 << byte for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class _Set(NamedTuple):
    """Literals of which a match has at least one; `cost`: fraction of lines with one, plus the cost of searching."""

    literals: frozenset[RequiredLiteral]
    cost: float
    score: float


class _Strings(NamedTuple):
    """What is known about the strings that a part matches.

    `exact`: all of them are known, and `heads` and `tails` both list them.  Otherwise each begins with one of `heads`
    and ends with one of `tails`.  `inside`: the best literals found within it so far.
    """

    exact: bool
    heads: tuple[_String, ...]
    tails: tuple[_String, ...]
    inside: _Set | None


_NOTHING: tuple[_String, ...] = ((),)
_ZERO_WIDTH = _Strings(True, _NOTHING, _NOTHING, None)
_UNKNOWN = _Strings(False, _NOTHING, _NOTHING, None)


def _exactly(strings: tuple[_String, ...]) -> _Strings:
    """Exactly these strings, unless they are too many or too long to keep."""
    if len(strings) <= MAX_LITERALS and all(len(string) <= _MAX_LENGTH for string in strings):
        return _Strings(True, strings, strings, None)
    return _cut(_Strings(False, strings, strings, _evaluated(strings)))


def _cut(known: _Strings) -> _Strings:
    """Shorten heads and tails, and drop them if there are too many."""
    heads = tuple(dict.fromkeys(string[:_MAX_LENGTH] for string in known.heads))
    tails = tuple(dict.fromkeys(string[-_MAX_LENGTH:] for string in known.tails))
    return known._replace(
        heads=heads if len(heads) <= MAX_LITERALS else _NOTHING, tails=tails if len(tails) <= MAX_LITERALS else _NOTHING
    )


def _strings(node: tree.Node, below: list[_Strings], of_records: bool) -> _Strings:
    if isinstance(node, tree.Literal):
        return _of_literal(node, of_records)
    if isinstance(node, (tree.Class, tree.Any, tree.AnyNotNL)):
        return _of_class(tree.char_ranges(node), of_records)
    if isinstance(node, tree.NoMatch):
        return _exactly(())
    if isinstance(node, tree.Concat):
        return _in_turn(below)
    if isinstance(node, tree.Alternate):
        return _either(below)
    if isinstance(node, tree.Capture):
        return below[0]
    if isinstance(node, tree.Plus):
        return _looped(below[0])
    if isinstance(node, tree.Quest):
        return _repeated(below[0], 0, 1)
    if isinstance(node, tree.Repeat):
        return _repeated(below[0], node.min, node.max)
    return _UNKNOWN if isinstance(node, tree.Star) else _ZERO_WIDTH


def _of_literal(node: tree.Literal, of_records: bool) -> _Strings:
    if node.fold:
        return _in_turn([_of_class(tree.char_ranges(tree.Literal(rune, True)), of_records) for rune in node.runes])
    if node.runes.isprintable() and "\ufffd" not in node.runes:
        return _exactly((tuple(1 << byte for byte in node.runes.encode()),))
    return _in_turn([_of_class(((ord(rune), ord(rune)),), of_records) for rune in node.runes])


@lru_cache(maxsize=512)
def _of_class(ranges: Ranges, of_records: bool) -> _Strings:
    """The encodings of the characters of a set; unknown text if there are many."""
    others: list[int] = []
    ascii_part = 0
    for low, high in ranges:
        if low < 0x80:
            ascii_part |= (1 << (min(high, 0x7F) + 1)) - (1 << low)
        if high >= 0x80:
            if high - max(low, 0x80) + len(others) >= _MAX_OTHERS or low <= 0xFFFD <= high:
                return _UNKNOWN
            others.extend(range(max(low, 0x80), high + 1))
    if of_records and ascii_part >> 10 & 1:
        return _UNKNOWN
    ascii_part &= ~(1 << 10)
    ends: dict[bytes, int] = {}
    for rune in others:
        if rune in _SPECIAL_RUNES and ascii_part:
            ascii_part |= _SPECIAL_RUNES[rune]
        elif not 0xD800 <= rune <= 0xDFFF:
            encoded = chr(rune).encode()
            ends[encoded[:-1]] = ends.get(encoded[:-1], 0) | 1 << encoded[-1]
    strings: list[_String] = [(ascii_part,)] if ascii_part else []
    strings += [(*(1 << byte for byte in start), last) for start, last in ends.items()]
    return _exactly(tuple(strings))


def _in_turn(parts: Iterable[_Strings]) -> _Strings:
    """Concatenate parts: `heads` and `tails` grow as long as the adjacent parts are exact."""
    whole = _ZERO_WIDTH
    for part in parts:
        whole = _joined(whole, part)
    return whole


def _joined(a: _Strings, b: _Strings) -> _Strings:
    if a.exact and b.exact:
        both = _crossed(a.heads, b.heads)
        if both is not None and all(len(string) <= _MAX_LENGTH for string in both):
            return _Strings(True, both, both, None)
    meeting = _crossed(a.tails, b.heads)
    found = [a.inside, b.inside]
    found += [_evaluated(meeting)] if meeting is not None else [_evaluated(a.tails), _evaluated(b.heads)]
    heads = _crossed(a.heads, b.heads) if a.exact else None
    tails = _crossed(a.tails, b.tails) if b.exact else None
    return _cut(_Strings(False, heads or a.heads, tails or b.tails, _best(found)))


def _crossed(a: tuple[_String, ...], b: tuple[_String, ...]) -> tuple[_String, ...] | None:
    if len(a) * len(b) > MAX_LITERALS:
        return None
    return tuple(dict.fromkeys(x + y for x in a for y in b))


def _either(parts: list[_Strings]) -> _Strings:
    exact = all(part.exact for part in parts)
    heads = tuple(dict.fromkeys(string for part in parts for string in part.heads))
    if exact:
        return _exactly(heads)
    tails = tuple(dict.fromkeys(string for part in parts for string in part.tails))
    return _cut(_Strings(False, heads, tails, _sum([_best_inside(part) for part in parts])))


def _looped(part: _Strings) -> _Strings:
    return part._replace(exact=False, inside=_best_inside(part))


def _repeated(part: _Strings, low: int, high: int | None) -> _Strings:
    if high == 0:
        return _ZERO_WIDTH
    if high is not None and high <= _MAX_COPIES and part.exact and len(part.heads) == 1 and len(part.heads[0]) == 1:
        choices = part.heads[0][0]
        if len(_members(choices)) > 2 and choices < _KELVIN:
            return _exactly(((choices,) * low + (choices | _OPTIONAL,) * (high - low),))
    if low == 0:
        return _either([_ZERO_WIDTH, _repeated(part, 1, high)])
    counts = [_in_turn([part] * min(low, _MAX_COPIES))]
    if low > _MAX_COPIES or high is None or high - low > 4:
        return _looped(counts[0])
    for _ in range(low, high):
        counts.append(_joined(counts[-1], part))
    return _either(counts)


# --- choosing ------------------------------------------------------------------------------------------------


def _best_inside(known: _Strings) -> _Set | None:
    return _best([known.inside, _evaluated(known.heads), None if known.exact else _evaluated(known.tails)])


def _best(sets: Iterable[_Set | None]) -> _Set | None:
    return min((found for found in sets if found is not None), key=lambda found: found.score, default=None)


def _sum(sets: list[_Set | None]) -> _Set | None:
    members: set[RequiredLiteral] = set()
    for found in sets:
        if found is None:
            return None
        members |= found.literals
    return _as_set(members)


def _evaluated(strings: tuple[_String, ...]) -> _Set | None:
    """The literals to search for if a match has one of these strings."""
    if () in strings:
        return None
    members: set[RequiredLiteral] = set()
    for string in strings:
        chosen = _literals_for(string[-_MAX_LENGTH:])
        if chosen is None:
            return None
        members.update(chosen)
    return _as_set(members)


def _as_set(members: set[RequiredLiteral]) -> _Set | None:
    if len(members) > 1:
        members = {literal for literal in members if not any(_implies(literal, other) for other in members)}
    if len(members) > MAX_LITERALS:
        return None
    cost = sum(literal.cost for literal in members)
    effort = sum(_REGEX_EFFORT if literal.regex else _LITERAL_EFFORT for literal in members)
    return _Set(frozenset(members), min(cost, 1.0), cost + effort)


def _implies(literal: RequiredLiteral, other: RequiredLiteral) -> bool:
    """Whether a line with `literal` always has `other` too, so that searching for `other` suffices."""
    if literal.regex or other.regex or literal == other or (literal.caseless and not other.caseless):
        return False
    text = literal.text.lower() if other.caseless else literal.text
    return other.text in text and (len(other.text) < len(text) or other.caseless)


@lru_cache(maxsize=1024)
def _literals_for(string: _String) -> tuple[RequiredLiteral, ...] | None:
    """The literals to search for if a match has this string: one, a few, or a regular expression."""
    literals = _literals_in(string)
    rarest = min(literals, key=lambda found: found[2], default=None)
    if all(cost > _WEAK and end - start <= _SHORT for start, end, cost in literals):
        window = _without_wide_ends(string)
        narrow = max([_frequency(window), _frequency_beside(string, literals)])
        if len(window) > 1 and narrow < (rarest[2] if rarest else 1.0) / 4:
            return (*_expanded(window, narrow), *_specials(window))
    long = [found for found in literals if found[1] - found[0] > _SHORT]
    best = min(long, key=lambda found: found[2], default=rarest)
    if best is None:
        return None
    if rarest is not None and rarest[2] < best[2] / 4:
        best = rarest
    start, end, cost = best
    return (_literal(string[start:end], cost), *_specials(string[start:end]))


def _literal(window: _String, cost: float) -> RequiredLiteral:
    text = bytes(_members(choices)[-1] for choices in window)
    caseless = any(len(_members(choices)) > 1 for choices in window)
    return RequiredLiteral(text.lower() if caseless else text, caseless, cost=cost)


def _expanded(window: _String, cost: float) -> tuple[RequiredLiteral, ...]:
    """All literals that the window stands for if they are few, else a regular expression."""
    expansion = 1
    for choices in window:
        expansion *= _MAX_EXPANSION + 1 if choices & _OPTIONAL else len(_members(choices))
    if expansion > _MAX_EXPANSION:
        return (_regex(window, cost),)
    texts = (bytes(combination) for combination in product(*map(_members, window)))
    return tuple(RequiredLiteral(text, cost=literal_frequency(text, False)) for text in texts)


def _specials(window: _String) -> tuple[RequiredLiteral, ...]:
    """The characters that may stand for a letter of the window when case is ignored."""
    union = 0
    for choices in window:
        union |= choices
    return tuple(RequiredLiteral(text, cost=RAREST) for bit, text in _SPECIAL.items() if union & bit)


def _literals_in(string: _String) -> list[tuple[int, int, float]]:
    """Start, end and cost of each stretch of single bytes and letters in two cases."""
    found = []
    start = 0
    for i in range(len(string) + 1):
        if i < len(string) and _is_letter_or_byte(string[i]):
            continue
        if i > start:
            literal = _literal(string[start:i], 1.0)
            found.append((start, i, literal_frequency(literal.text, literal.caseless)))
        start = i + 1
    return found


@lru_cache(maxsize=512)
def _is_letter_or_byte(choices: _Bytes) -> bool:
    members = _members(choices)
    if len(members) == 1 or choices & _OPTIONAL:
        return not choices & _OPTIONAL
    return len(members) == 2 and members[1] - members[0] == 32 and bool(choices & _LETTERS)


@lru_cache(maxsize=512)
def _members(choices: _Bytes) -> tuple[int, ...]:
    return tuple(byte for byte in range(256) if choices >> byte & 1)


def _without_wide_ends(string: _String) -> _String:
    """The string trimmed of ends that exclude few lines, and cut to a bounded width."""
    start, end = 0, len(string)
    while start < end and (_mass(string[start]) > 0.3 or string[start] & _OPTIONAL):
        start += 1
    while start < end and (_mass(string[end - 1]) > 0.3 or string[end - 1] & _OPTIONAL):
        end -= 1
    while end - start > _MAX_REGEX and string[end - _MAX_REGEX] & _OPTIONAL:
        end -= 1
    return string[max(start, end - _MAX_REGEX) : end]


def _regex(window: _String, cost: float) -> RequiredLiteral:
    parts = []
    for choices in window:
        members = _members(choices)
        runs = ucd.union((byte, byte) for byte in members)
        text = "".join(_hex(low) if low == high else f"{_hex(low)}-{_hex(high)}" for low, high in runs)
        parts.append((text if len(members) == 1 else f"[{text}]") + ("?" if choices & _OPTIONAL else ""))
    return RequiredLiteral("".join(parts).encode(), regex=True, cost=cost)


def _hex(byte: int) -> str:
    return chr(byte) if byte < 0x80 and chr(byte).isalnum() else f"\\x{byte:02x}"


# --- expected frequencies ----------------------------------------------------------------------------------------

_DIGIT_BYTES = frozenset(b"0123456789")
_TIME_BYTES = frozenset(b"0123456789:-/ ")


@lru_cache(maxsize=512)
def _mass(choices: _Bytes) -> float:
    return sum(BYTE_FREQUENCY[byte] for byte in _members(choices))


@lru_cache(maxsize=512)
def _is_digits(choices: _Bytes) -> bool:
    return _DIGIT_BYTES.issuperset(_members(choices))


def _frequency(window: _String) -> float:
    """The expected number of occurrences per line.  A letter is more likely after a letter."""
    expected = float(LINE)
    before = 0
    for choices in window:
        if choices & _OPTIONAL:
            continue
        likely = 1.0
        if before & _LETTERS and choices & _LETTERS:
            likely = 4.0
        elif before and _is_digits(before) and _is_digits(choices):
            likely = 3.0
        expected *= min(0.9, likely * _mass(choices))
        before = choices
    return min(max(expected, RAREST), 1.0)


def _frequency_beside(string: _String, literals: list[tuple[int, int, float]]) -> float:
    """The expected frequency of the string where it is part of a frequent text.  Timestamps are on every line."""
    if all(_TIME_BYTES.issuperset(_members(choices)) for choices in string):
        return 0.5
    likely = 0.0
    for start, end, _ in literals:
        literal = _literal(string[start:end], 1.0)
        expected = known_frequency(literal.text, literal.caseless)
        for choices in string[:start] + string[end:]:
            expected *= 1.0 if choices & _OPTIONAL else min(1.0, 5 * _mass(choices))
        likely = max(likely, expected)
    return likely


@lru_cache(maxsize=1024)
def literal_frequency(text: bytes, caseless: bool) -> float:
    """The expected fraction of lines that have the text."""
    expected = _frequency(tuple(1 << byte for byte in text)) * (1.5 if caseless else 1.0)
    return min(max(expected, known_frequency(text, caseless)), 1.0)
