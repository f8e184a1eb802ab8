"""Texts in Go's form, as mtail's users know them: quoted strings and system errors."""

from __future__ import annotations


def explain(error: OSError, action: str, path: str) -> str:
    """A system error in Go's form: `open /x: permission denied`."""
    return f"{action} {path}: {reason(error)}"


def reason(error: OSError) -> str:
    """The system's text for the error, in lower case at the beginning."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def duration(seconds: float) -> str:
    """A readable duration with about three digits: `1.500 s`, `12.3 ms`, `450 µs`."""
    if seconds >= 0.1 or not seconds:
        return f"{seconds:,.3f} s" if seconds < 100 else f"{seconds:,.0f} s"
    return f"{1000 * seconds:.3g} ms" if seconds >= 0.001 else f"{1_000_000 * seconds:.3g} µs"


_NOT_UTF8 = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")


def utf8(text: str) -> str:
    """A file name as valid UTF-8: each byte that is not becomes U+FFFD, as in labels."""
    return text if text.isascii() else text.translate(_NOT_UTF8)


def go_quote(text: bytes | str, mark: str = '"') -> str:
    """Quote like Go's `%q`: printable characters unchanged, others escaped, bytes that are not UTF-8 as `\\xNN`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return mark + "".join("\\" + mark if char == mark else _go_escape(char) for char in text) + mark


_GO_ESCAPES = {
    "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _go_escape(char: str) -> str:
    if char in _GO_ESCAPES:
        return _GO_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
