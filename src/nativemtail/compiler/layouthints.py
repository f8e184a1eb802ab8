"""Suggests a layout of Go's reference time for a layout written for strftime, or as an example of a time."""

from __future__ import annotations

import re

from nativemtail.compiler import timelayout

_STRFTIME = {
    "Y": "2006", "y": "06", "m": "01", "d": "02", "e": "_2", "j": "002", "H": "15", "I": "03", "M": "04", "S": "05",
    "f": "000000", "L": "000", "p": "PM", "b": "Jan", "h": "Jan", "B": "January", "a": "Mon", "A": "Monday",
    "z": "-0700", "Z": "MST", "F": "2006-01-02", "T": "15:04:05", "R": "15:04", "D": "01/02/06", "%": "%",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%[-_0E]?(.)", re.DOTALL)

_EXAMPLES = [
    (re.compile(r"\b\d{4}([-/.])\d\d\1\d\d(?!\d)"), r"2006\g<1>01\g<1>02"),
    (re.compile(r"\b\d\d([-/.])(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\1\d{4}\b"), r"02\g<1>Jan\g<1>2006"),
    (re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d\b"), "Jan _2"),
    (re.compile(r"(?<!\d)\d\d:\d\d:\d\d(?!\d)"), "15:04:05"),
    (re.compile(r"(?<=15:04:05)([.,])\d{1,3}(?!\d)"), r"\g<1>000"),
    (re.compile(r"(?<=15:04:05)([.,])\d{4,9}"), r"\g<1>000000"),
    (re.compile(r"(?<=[\d.])Z$"), "Z07:00"),
    (re.compile(r"(?<=[\d ])[-+]\d\d(:?)\d\d$"), r"-07\g<1>00"),
]


def is_strftime(layout: str) -> bool:
    """Whether the layout contains a conversion of strftime."""
    return any(found[1] in _STRFTIME and found[1] != "%" for found in _DIRECTIVE.finditer(layout))


def has_underscore(layout: str) -> bool:
    """Whether it has a `_` other than the one that pads a day."""
    return "_" in re.sub(r"__?2(?!006)", "", layout)


def suggestion(layout: str) -> str | None:
    """A usable layout that the author probably meant, if there is one."""
    if is_strftime(layout):
        if any(found[1] not in _STRFTIME for found in _DIRECTIVE.finditer(layout)):
            return None
        meant = _DIRECTIVE.sub(lambda found: _STRFTIME[found[1]], layout)
    else:
        meant = layout
        for example, reference in _EXAMPLES:
            meant = example.sub(reference, meant)
    return meant if meant != layout and timelayout.is_valid(meant) else None
