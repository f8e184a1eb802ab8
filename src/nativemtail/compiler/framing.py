"""What a `record` statement says (beyond README §5).  Part of every start, so it imports little."""

from typing import NamedTuple

from nativemtail.gotext import go_quote

DEFAULT_MOST = 1000
"""Lines of a record, unless `max` or `lines` says more."""
DEFAULT_TIMEOUT = 10**9


class Framing(NamedTuple):
    """A record statement; programs with equal ones share their records."""

    container: str
    joined: str
    pattern: bytes | None
    size: int
    """Lines of a record of `lines`."""
    separator: int
    most: int
    timeout: int

    def __str__(self) -> str:
        """As a program writes it."""
        words = ["record", self.container, self.joined]
        if self.pattern is not None:
            words.append(f"/{self.pattern.decode('utf-8', 'replace')}/")
        if self.joined == "lines":
            words.append(str(self.size))
        if self.joined == "csv" and self.separator != ord(","):
            words.append("separator " + go_quote(chr(self.separator)))
        return " ".join([*filter(None, words), f"max {self.most} lines timeout {self.timeout / 1e9:g}s"])
