"""The tables of the multi-literal matcher: rare bytes of the required literals, in eight buckets.

The matcher (core/teddy.hpp) works in the manner of Hyperscan's Teddy.  At every position it
tests six or seven neighbouring bytes.  A position is a candidate for a bucket if each byte has a low nibble that some
literal of the bucket has there, and the last byte has such a high nibble too.  So literals that share such nibbles
belong in one bucket.  At a candidate the last eight bytes, the *window*, are looked up, and the literals that contain
this window are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import prod

from nativemtail.compiler.prefilter.frequency import BYTE_FREQUENCY, FREQUENT, LINE, TAG, TAGGED, WORDS
from nativemtail.compiler.prefilter.literals import literal_frequency
from nativemtail.compiler.tables import LiteralSpec, Teddy, Window

BUCKETS = 8
LONGEST = 8
"""Length of a window; its last bytes are those that are tested."""
MOST_LITERALS = 4096
MOST_LOOKUPS = 6.0
"""Limit for the expected candidates per line; with more, Hyperscan is as fast."""
MOST_FOUND = 1.0
"""Limit for the expected windows found per line, for the same reason."""

FEW = 64
"""Up to this many literals seven bytes are tested; for more, six, which leave more choice of positions."""

MOST_SHARED = 64
"""Limit for the literals of one window, as all of them are compared where it is found."""

_ENDS = 3
"""Positions of a literal for which every bucket is tried."""
_COMPARED = 8.0
"""Cost of comparing literals, relative to looking up a candidate's window."""
_ANY = 0xFFFF


_Nibbles = tuple[tuple[int, int], ...]
"""A bucket: for each tested byte the sets of its low and high nibbles, as bits."""


class _Grams:
    """The pieces of WORDS of the tested length, by position and nibble, as bits."""

    def __init__(self, tested: int) -> None:
        text = WORDS.replace("\n", " ").encode()
        pieces = {text[at : at + tested] for at in range(len(text) - tested + 1)}
        self.low = [[0] * 16 for _ in range(tested)]
        self.high = [[0] * 16 for _ in range(tested)]
        for number, piece in enumerate(sorted(pieces)):
            for place, byte in enumerate(piece):
                self.low[place][byte & 15] |= 1 << number
                self.high[place][byte >> 4] |= 1 << number

    def candidates(self, nibbles: _Nibbles) -> int:
        """How many of them pass the test."""
        pieces = -1
        for place, (low, high) in enumerate(nibbles):
            lows = highs = 0
            for nibble in range(16):
                if low >> nibble & 1:
                    lows |= self.low[place][nibble]
                if high >> nibble & 1:
                    highs |= self.high[place][nibble]
            pieces &= lows & highs
        return pieces.bit_count()


_grams = lru_cache(_Grams)
_GRAM = 0.01
"""How often a piece of WORDS is expected on a line."""


class _Bucket:
    __slots__ = ("length", "nibbles", "texts")

    def __init__(self, tested: int) -> None:
        self.nibbles: _Nibbles = ((0, 0),) * tested
        self.length = LONGEST
        self.texts: list[bytes] = []


class _Place:
    """Where the window of a literal is, and which other literals contain the same window."""

    __slots__ = ("bucket", "caseless", "end", "needles", "text")

    def __init__(self, text: bytes, caseless: bool, bucket: _Bucket, end: int) -> None:
        self.text = text
        self.caseless = caseless
        self.bucket = bucket
        self.end = end
        self.needles: list[int] = []

    @property
    def window(self) -> bytes:
        return _window(self.text, self.end)

    def end_in(self, text: bytes) -> int:
        return (text.lower() if self.caseless else text).index(self.window) + len(self.window)


def teddy(literals: Sequence[LiteralSpec]) -> Teddy | None:
    """The tables for these literals; None if one is a byte pattern, or too many candidates are expected."""
    if not literals or len(literals) > MOST_LITERALS or any(spec.literal is None for spec in literals):
        return None
    texts = [spec.literal or b"" for spec in literals]
    shared = Counter(window for text in texts for window in {_window(text, end) for end in range(1, len(text) + 1)})
    buckets = [_Bucket(7 if len(literals) <= FEW else 6) for _ in range(BUCKETS)]
    places: dict[tuple[bytes, bool], _Place] = {}
    for number in sorted(range(len(literals)), key=lambda number: len(texts[number])):
        text, caseless = texts[number], literals[number].caseless
        place = _known_place(places, text, caseless)
        if place is None:
            ends = [end for end in range(1, len(text) + 1) if shared[_window(text, end)] <= MOST_SHARED]
            place = _Place(text, caseless, *_best_place(buckets, text, caseless, ends or [len(text)]))
            _put(place)
            places[place.window, caseless] = place
            if sum(_lookups(bucket.nibbles) for bucket in buckets) > MOST_LOOKUPS:
                return None
        place.needles.append(number)
    if sum(_expected(place.window[-place.bucket.length :], place.caseless) for place in places.values()) > MOST_FOUND:
        return None
    fold = 0x20 * any(spec.caseless for spec in literals)
    lengths = bytes(bucket.length for bucket in buckets)
    windows = _windows(list(places.values()), texts, fold)
    if max(len(window.needles) for window in windows) > MOST_SHARED:
        return None
    low = b"".join(_row(buckets, place, 0) for place in reversed(range(len(buckets[0].nibbles))))
    return Teddy(low, _row(buckets, -1, 1), lengths, fold, windows)


