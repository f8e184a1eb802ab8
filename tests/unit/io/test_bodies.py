"""What the bodies of HTTP requests are, as lines."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.io.bodies import BadBody, decompress, json_lines, loki_lines

zipped = partial(gzip.compress, mtime=0)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a": 1.50}', [b'{"a": 1.50}']),
        (b' {"a": 1}\r\n', [b'{"a": 1}']),
        (b'{"a": 1}\n{"b": "x y"}\n\n', [b'{"a": 1}', b'{"b": "x y"}']),
        (b'{\n  "a": [1,\r\n 2]\n}', [b'{   "a": [1,   2] }']),
        (b'[{"a": 1},\n {"b": [2]}]', [b'{"a": 1}', b'{"b": [2]}']),
        (b'[1, "two", null]', [b"1", b'"two"', b"null"]),
        (b"[ ]", []),
        (b"[] []\n[3]", [b"3"]),
        (b"", []),
        (b"\n", []),
        (b"not checked without need", [b"not checked without need"]),
        (b'[{"a": "\xff"}]', [b'{"a": "\xff"}']),
        (b"\xef\xbb\xbf[1,2]", [b"1", b"2"]),
        (b"[" + b"9" * 100_000 + b"]", [b"9" * 100_000]),
    ],
)
def test_json(body: bytes, lines: list[bytes]) -> None:
    assert json_lines(body).split(b"\n") == (lines or [b""])


@pytest.mark.parametrize(
    "body",
    [b"[", b"[1", b"[1,", b"[1,]", b"[1 2]", b"[,]", b"]\n1", b"{\n1", b'{"a"\n1', b"[nothing]", b'["\n"]', b"[1]x"],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody, match=r"^The body is not JSON, as Content-Type says: .*text/plain") as caught:
        json_lines(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", ["[" * 100_000, '{"streams":' * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    for read in json_lines, loki_lines:
        with pytest.raises(BadBody, match="nested too deeply") as caught:
            read(text.encode() + b"\n1")
        assert caught.value.status == 400


@pytest.mark.slow
@given(st.lists(JSON), st.sampled_from([None, 2]), st.booleans())
def test_every_record_arrives(records: list[object], indent: int | None, is_array: bool) -> None:
    if is_array:
        body = json.dumps(records, indent=indent)
    else:
        body = "\n".join(json.dumps({"x": record}, indent=indent) for record in records)
        records = [{"x": record} for record in records]
    lines = json_lines(body.encode()).split(b"\n") if records else []
    assert list(map(json.loads, lines)) == records


def stream(*lines: str, **labels: str) -> dict[str, object]:
    return {"stream": labels, "values": [["1700000000000000000", line] for line in lines]}


@pytest.mark.parametrize(
    ("streams", "lines"),
    [
        ([stream("one", "two\n", app="a"), stream("three")], b"one\ntwo\nthree"),
        ([stream('a "b"', "ümlaut")], 'a "b"\nümlaut'.encode()),
        ([stream("a\nb")], b"a\nb"),
        ([stream("lone \ud800")], b"lone \xed\xa0\x80"),
        ([{"stream": {}, "values": [["1", "x", {"trace": "y"}]]}], b"x"),
        ([], b""),
    ],
)
def test_loki(streams: list[object], lines: bytes) -> None:
    assert loki_lines(json.dumps({"streams": streams}).encode()) == lines


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"streams": 1},
        {"streams": [1]},
        {"streams": [{"values": [["1"]]}]},
        {"streams": [{"values": [["1", 2]]}]},
    ],
)
def test_what_is_not_lokis_form_is_refused(body: object) -> None:
    with pytest.raises(BadBody, match=r'not what Loki takes, \{"streams"') as caught:
        loki_lines(json.dumps(body).encode())
    assert caught.value.status == 400


def test_gzip() -> None:
    assert decompress(zipped(b"one\n"), 4) == b"one\n"
    assert decompress(zipped(b"one\n") + zipped(b"two\n"), 8) == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "incomplete"),
        (zipped(b"one")[:-1], 400, "incomplete"),
        (b"plain", 400, "not gzip"),
        (zlib.compress(b"one"), 400, "not gzip"),
        (zipped(b"one") + b"rest", 400, "not gzip"),
        (zipped(b"one") * 65, 400, "more than 64 gzip members"),
        (zipped(bytes(1001)), 413, "more than 1000 bytes"),
        (zipped(bytes(600)) * 2, 413, "more than 1000 bytes"),
    ],
)
def test_what_cannot_be_decoded_is_refused(body: bytes, status: int, text: str) -> None:
    with pytest.raises(BadBody, match=text) as caught:
        decompress(body, 1000)
    assert caught.value.status == status
