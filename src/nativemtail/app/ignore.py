"""`-ignore_filename_regex_pattern`: Go's patterns on base names, matched by RE2 in linear time."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail import gotext

Ignore = Callable[[str], bool]
"""Whether files of this base name are ignored."""


class BadIgnore(ValueError):
    """Go refuses the pattern; the text names the flag, and what is wrong in Go's words."""


def ignore(pattern: str) -> Ignore:
    """A predicate for base names to ignore; an empty pattern ignores nothing.

    Raises `BadIgnore`.
    """
    if not pattern:
        return lambda name: False
    from nativemtail._core import Search
    from nativemtail.compiler.regex.analysis import same_in_re2
    from nativemtail.compiler.regex.dialects import to_re2
    from nativemtail.compiler.regex.error import RegexError
    from nativemtail.compiler.regex.parser import parse

    try:
        tree = parse(pattern.encode("utf-8", "surrogateescape"))
        search = Search(to_re2(tree, captures=0), stepped=not same_in_re2(tree))
    except (RegexError, ValueError) as error:
        raise BadIgnore(f"-ignore_filename_regex_pattern: {error}") from None
    return lambda name: search(gotext.utf8(name).encode())
