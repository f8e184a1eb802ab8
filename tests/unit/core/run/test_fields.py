"""Field patterns against independent readers: JSON against Python's, logfmt and CSV against a few lines each."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from engines import Machine
from hypothesis import example, given, settings
from hypothesis import strategies as st

ABSENT = "<absent>"
NAMES = ["a", "b", "id", "a.b", "é", "x y", "", "0", "\u2028", "a/b", "~", '"', "\\"]


def read(pattern: str, text: bytes, names: Sequence[str], **options: bool) -> tuple[str, ...] | None:
    """What a pattern captures of a text, each field as a label; None if it does not match."""
    keys = ", ".join(f"k{at}" for at in range(len(names)))
    labels = "".join(f"[${name}]" for name in names)
    defined = "".join(f'  defined(${name}) {{\n    there["{name}"]++\n  }}\n' for name in names)
    program = f"counter n by {keys}\ncounter there by name\n{pattern} {{\n  n{labels}++\n{defined}}}\n"
    machine = Machine(program, **options)
    machine.feed(text + b"\n")
    assert machine.faults() == []
    found = machine.values("n")
    if not found:
        return None
    there = {key for (key,) in machine.values("there")}
    [values] = found
    return tuple(value if name in there else ABSENT for name, value in zip(names, values, strict=True))


# --- JSON --------------------------------------------------------------------------------------------------------


class Members(list[tuple[str, Any]]):
    """An object with all of its members, in order."""


def constant(name: str) -> Any:
    raise ValueError(name)


def parsed(text: bytes) -> Any:
    """The document, objects as Members, numbers as written; ValueError if it is malformed."""
    decoder = json.JSONDecoder(
        object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=constant, strict=True
    )
    shown = text.decode("utf-8", "surrogateescape")
    if not shown.strip(" \t\r\n").startswith("{"):
        raise ValueError("no object")
    start = len(shown) - len(shown.lstrip(" \t\r\n"))
    value, end = decoder.raw_decode(shown, start)
    if shown[end:].strip(" \t\r\n"):
        raise ValueError("text behind the object")
    return value


class Number(str):
    __slots__ = ()


def at(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(value, Members) and isinstance(step, str):
            found = [member for name, member in value if name == step]
            if not found:
                return None
            value = found[-1]
        elif isinstance(value, list) and not isinstance(value, Members) and isinstance(step, int):
            if step >= len(value):
                return None
            value = value[step]
        else:
            return None
    return value


def scalar(value: Any) -> str | None:
    """The text of a scalar; None for other values, whose text is as written."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        repaired = value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
        return re.sub("[\ud800-\udfff]", "\ufffd", repaired)
    return None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20), st.sampled_from(["", "\x00", "\ud83d\ude00", "\ud83d", "\u2028", "a" * 40, '"\\/\b\f\n\r\t']),
)  # fmt: skip


def members(names: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Members]:
    return st.lists(st.tuples(names, values), max_size=6).map(Members)


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=5).map(Members)
    ),
    max_leaves=12,
)
OBJECTS = members(st.sampled_from(NAMES) | st.text(max_size=4), VALUES)


def written(value: Any, draw: Any) -> str:
    """A document as text, with blanks and escapes where they may be."""
    blank = draw(st.sampled_from(["", "", "", " ", "\t", " \r "]))
    if isinstance(value, Members):
        members = [f"{string(name, draw)}{blank}:{blank}{written(member, draw)}" for name, member in value]
        return "{" + blank + f"{blank},".join(members) + blank + "}"
    if isinstance(value, list):
        return "[" + blank + ",".join(written(each, draw) for each in value) + blank + "]"
    if isinstance(value, str):
        return string(value, draw)
    return json.dumps(value)


def string(text: str, draw: Any) -> str:
    way = draw(st.integers(0, 2))
    if way == 2:
        units = text.encode("utf-16-be", "surrogatepass")
        return '"' + "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2)) + '"'
    return json.dumps(text, ensure_ascii=way == 0 or bool(re.search("[\ud800-\udfff]", text)))


