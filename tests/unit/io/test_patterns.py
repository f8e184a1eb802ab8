"""What `-logs` elements mean, and globbing as Go does it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.globs import BadPattern, Glob
from nativemtail.io.patterns import BadSource, LogSpec, absolute, parse_logs
from nativemtail.options import parse


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("-", LogSpec("stdin", "-")),
        ("/dev/stdin", LogSpec("stdin", "/dev/stdin")),
        ("/var/log/syslog", LogSpec("path", "/var/log/syslog")),
        ("/var//log/./x/../*.log", LogSpec("path", "/var/log/*.log")),
        ("//var/log", LogSpec("path", "/var/log")),
        ("file:///var/log/a%41#1?", LogSpec("path", "/var/log/a%41#1?")),
        ("/x/%zz", LogSpec("path", "/x/%zz")),
        ("unix:///run/log.sock", LogSpec("unix", "unix:///run/log.sock", "/run/log.sock")),
        ("unixgram:///run/log.sock", LogSpec("unixgram", "unixgram:///run/log.sock", "/run/log.sock")),
        ("tcp://127.0.0.1:514", LogSpec("tcp", "tcp://127.0.0.1:514", "127.0.0.1:514")),
        ("TCP://:514", LogSpec("tcp", "tcp://:514", ":514")),
        ("udp://[::1]:514", LogSpec("udp", "udp://[::1]:514", "[::1]:514")),
    ],
)
def test_element(text: str, spec: LogSpec) -> None:
    assert parse_logs([text]) == [spec]


@pytest.mark.parametrize("text", [":foo", "app#1.log", "a b", "./http://host/x", "./unix:x", "10:30.log", "a:b"])
def test_anything_else_is_a_path(text: str) -> None:
    assert parse_logs([text]) == [LogSpec("path", absolute(text))]


@pytest.mark.parametrize("text", ["unix://", "unixgram://", "tcp://", "udp://", "tcp:///path", "unix://host"])
def test_empty_address(text: str) -> None:
    with pytest.raises(BadSource, match="socket address cannot be empty"):
        parse_logs([text])


@pytest.mark.parametrize("text", ["ftp://host/x", "journald://x", "s3+x://b/c", "JOURNALD://x", "unixx:///run/x"])
def test_unknown_scheme(text: str) -> None:
    with pytest.raises(BadSource, match="unsupported URL scheme"):
        parse_logs([text])


@pytest.mark.parametrize("text", ["unix:/run/x.sock", "udp::514", "tcp:localhost:514", "file:/var/log/x", "zstd:/x"])
def test_a_scheme_without_slashes(text: str) -> None:
    scheme, _, rest = text.partition(":")
    with pytest.raises(BadSource, match=re.escape(f"write {scheme}://{rest}")):
        parse_logs([text])


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("/a{1,2}.log", ["/a1.log", "/a2.log"]),
        ("/{a,b/c}/{x,}*", ["/a/x*", "/a/*", "/b/c/x*", "/b/c/*"]),
        ("/{a,{b,c}d}", ["/a", "/bd", "/cd"]),
        ("/{a,b", ["/{a,b"]),
        ("/a{b}", ["/a{b}"]),
        ("/{{a,b}}", ["/{a}", "/{b}"]),
        (r"/\{a,b\}", [r"/\{a,b\}"]),
        ("/a}{b,c}", ["/a}b", "/a}c"]),
    ],
)
def test_braces(text: str, patterns: list[str]) -> None:
    assert [spec.name for spec in parse_logs([text])] == patterns
    assert parse(["-logs", f"{text},/z"] if text != "/{a,b" else ["-logs", text, "-logs", "/z"])[0].logs[-1] == "/z"


@pytest.mark.slow
def test_too_many_alternatives() -> None:
    with pytest.raises(BadSource, match="stand for more than"):
        parse_logs(["/" + "{a,b}" * 1000])


def test_equal_elements_count_once() -> None:
    assert len(parse_logs(["/a", "./b", "/a", absolute("b")])) == 2


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("/a*", "/abc", True),
        ("/a*", "/abc/d", False),
        ("/*", "/.hidden", True),
        ("/a*c*e", "/abcde", True),
        ("/a*c*f", "/abcde", False),
        ("/*a*a*b", "/aaaaaaaaab", True),
        ("/a?c", "/abc", True),
        ("/a?c", "/ac", False),
        ("/a?c", "/aäc", True),
        ("/[a-c]x", "/bx", True),
        ("/[a-c]x", "/dx", False),
        ("/[^a-c]x", "/dx", True),
        ("/[^a-c]x", "/ax", False),
        ("/[ab-dz]", "/z", True),
        ("/[a^]", "/^", True),
        (r"/[\]]", "/]", True),
        (r"/[\-x]", "/-", True),
        ("/[[]", "/[", True),
        (r"/\*", "/*", True),
        (r"/\*", "/x", False),
        (r"/a\bc", "/abc", True),
        ("/a/*/c", "/a/b/c", True),
        ("/a", "/a", True),
        ("/*", "/", True),
        ("/a*", "/a", True),
    ],
)
def test_match(pattern: str, name: str, matches: bool) -> None:
    assert Glob(pattern).matches(name) is matches


@pytest.mark.parametrize(
    "pattern", ["/[", "/[]", "/[]a]", "/[a", "/[a-", "/[a-]", "/[-a]", "/[^", "/[^]", "/a\\", "/[a\\", "/[/]"]
)
def test_bad_pattern(pattern: str) -> None:
    with pytest.raises(BadPattern, match="syntax error in pattern"):
        Glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "root"),
    [
        ("/var/log/*.log", "/var/log"),
        ("/var/*/x.log", "/var"),
        ("/*", "/"),
        ("/var/log/syslog", "/var/log"),
        ("/x", "/"),
    ],
)
def test_root(pattern: str, root: str) -> None:
    assert Glob(pattern).root == root


def test_expand(tmp_path: Path) -> None:
    for name in ["a/1.log", "a/2.log", "a/x.txt", "b/1.log", "c", "app[1].log"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    def expand(pattern: str) -> list[str]:
        return [os.path.relpath(path, tmp_path) for path in Glob(f"{tmp_path}/{pattern}").expand()]

    assert expand("*/*.log") == ["a/1.log", "a/2.log", "b/1.log"]
    assert expand("?/1.log") == ["a/1.log", "b/1.log"]
    assert expand("c") == ["c"]
    assert expand("c/*") == []
    assert expand("none*") == []
    assert expand("none") == []
    assert expand("d*") == ["dangling"]
    assert expand(r"app\[1\].log") == ["app[1].log"]
    assert expand("app[1].log") == []


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_stars_like_a_plain_recursion(pattern: str, name: str) -> None:
    def slow(p: str, n: str) -> bool:
        if not p:
            return not n
        if p[0] == "*":
            return slow(p[1:], n) or (bool(n) and slow(p, n[1:]))
        return bool(n) and p[0] in ("?", n[0]) and slow(p[1:], n[1:])

    assert Glob("/" + pattern).matches("/" + name) is slow(pattern, name)
