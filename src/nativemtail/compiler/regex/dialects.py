"""Syntax tree → the pattern syntax of each engine.

Only constructs that mean the same in the engine as in Go are used: explicit classes, `\\A` and `\\z`, case folding
spelled out where it leaves ASCII.  Output is pure ASCII.  Groups keep their numbers, names are dropped.  Both take
trees from `parse`; `simplify` may copy a group to several places, which would change the numbers.
"""

from __future__ import annotations

from functools import lru_cache

from nativemtail.compiler.regex import tree, ucd
from nativemtail.compiler.regex.analysis import same_in_re2, start_optimizable
from nativemtail.compiler.regex.ucd import Ranges

_ASCII: Ranges = ((0, 0x7F),)
_SCALARS: Ranges = ((0, 0xD7FF), (0xE000, ucd.MAX_RUNE))
"""The characters that text can contain: no surrogates, although `\\x{D800}` can name them."""

_COMMON: dict[type[tree.Node], str] = {
    tree.Empty: "(?:)",
    tree.BeginText: r"\A",
    tree.EndText: r"\z",
    tree.WordBoundary: r"\b",
    tree.NoWordBoundary: r"\B",
}


def to_pcre2(node: tree.Node, utf: bool, captures: int | None = None) -> bytes:
    """For PCRE2 10.42: with PCRE2_UTF when `utf`, else a pattern of bytes that is only right for pure ASCII subjects.

    Only the groups up to number `captures` capture; None for all.
    """
    prefix = b"" if start_optimizable(node) else b"(*NO_START_OPT)"
    return prefix + _written(node, _PCRE2_UTF if utf else _PCRE2_ASCII, captures)


def to_re2(node: tree.Node, captures: int | None = None) -> bytes:
    """For RE2 (C++) with its default options, UTF-8.

    Where RE2 could match inside a character (`same_in_re2`), the result begins by consuming whole characters: match it
    at the start of the text; all group numbers are one higher.
    """
    written = _written(node, _RE2, captures)
    return written if same_in_re2(node) else b"(?s:.)*?(" + written + b")"


class _Dialect:
    """An engine's syntax where engines differ."""

    def __init__(self, alphabet: Ranges, nothing: str, begin_line: str, end_line: str) -> None:
        self.alphabet = alphabet
        self.nothing = nothing
        self.fixed = {
            **_COMMON,
            tree.NoMatch: nothing,
            tree.BeginLine: begin_line,
            tree.EndLine: end_line,
            tree.AnyNotNL: r"[^\n]",
            tree.Any: "(?s:.)",
        }

    def literal(self, node: tree.Literal) -> str:
        ascii_only = self.alphabet is _ASCII
        if not node.fold:
            possible = node.runes.isascii() or not (ascii_only or any("\ud800" <= r <= "\udfff" for r in node.runes))
            return "".join(map(_escape, node.runes)) if possible else self.nothing
        out: list[str] = []
        run = ""
        for rune in node.runes:
            equal = tuple(r for r in ucd.orbit(ord(rune)) if ucd.contains(self.alphabet, r))
            if not equal:
                return self.nothing
            if equal[-1] < 0x80:
                run += rune
                continue
            one = _escape(rune) if len(equal) == 1 else _class(ucd.union((r, r) for r in equal), self.alphabet)
            out += [_caseless(run), one]
            run = ""
        return "".join(out) + _caseless(run)

    def char_class(self, ranges: Ranges) -> str:
        return _class(ranges, self.alphabet) or self.nothing

    def repetition(self, node: tree.Star | tree.Plus | tree.Quest | tree.Repeat) -> list[tree.Node | str]:
        if self.is_atom(node.sub):
            return [node.sub, tree.operator(node)]
        return ["(?:", node.sub, ")", tree.operator(node)]

    def is_atom(self, node: tree.Node) -> bool:
        """Whether a repetition operator may follow the node's text directly."""
        if isinstance(node, tree.Literal):
            return len(node.runes) == 1 and not node.fold
        return isinstance(node, (tree.Class, tree.Any, tree.AnyNotNL, tree.Capture))


def _written(root: tree.Node, dialect: _Dialect, captures: int | None) -> bytes:
    out: list[str] = []
    stack: list[tree.Node | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            out.append(item)
        else:
            stack.extend(reversed(_parts(item, dialect, captures)))
    return "".join(out).encode("ascii")


def _parts(node: tree.Node, dialect: _Dialect, captures: int | None) -> list[tree.Node | str]:
    if isinstance(node, tree.Literal):
        return [dialect.literal(node)]
    if isinstance(node, tree.Class):
        return [dialect.char_class(node.ranges)]
    if isinstance(node, tree.Capture):
        return ["(" if captures is None or node.index <= captures else "(?:", node.sub, ")"]
    if isinstance(node, (tree.Star, tree.Plus, tree.Quest, tree.Repeat)):
        return dialect.repetition(node)
    if isinstance(node, tree.Concat):
        return [
            part for sub in node.subs for part in (("(?:", sub, ")") if isinstance(sub, tree.Alternate) else (sub,))
        ]
    if isinstance(node, tree.Alternate):
        return [part for i, sub in enumerate(node.subs) for part in ((sub,) if i == 0 else ("|", sub))]
    return [dialect.fixed[type(node)]]


def _caseless(run: str) -> str:
    text = "".join(map(_escape, run))
    return f"(?i:{text})" if any(char.isalpha() for char in run) else text


@lru_cache(maxsize=512)
def _class(ranges: Ranges, alphabet: Ranges) -> str:
    """The class within the alphabet, as its complement where that is shorter; empty text for an empty one."""
    inside = ucd.intersection(ranges, alphabet)
    if not inside:
        return ""
    outside = ucd.intersection(ucd.complement(ranges), alphabet)
    if not outside:
        return "(?s:.)"
    return _ranges(outside, "^") if len(outside) < len(inside) else _ranges(inside)


def _ranges(ranges: Ranges, sign: str = "") -> str:
    parts = []
    for low, high in ranges:
        parts.append(_escape(chr(low)))
        if high > low:
            parts.append(("-" if high > low + 1 else "") + _escape(chr(high)))
    return f"[{sign}{''.join(parts)}]"


def _escape(rune: str) -> str:
    if rune.isascii():
        if rune.isalnum() or rune in " _":
            return rune
        return "\\" + rune if rune.isprintable() else "\\n" if rune == "\n" else f"\\x{ord(rune):02x}"
    return f"\\x{ord(rune):02x}" if rune <= "\xff" else f"\\x{{{ord(rune):x}}}"


_PCRE2_UTF = _Dialect(_SCALARS, "(?:(?!))", r"(?<![^\n])", r"(?![^\n])")
_PCRE2_ASCII = _Dialect(_ASCII, "(?:(?!))", r"(?<![^\n])", r"(?![^\n])")
_RE2 = _Dialect(_SCALARS, r"[^\x00-\x{10FFFF}]", "(?m:^)", "(?m:$)")