SPOILERS = [b"", b",", b"}", b"\\", b'"', b"\xff", b"0", b"-", b"\x01", b"nul", b" "]


@st.composite
def documents(draw: Any) -> bytes:
    text = written(draw(OBJECTS), draw).encode("utf-8", "surrogatepass")
    way = draw(st.integers(0, 9))
    if way == 0:
        cut = draw(st.integers(0, len(text)))
        return text[:cut] + draw(st.sampled_from(SPOILERS)) + text[cut + draw(st.integers(0, 1)) :]
    return b" " + text + b"\t" if way == 1 else text


PATHS: list[tuple[str, list[str | int]]] = [
    ("a", ["a"]), ("b", ["b"]), ("a.b", ["a", "b"]), ("a[0]", ["a", 0]), ("a.b[1].id", ["a", "b", 1, "id"]),
    ('"a.b"', ["a.b"]), ('"é"', ["é"]), ('"x y"', ["x y"]), ('"/a~1b"', ["a/b"]), ('"/~0"', ["~"]), ('"\\""', ['"']),
    ('"/"', [""]), ("b.a.id", ["b", "a", "id"]),
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(documents())
@example(b'{"a":{"b":1},"a":{"c":2}}')
@example(b'{"\\u0061":1}')
@example(b'{"a":1}x')
@example(b'{"a":01}')
@example(b'{"a":-}')
@example(b'{"a":1.}')
@example(b'{"a":"\\ud83d\\u0041"}')
@example(b'{"a":"\\ud83d\\ud83d\\ude00"}')
def test_json_as_python_reads_it(text: bytes) -> None:
    names = [f"f{at}" for at in range(len(PATHS))]
    pattern = "json " + ", ".join(f"{path} as {name} optional" for (path, _), name in zip(PATHS, names, strict=True))
    if b"\n" in text or b"\r" in text[-1:]:
        return
    found = read(pattern, text, names)
    try:
        document = parsed(text)
    except (ValueError, RecursionError):
        assert found is None
        return
    assert found is not None
    for (_, steps), value in zip(PATHS, found, strict=True):
        wanted = at(document, steps)
        if isinstance(wanted, Number):
            assert value == wanted
        elif (shown := scalar(wanted)) is not None:
            assert value == shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        elif "\ufffd" not in value:  # which stands for bytes that are not UTF-8
            assert parsed_any(value) == wanted


def parsed_any(text: str) -> Any:
    return parsed(b'{"v":' + text.encode("utf-8", "surrogateescape") + b"}")[0][1]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(documents(), st.sampled_from(["a", "a.b as x, b", "b.a.id as x optional, id", '"é"', '"a/b" as x']))
def test_the_prefilter_loses_no_document(text: bytes, fields: str) -> None:
    if b"\n" in text:
        return
    program = f"counter n\njson {fields} {{\n  n++\n}}\n"
    counts = []
    for prefiltered in (True, False):
        machine = Machine(program, prefiltered=prefiltered)
        machine.feed(text + b"\n" + b"x" * 70 + b"\n" + text + b"\n")
        counts.append(machine.value("n"))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("depth", [999, 1000, 1001, 100_000])
def test_json_is_nested_a_thousand_deep(depth: int) -> None:
    text = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b',"id":1}'
    assert (read("json id", text, ["id"]) is not None) == (depth <= 1000)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("7", 7), ("-0", 0), ("1e3", 1000), ("2.0", 2), ("100e-2", 1), ("0.0e99999999999999999999", 0), ("1.5", None),
        ("9223372036854775807", 2**63 - 1), ("9223372036854775808", None), ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", None), ("9223372036854775807.0", 2**63 - 1), ("1e18", 10**18), ("1e19", None),
        ("0.1e1", 1), ("1e-1", None), ("123456789012345678901234567890e-20", None),
        ("10000000000000000000000e-20", 100),
        ("1" + "0" * 400 + "e-400", 1), ("0." + "0" * 400 + "1e401", 1), ("1e99999999999999999999", None),
    ],
)  # fmt: skip
def test_whole_numbers(number: str, value: int | None) -> None:
    machine = Machine("gauge g\njson a int {\n  g = $a\n}\n")
    machine.feed(b'{"a":%s}\n' % number.encode())
    if value is None:
        shown = number if len(number) <= 64 else number[:64]
        [fault] = machine.faults()
        assert fault.startswith(f'Field `a\' is not an int: "{shown}"')
    else:
        assert machine.value("g") == value