def _known_place(places: dict[tuple[bytes, bool], _Place], text: bytes, caseless: bool) -> _Place | None:
    """A window already chosen that this literal contains too."""
    lower = text.lower()
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - LONGEST), end):
            place = places.get((lower[start:end], True))
            if place is None and not caseless:
                place = places.get((text[start:end], False))
            if place is not None:
                return place
    return None


def _window(text: bytes, end: int) -> bytes:
    return text[max(0, end - LONGEST) : end]


def _best_place(buckets: list[_Bucket], text: bytes, caseless: bool, ends: list[int]) -> tuple[_Bucket, int]:
    """The literal's bucket, and which of `ends` is the end of its window; preferably a late one."""
    tested = len(buckets[0].nibbles)
    late = [end for end in ends if end >= tested] or ends[-1:]
    alone = sorted((_frequency(text, end, tested, caseless), end) for end in late)
    best: tuple[float, _Bucket, int] | None = None
    for found, end in alone[:_ENDS]:
        for bucket in buckets:
            cost = found + _lookups(_widened(bucket.nibbles, text, end, caseless)) - _lookups(bucket.nibbles)
            length = min(end, LONGEST)
            if length < bucket.length:
                cost += _COMPARED * sum(_expected(each[-length:], False) for each in bucket.texts)
            if length > bucket.length:
                cost += _COMPARED * _expected(text[end - bucket.length : end], caseless)
            if best is None or cost < best[0]:
                best = cost, bucket, end
    assert best is not None
    return best[1:]


def _frequency(text: bytes, end: int, tested: int, caseless: bool) -> float:
    """How often the tested bytes, and then the window, are expected on a line."""
    window = _window(text, end)
    return _expected(window[-tested:], caseless) + _COMPARED * _expected(window, caseless)


@lru_cache(maxsize=4096)
def _expected(text: bytes, caseless: bool) -> float:
    """The fraction of lines that contain the text, taking frequent texts around it into account."""
    likely = 0.0
    tag = TAG.search(text)
    for known, fraction in ((tag[0], TAGGED), *FREQUENT.items()) if tag else FREQUENT.items():
        if known in text:
            rest = text.replace(known, b"", 1)
            likely = max(likely, fraction * prod(min(1.0, 5 * BYTE_FREQUENCY[byte]) for byte in rest))
    return max(likely, literal_frequency(text, caseless))


def _put(place: _Place) -> None:
    bucket = place.bucket
    bucket.nibbles = _widened(bucket.nibbles, place.text, place.end, place.caseless)
    bucket.length = min(bucket.length, place.end)
    bucket.texts.append(place.window)


def _widened(nibbles: _Nibbles, text: bytes, end: int, caseless: bool) -> _Nibbles:
    wider = []
    for place, (low, high) in enumerate(nibbles, end - len(nibbles)):
        if place < 0:
            low = _ANY
        else:
            for byte in _cases(text[place], caseless):
                low |= 1 << (byte & 15)
                high |= 1 << (byte >> 4)
        wider.append((low, high if place == end - 1 else _ANY))
    return tuple(wider)


def _cases(byte: int, caseless: bool) -> tuple[int, ...]:
    return (byte, byte - 32) if caseless and 0x61 <= byte <= 0x7A else (byte,)


@lru_cache(maxsize=4096)
def _lookups(nibbles: _Nibbles) -> float:
    """Expected positions per line where all tested bytes have such nibbles."""
    by_chance = LINE * prod(_mass(low, high) for low, high in nibbles)
    return by_chance + _GRAM * _grams(len(nibbles)).candidates(nibbles)


@lru_cache(maxsize=4096)
def _mass(low: int, high: int) -> float:
    highs = [nibble for nibble in range(16) if high >> nibble & 1]
    lows = [nibble for nibble in range(16) if low >> nibble & 1]
    return sum(BYTE_FREQUENCY[nibble << 4 | other] for nibble in highs for other in lows)


def _row(buckets: list[_Bucket], place: int, part: int) -> bytes:
    """The table for the low (0) or high (1) nibbles of one of the tested bytes."""
    return bytes(
        sum(1 << at for at, bucket in enumerate(buckets) if bucket.nibbles[place][part] >> nibble & 1)
        for nibble in range(16)
    )


def _windows(places: list[_Place], texts: list[bytes], fold: int) -> list[Window]:
    """Merge equal windows, even of different buckets."""
    windows: dict[bytes, list[tuple[int, int]]] = {}
    for place in places:
        text = bytes(byte | fold for byte in place.window[-place.bucket.length :])
        windows.setdefault(text, []).extend((number, place.end_in(texts[number])) for number in place.needles)
    return [Window(text, needles) for text, needles in windows.items()]
