"""The status page and the profile: what they show, and that nothing on them can do harm."""

from __future__ import annotations

import struct
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail._core import Fault
from nativemtail.http import pages
from nativemtail.telemetry.costs import Costs, MetricSize, PatternCost, ProgramCost
from nativemtail.telemetry.model import ProgramState, SourceState

ELEMENTS = """html head meta link title style body main header h1 h2 h3 p nav span b a dl div dt dd small section table
    thead tbody tr th td code pre ul li"""
ATTRIBUTES = "lang charset name content rel href class id scope colspan title data-label"
VOID = {"meta", "link"}


class Page(HTMLParser):
    """Collects texts by the element that holds them, and checks that elements nest."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS.split()
        assert {name for name, _ in attrs} <= set(ATTRIBUTES.split())
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag != "style")


def show(**state: object) -> Page:
    options = {"addresses": ["127.0.0.1:3903"], "build": "b", "uptime": 1.0, **state}
    return Page(pages.status(pages.Status(**options)))  # type: ignore[arg-type]


FAULT = Fault("a.mtail", "oh <no>", 12, "/x", b"<script>\x1b[0m \xff \xe2\x80\xae end")


def test_parts() -> None:
    page = show()
    assert page.ids == ["loader", "tailer"]
    assert ("title", "nativemtail on 127.0.0.1:3903") in page.texts
    assert ("h1", "nativemtail on 127.0.0.1:3903") in page.texts
    assert ("h2", "Program Loader") in page.texts
    assert ("h2", "Log Tailer") in page.texts
    metrics = ["/metrics", "/metrics.json", "/json", "/graphite"]
    assert page.links[1:] == [*metrics, "/varz", "/progz", "/profile", "/debug/vars"]
    assert "No program has been found yet." in page.text()


def test_programs() -> None:
    programs = [
        ProgramState(name="b", running=True, loads=1, load_errors=1, error="b:1:1: <bad>"),
        ProgramState(
            name="a", running=True, lines=1234567, runtime_errors=3, last_fault=FAULT, warnings=["<w1>", "w2"]
        ),
        ProgramState(name="c", error="worse"),
        ProgramState(name="d", unloads=1),
    ]
    page = show(programs=programs)
    states = [text for _, text in page.texts if text in ("running", "running, outdated", "failed", "unloaded")]
    assert states == ["running", "running, outdated", "failed", "unloaded"]
    assert "1,234,567" in page.text()
    assert ("pre", "b:1:1: <bad>") in page.texts
    assert ("pre", "<script>\\x1b[0m \\xff \\u202e end") in page.texts
    assert ("pre", "<w1>\nw2") in page.texts
    assert "at line 12 of a.mtail" in page.text()
    assert "of 3 running" in page.text()
    assert [link for link in page.links if "prog=" in link] == ["/progz?prog=a", "/progz?prog=b"]


def test_sources() -> None:
    sources = [
        SourceState(name="/b", lines=5, bytes=1_500_000, lag=2048, opens=1, truncations=2, errors=3),
        SourceState(name="/a\udcff", lag=0),
        SourceState(name="/gone", active=False),
        SourceState(name="udp://:1"),
    ]
    page = show(sources=sources, patterns=["/var/*.log"], dropped={"kernel": 4, "none": 0})
    names = [text for tag, text in page.texts if tag == "code"]
    assert names == ["/var/*.log", "/a\\xff", "/b", "udp://:1"]
    assert "1.5 MB" in page.text()
    assert "2.05 kB" in page.text()
    assert "4 dropped: kernel" in page.text()
    assert "none" not in page.text()


@pytest.mark.parametrize(("count", "items", "more"), [(100, 100, ""), (101, 101, "1 more"), (5000, 101, "4,900 more")])
def test_many_problems(count: int, items: int, more: str) -> None:
    text = pages.status(
        pages.Status(addresses=[], build="", uptime=0, problems={f"/log/{i}": "is compressed" for i in range(count)})
    ).decode()
    assert text.count("<li>") == items
    assert (f"<li>{more}</li>" in text) == bool(more)
    assert f"{count:,} not read" in text


def test_not_ready() -> None:
    assert "loading <programs>" in show(not_ready="loading <programs>").text()


def pattern(text: str = "a (b+)", **more: object) -> PatternCost:
    cost = {
        "is_regex": True,
        "prefilter": "'a '",
        "engine": "PCRE2",
        "captures": 1,
        "why": "its prefilter",
        "hint": "",
        "tried": 2000,
        "samples": 9,
    }
    return PatternCost(**{"pattern": text, "matched": 1500, "seconds": 0.5, **cost, **more})  # type: ignore[arg-type]


def program(name: str, seconds: float, *patterns: PatternCost) -> ProgramCost:
    return ProgramCost(name=name, why="runs here", lines=9000, runs=2000, samples=8, seconds=seconds, patterns=patterns)


def test_a_field_pattern_has_no_slashes() -> None:
    costs = Costs(programs=[program("p", 1.0, pattern("json a", is_regex=False), pattern("a b"))])
    page = pages.profile(costs).decode()
    assert "<code>json a</code>" in page
    assert "<code>/a b/</code>" in page


def test_profile() -> None:
    dear = program("dear", 1.5, pattern("x", hint="say [^ ]*"), pattern("y"))
    costs = Costs(
        lines=10_000, seconds=2.0, prefilter_seconds=0.25, rest_seconds=0.249, programs=[program("cheap", 0.001), dear]
    )
    page = Page(pages.profile(costs))
    assert page.ids == ["programs", "p0", "p1", "metrics"]
    assert page.links[1:] == ["/", "#p0", "#p1"]
    cells = [text for tag, text in page.texts if tag in ("dd", "td", "code", "h2") or text in ("dear", "cheap")]
    assert cells[:17] == [
        *("10,000", "2", "2.000 s", "12.5 %", "12.4 %", "Programs"),
        *("dear", "2,000", "9,000", "8", "1.500 s", "75.0 %", "cheap", "2,000", "9,000", "8", "1 ms"),
    ]
    row = ["1", "2,000", "1,500", "9", "0.500 s", "25.0 %", "'a '"]
    assert cells[18:] == ["dear", "/x/", "PCRE2", *row, "/y/", "PCRE2", *row, "cheap", "Metrics"]
    assert [text for tag, text in page.texts if tag == "p" and "Hint" in text] == ["Hint: say [^ ]*."]
    assert "It has no patterns." in page.text()


def test_sizes_on_the_profile() -> None:
    sizes = [MetricSize(f"<{number}>", "m", 1000, 5_000_000 - number) for number in range(150)]
    page = Page(pages.profile(Costs(metrics=sizes)))
    assert "<99>" in page.text()
    assert "<100>" not in page.text()
    assert "The 100 largest; 50 smaller ones are not shown." in page.text()
    assert "5 MB" in page.text()


def test_profile_of_nothing() -> None:
    assert "No program is running." in Page(pages.profile(Costs())).text()


HOSTILE = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"'`\0\x1b\u202e\u2028\udcff"), max_size=40
)


@pytest.mark.slow
@given(HOSTILE, HOSTILE, st.binary(max_size=60))
def test_hostile_texts_stay_texts(name: str, text: str, line: bytes) -> None:
    fault = Fault("a.mtail", text, 1, name, line)
    page = show(
        addresses=[name],
        build=text,
        not_ready=text,
        programs=[ProgramState(name=name, running=True, error=text, last_fault=fault)],
        sources=[SourceState(name=name)],
        patterns=[text],
        dropped={text: 1},
    )
    assert page.ids == ["loader", "tailer"]
    assert not set(page.text()) & set("\0\x1b\u202e\u2028\u2066")


@given(HOSTILE)
def test_hostile_programs_stay_texts_on_the_profile(text: str) -> None:
    costs = Costs(programs=[program(text, 1.0, pattern(text, prefilter=text, engine=text, why=text, hint=text))])
    page = Page(pages.profile(costs))
    assert page.ids == ["programs", "p0", "metrics"]
    assert not set(page.text()) & set("\0\x1b\u202e\u2028\u2066")


def test_long_texts_are_cut() -> None:
    fault = Fault("a.mtail", "m", 1, "s", b"x" * 10_000_000)
    programs = [ProgramState(name="a", error="e" * 10_000_000, last_fault=fault)]
    page = pages.status(pages.Status(addresses=[], build="", uptime=0, programs=programs))
    assert len(page) < 50_000
    assert "more bytes" in page.decode()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (93784, "1 d 2 h")]
)
def test_uptime(seconds: float, text: str) -> None:
    assert ("dd", text) in show(uptime=seconds).texts


def test_favicon() -> None:
    reserved, kind, count, width, height, _, _, _, bits, size, offset = struct.unpack_from(
        "<HHHBBBBHHII", pages.FAVICON
    )
    assert (reserved, kind, count, width, height, bits) == (0, 1, 1, 32, 32, 32)
    assert pages.FAVICON[offset:].startswith(b"\x89PNG")
    assert len(pages.FAVICON) == offset + size


@pytest.mark.slow
def test_a_run_time_error_reads_as_in_the_log() -> None:
    fault = Fault("a.mtail", "division by zero", 3, "/var/log/x", b"a\tb\x1b\xff")
    assert pages.fault_text(fault) == str(fault)
    assert "\nError occurred, originating in a.mtail at line 3\n" in str(fault)
    long = pages.fault_text(Fault("a.mtail", "m", 3, "/x", b"x" * 1_000_000))
    assert len(long) < 20_000
    assert long.endswith("…")