@pytest.mark.parametrize("number", ["1.5", "1e308", "-1e-400", "5e-324", "0.1", "123456789012345678"])
def test_numbers_as_floats(number: str) -> None:
    machine = Machine("gauge g\njson a float {\n  g = $a\n}\n")
    machine.feed(b'{"a":%s}\n' % number.encode())
    assert machine.value("g") == float(number)


# --- logfmt ------------------------------------------------------------------------------------------------------

BLANKS = " \t\v\f\r"
QUOTED = r'"((?:[^"\\]|\\.)*)(?:"|(\\?)$)'
LOGFMT = re.compile(
    rf'[{BLANKS}]*(?:{QUOTED}|(=[^{BLANKS}]*)|([^={BLANKS}"]+)(?:(=)(?:{QUOTED}|([^{BLANKS}]*)))?)', re.DOTALL
)
ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')


def logfmt(text: str) -> dict[str, str]:
    """The keys and values of a text, as §3.2 says it."""
    found = {}
    place = 0
    while (match := LOGFMT.match(text, place)) and match.end() > place:
        place = match.end()
        _, _, _, key, has_value, quoted, backslash, plain = match.groups()
        if key is None:
            continue
        if has_value is None:
            found[key] = "true"
        else:
            found[key] = plain if quoted is None else unescaped(quoted + (backslash or ""))
    return found


