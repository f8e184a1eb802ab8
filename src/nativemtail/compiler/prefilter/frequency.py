"""How often bytes, texts and words occur in log lines, to choose what the prefilter searches for.

The figures are rounded estimates, made by hand from the formats that programs are written for: access logs of web
servers, traditional syslog, application logs with levels.  They need not be exact: they decide which part of a pattern
is searched for, never what matches, and the engine backs off from the prefilter while too many lines pass it.

They were compared with the sixteen samples of LogHub (github.com/logpai/loghub), two thousand lines each, all of the
same weight.  Of the 67 characters that make up a thousandth of the text or more there, 62 are within a factor of two of
the figures here, which are 97 % of the text; `/` is four times rarer there.  `: ` is on 64 % of the lines (60 % here),
` INFO ` on 29 (30), `error` on 6 (6), `sshd[` on 6 (5).  LogHub has no access logs, where `/` is frequent.
"""

from __future__ import annotations

import re

LINE = 100
"""Bytes of a typical line."""
RAREST = 1e-6

_COMMON = {
    " ": 0.12, ".": 0.035, ":": 0.03, "/": 0.025, "-": 0.02, '"': 0.012, "=": 0.01, "_": 0.008, ",": 0.006,
    "[": 0.004, "]": 0.004, "(": 0.004, ")": 0.004, "0": 0.03, "1": 0.03, "2": 0.03, "3": 0.018, "4": 0.018,
    "5": 0.018, "6": 0.014, "7": 0.014, "8": 0.014, "9": 0.014, "e": 0.055, "t": 0.042, "o": 0.04, "i": 0.038,
    "n": 0.036, "r": 0.036, "s": 0.035, "a": 0.035, "c": 0.025, "d": 0.025, "l": 0.024, "m": 0.018, "p": 0.018,
    "u": 0.015, "h": 0.014, "f": 0.012, "g": 0.012, "b": 0.011, "w": 0.009, "y": 0.008, "v": 0.008, "k": 0.007,
    "x": 0.004, "z": 0.002, "j": 0.002, "q": 0.002,
}  # fmt: skip

FREQUENT = {
    b" ": 1.0, b": ": 0.6, b" - ": 0.4, b"://": 0.3, b"http://": 0.15, b"https://": 0.2, b"HTTP/1.1": 0.4,
    b"GET /": 0.3, b"POST /": 0.15, b'" 200 ': 0.3, b"Mozilla/5.0 (": 0.2, b" INFO ": 0.3, b" info": 0.2,
    b" DEBUG ": 0.15, b"000": 0.4, b" WARN ": 0.05, b" ERROR ": 0.05, b"error": 0.06, b"warning": 0.04,
    b"failed": 0.04, b"2020": 0.4, b"localhost": 0.1, b".com": 0.2, b"ation": 0.2, b"the ": 0.2, b"ing ": 0.3,
    b" for ": 0.2, b" from ": 0.2, b" to ": 0.3, b" user": 0.1, b"client": 0.1, b"server": 0.1, b"request": 0.1,
    b"connect": 0.1, b"kernel: ": 0.05, b"systemd[1]: ": 0.05, b"]: ": 0.5, b" (": 0.3,
    b") ": 0.2, b", ": 0.3, b"id=": 0.1, b"=": 0.4, b'"': 0.4, b"/": 0.6,
}  # fmt: skip
"""Texts, and the fraction of lines that contain them."""

WORDS = """
accepted access account action active added address agent alert allowed already application association attempt audit
authentication auth backend backup bytes cache called cannot certificate change changed check child cleanup client
close closed code command complete completed config configuration connect connected connecting connection container
content could count created cron current daemon data database date debug default delete deleted denied destination
detected device disabled disconnect disconnected disk does domain done down duration enabled end error event exception
exit exited expired failed failure file filter finished for found from function get group handler has have header
health host http https id image in info initialized input instance interface internal invalid is job kernel key length
level line link list listening load loaded local log login mail main manager memory message method missing mode module
mount name network new no node not null number object of on open opened operation option output packet parameter
parent password path pending permission policy pool port process processing protocol proxy public query queue rate
read ready reason received refused registered rejected release reload remote removed reply report request requests
reset resolved resource response result retry return root route rule run running scan scheduled script sec seconds
section security send sent server service session set setting shutdown size socket source space start started starting
state stats status stop stopped stopping storage stream string success successfully system systemd table target task
temporary test thread time timeout to token transaction transfer type unable unit unix unknown update updated url
usage user using valid value verify version volume waiting warn warning was watch web will with without worker write
"""
"""Words that are frequent in logs."""


def _parts(texts: dict[bytes, float]) -> dict[bytes, float]:
    """Parts of these texts to the fraction of lines that contain them, which is at least that of the text."""
    found: dict[bytes, float] = {}
    for text, fraction in sorted(texts.items(), key=lambda item: item[1]):
        for start in range(len(text)):
            found.update(dict.fromkeys((text[start:end] for end in range(start + 1, len(text) + 1)), fraction))
    return found


_PARTS = _parts(FREQUENT)
_PARTS_LOWER = _parts({text.lower(): fraction for text, fraction in sorted(FREQUENT.items(), key=lambda item: item[1])})

TAG = re.compile(rb" ?[A-Za-z][\w./-]*\[")
"""The name of a service as syslog writes it before a process id, or the end of such a name."""
TAGGED = 0.05
"""The fraction of lines that a service is expected to write, given that there is a program for it."""


def known_frequency(text: bytes, caseless: bool) -> float:
    """The fraction of lines that contain the text, if it is part of a known frequent one; else 0."""
    found = (_PARTS_LOWER if caseless else _PARTS).get(text, 0.0)
    return max(found, TAGGED) if TAG.fullmatch(text) else found


def _byte_frequency(byte: int) -> float:
    char = chr(byte)
    if char in _COMMON:
        return _COMMON[char]
    if char.isascii() and char.isalpha():
        return 0.003
    return 0.001 if 0x20 <= byte < 0x7F else 0.0003 if byte >= 0x80 else 0.0002


BYTE_FREQUENCY = [_byte_frequency(byte) for byte in range(256)]
"""The fraction of all bytes of logs that are this one."""
