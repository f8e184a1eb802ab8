"""`-ignore_filename_regex_pattern`: Go's syntax, matched by Python's engine on base names."""

from __future__ import annotations

import re
from collections.abc import Callable

Ignore = Callable[[str], object]
"""Whether a file of this base name is not read."""


class BadIgnore(ValueError):
    """Go refuses the pattern; the text names the flag, and what is wrong in Go's words."""


def ignore(pattern: str) -> Ignore:
    """A function that is true of the base names to ignore; nothing is ignored by an empty pattern.

    Raises `BadIgnore`.
    """
    if not pattern:
        return lambda name: False
    from nativemtail.compiler.regex.error import RegexError
    from nativemtail.compiler.regex.parser import parse

    try:
        tree = parse(pattern.encode("utf-8", "surrogateescape"))
    except RegexError as error:
        raise BadIgnore(f"-ignore_filename_regex_pattern: {error}") from None
    return re.compile(_to_python(tree)).search


def _to_python(node: object) -> str:
    from nativemtail.compiler.regex import tree as go

    match node:
        case go.Literal(runes=runes, fold=fold):
            return f"(?i:{re.escape(runes)})" if fold else re.escape(runes)
        case go.Class(ranges=ranges):
            return f"[{''.join(f'{_char(low)}-{_char(high)}' for low, high in ranges)}]" if ranges else "(?!)"
        case go.Capture(sub=sub):
            return f"({_to_python(sub)})"
        case go.Star(sub=sub, greedy=greedy):
            return f"(?:{_to_python(sub)})*{'' if greedy else '?'}"
        case go.Plus(sub=sub, greedy=greedy):
            return f"(?:{_to_python(sub)})+{'' if greedy else '?'}"
        case go.Quest(sub=sub, greedy=greedy):
            return f"(?:{_to_python(sub)})?{'' if greedy else '?'}"
        case go.Repeat(sub=sub, min=least, max=most, greedy=greedy):
            bounds = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{_to_python(sub)}){bounds}{'' if greedy else '?'}"
        case go.Concat(subs=subs):
            return "".join(map(_to_python, subs))
        case go.Alternate(subs=subs):
            return f"(?:{'|'.join(map(_to_python, subs))})"
    plain = {
        go.NoMatch: "(?!)",
        go.Empty: "",
        go.AnyNotNL: r"[^\n]",
        go.Any: "(?s:.)",
        go.BeginLine: "(?m:^)",
        go.EndLine: "(?m:$)",
        go.BeginText: r"\A",
        go.EndText: r"\Z",
        go.WordBoundary: r"(?a:\b)",
        go.NoWordBoundary: r"(?a:\B)",
    }
    return plain[type(node)]


def _char(code: int) -> str:
    return f"\\U{code:08x}"