def unescaped(text: str) -> str:
    plain = ESCAPE.sub(
        lambda m: chr(int(m[1], 16)) if m[1] else dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))[m[2]], text
    )
    return re.sub("[\ud800-\udfff]", "\ufffd", plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


PIECES = st.sampled_from([
    "a=", "b=", "é=", "a", "b", "x", '"', '"', "=", " ", "  ", "\t", "\\", '\\"', "\\n", "\\u0041", "\\u12",
    "\\ud83d\\ude00", "\\ud83d", ",", "1", "€",
])  # fmt: skip


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
@example('a="\\')
@example('a="x\\" b=1')
def test_logfmt_as_an_independent_reader(text: str) -> None:
    if text.endswith("\r"):
        return
    found = read('logfmt a optional, b optional, "é" as e optional, x optional', text.encode(), ["a", "b", "e", "x"])
    wanted = logfmt(text)
    assert found == tuple(wanted.get(key, ABSENT) for key in ("a", "b", "é", "x"))


@pytest.mark.slow
@pytest.mark.parametrize("blank", BLANKS[:-1])
@pytest.mark.parametrize("rest", ["", "and a rest of more bytes than are compared at once"])
def test_words_of_logfmt_end_at_every_distance(blank: str, rest: str) -> None:
    """Words are compared in pieces of 16 bytes, and byte by byte at the end of the text."""
    for length in (0, 1, 13, 14, 15, 16, 17, 31):
        for byte in ("\x08", "\x0e", "é"):
            word = byte * length
            for text in (
                f'k{word}=v{word}"={blank}{rest}',
                f"k{word}{blank}j={word}{blank}{rest}",
                f'={word}"={blank}j=1{blank}{rest}',
                f'{word}"k{word}=1"j="{word}=\\"{blank}"{blank}{rest}',
            ):
                found = read(f'logfmt "k{word}" as k optional, j optional', text.encode(), ["k", "j"])
                wanted = logfmt(text)
                assert found == (wanted.get(f"k{word}", ABSENT), wanted.get("j", ABSENT)), text


@pytest.mark.parametrize("length", range(1, 36))
def test_names_are_compared_to_their_last_byte(length: int) -> None:
    name = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop"[:length]
    others = " ".join(f"{name[:at]}_{name[at + 1 :]}=0" for at in range(length))
    assert read(f"logfmt {name} optional", others.encode(), [name]) == (ABSENT,)
    assert read(f"logfmt {name} optional", f"{name}=1 {others}".encode(), [name]) == ("1",)


# --- CSV ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(['"', '"', ",", "a", "b", " ", ";", "é", "\\"]), max_size=12).map("".join))
def test_csv_as_an_independent_reader(text: str) -> None:
    found = read("csv 1 as a optional, 2 as b optional, 3 as c optional", text.encode(), ["a", "b", "c"])
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        assert found is None
        return
    columns = rows[0] if rows else [""]
    assert found == tuple(columns[at] if at < len(columns) else ABSENT for at in range(3))


@pytest.mark.parametrize("separator", [";", "\\t", "|", " "])
def test_separators(separator: str) -> None:
    text = 'a%s"b%sc"%s' % ((separator.replace("\\t", "\t"),) * 3)
    found = read(f'csv separator "{separator}" 1 as a, 2 as b, 3 as c', text.encode(), ["a", "b", "c"])
    assert found == ("a", "b{}c".format(separator.replace("\\t", "\t")), "")


# --- shared ------------------------------------------------------------------------------------------------------


def test_equal_patterns_of_programs_are_one() -> None:
    machine = Machine(
        "counter a\njson x int, y {\n  a += $x\n}\n", "counter b by k\njson x int as n, y as k {\n  b[$k] += $n\n}\n"
    )
    machine.feed(b'{"x":2,"y":"k"}\n')
    assert machine.value("a") == 2
    assert machine.values("b") == {("k",): 2}
    assert len(machine.engine.profile().patterns) == 1


def test_a_wrong_type_ends_each_program_for_the_line() -> None:
    text = "counter %s\njson x int {\n  %s++\n}\n/./ {\n  %s++\n}\n"
    machine = Machine(*(text.replace("%s", name) for name in ("a", "b")))
    machine.feed(b'{"x":"%s"}\n{"x":1}\n' % (b"y" * 100))
    assert (machine.value("a"), machine.value("b")) == (2, 2)
    assert machine.faults() == ['Field `x\' is not an int: "%s"...' % ("y" * 64)] * 2


# --- every -------------------------------------------------------------------------------------------------------


def counted(pattern: str, text: str, name: str = "k") -> list[str]:
    """The captures `name` of all rounds, in order."""
    machine = Machine(f'text all\nevery {pattern} {{\n  all += "<" + ${name} + ">"\n}}\n')
    machine.feed(text.encode("utf-8", "surrogateescape") + b"\n")
    assert machine.faults() == []
    found = machine.values("all").get((), b"")
    assert isinstance(found, bytes)
    return re.findall("<([^<>]*)>", found.decode("utf-8", "surrogateescape"))


@pytest.mark.slow
@settings(deadline=None)
@given(st.text("ab é", max_size=12), st.sampled_from(["a*", "a", r"\b", "^a|b", "[ab]+?", "", "é|a*", "(?:ab)*", "$"]))
def test_every_goes_through_the_matches_that_go_finds(text: str, regex: str) -> None:
    found = []
    last = -1
    for match in re.finditer(regex, text, re.ASCII):
        if match.start() != match.end() or match.start() != last:
            found.append(match[0])
        last = match.end()
    assert counted(f"/(?P<k>{regex})/", text) == found
    assert counted(f'"{text}" =~ /(?P<k>{regex})/', "x") == found


@pytest.mark.slow
@settings(deadline=None)
@given(OBJECTS)
def test_every_goes_through_the_elements(document: Any) -> None:
    text = json.dumps(dict_of(document))
    machine = Machine("counter n by v\nevery json a[] as v {\n  n[$v]++\n}\n")
    machine.feed(text.encode() + b"\n")
    value = at(document, ["a"])
    elements = value if isinstance(value, list) and not isinstance(value, Members) else []
    assert sum(machine.values("n").values()) == sum(each is not None for each in elements)


def dict_of(value: Any) -> Any:
    if isinstance(value, Members):
        return {name: dict_of(member) for name, member in value}
    return [dict_of(each) for each in value] if isinstance(value, list) else value


def test_elements_that_are_wanted_by_index_too() -> None:
    machine = Machine("counter n by x, first\nevery json a[].x, a[0].x as first {\n  n[$x][$first]++\n}\n")
    machine.feed(b'{"a":[{"x":1},{},{"x":2}]}\n{"a":[{}, {"x":1}]}\n')
    assert machine.values("n") == {("1", "1"): 1, ("2", "1"): 1}


def test_a_value_from_before_the_block_is_kept_through_all_rounds() -> None:
    machine = Machine(
        "counter n by a, b\ngauge g\n/^(?P<a>\\d+) (?P<rest>.*)/ {\n  g = $a * 2\n  every $rest =~ /(?P<b>\\d)/ {\n"
        "    n[string($a * 2)][$b]++\n    every $rest =~ /\\d/ {\n      $b == 1 {\n        g = $a * 2 + int($b)\n"
        "      }\n    }\n"
        '  }\n  n[string($a * 2)]["end"]++\n}\n'
    )
    machine.feed(b"21 1 2 3\n")
    assert machine.values("n") == {("42", "1"): 1, ("42", "2"): 1, ("42", "3"): 1, ("42", "end"): 1}
    assert machine.value("g") == 43


@pytest.mark.slow
def test_rounds_are_limited() -> None:
    machine = Machine("counter n\nevery /a/ {\n  every /a/ {\n    n++\n  }\n}\n")
    machine.feed(b"a" * 2000 + b"\n")
    assert machine.faults() == ["every ran 2000000 times for this line"]
    assert machine.value("n") < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "inner",
    [
        "every /[bc]+\\d/ {\n    n++\n  }",
        "every $line =~ /b+\\d/ {\n    n++\n  }",
        "!$line =~ logfmt c && !$line =~ json d {\n    n++\n  }",  # neither keeps what it found
        "$line =~ /b+\\d/ {\n    n++\n  }",
        'subst(/a+/, "", $line) == "b" {\n    n++\n  }',
        'subst("a", "", $line) == "b" {\n    n++\n  }',
    ],
)
def test_texts_that_rounds_go_through_are_limited(inner: str) -> None:
    """A line of 200,000 bytes would otherwise take minutes: each round looks at all of it."""
    machine = Machine(f"counter n\n/^(?P<line>.*)$/ {{\n  every /a/ {{\n  {inner}\n  }}\n}}\n")
    machine.feed(b"a" * 200_000 + b"b\n" + b"a" * 500 + b"b\n")
    assert machine.faults() == ["every went through too much text for this line"]


def test_else_of_every_and_otherwise() -> None:
    machine = Machine(
        'counter n by what\n/./ {\n  every /a/ {\n    n["a"]++\n  } else if /b/ {\n    n["b"]++\n  } else {\n'
        '    n["none"]++\n  }\n  otherwise {\n    n["otherwise"]++\n  }\n}\n'
    )
    machine.feed(b"aa\nb\nc\n")
    assert machine.values("n") == {("a",): 2, ("b",): 1, ("none",): 1, ("otherwise",): 1}
