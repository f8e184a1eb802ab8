"""Requests and weights, as clients write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.http.messages import Request, quality
from nativemtail.http.site import wants_openmetrics

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", {}),
        ("/metrics?prefix=x&name[]=a&name%5B%5D=b", "/metrics", {"prefix": ["x"], "name[]": ["a", "b"]}),
        ("/%6detrics", "/metrics", {}),
        ("/a%00%ff", "/a\0\ufffd", {}),
        ("/x?", "/x", {}),
        ("/x?prog", "/x", {"prog": [""]}),
        ("//x", "//x", {}),
        ("http://host:1/x?prog=a", "/x", {"prog": ["a"]}),
        ("http://host", "/", {}),
    ],
)
def test_target(target: str, path: str, query: dict[str, list[str]]) -> None:
    request = Request.parse(target, "", 10)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize("target", ["*", "host:80", "ftp://x/", "x", "", "/x?" + "a=1&" * 11, "http://[x/"])
def test_bad_target(target: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is urllib's
        Request.parse(target, "", 10)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_any_target(target: str) -> None:
    with contextlib.suppress(ValueError):
        assert Request.parse(target, "", 10).accept == ""


@pytest.mark.parametrize(
    ("header", "weight"),
    [
        ("gzip", 1.0),
        ("GZIP;q=0.5, br", 0.5),
        ("br, *;q=0.1", 0.1),
        ("gzip;q=0, *", 0.0),
        ("gzip; q=0.5; x=1", 0.5),
        ("br", None),
        ("", None),
        ("gzip;q=x", 0.0),
        ("gzip;q=7", 1.0),
        ("gzip;q=-7", 0.0),
        ("gzip;q=nan", 0.0),
        (";;,,=", None),
    ],
)
def test_quality(header: str, weight: float | None) -> None:
    assert quality(header, "gzip", "*") == weight


@given(st.text())
def test_any_header(header: str) -> None:
    assert 0.0 <= (quality(header, "a") or 0.0) <= 1.0


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0, text/plain;q=0.5", True),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        (PROMETHEUS, True),
    ],
)
def test_openmetrics(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
