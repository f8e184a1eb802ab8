"""`nativemtail compare` beside a real mtail: equal, different, and while lines flow."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Daemon, Place, append
from waiting import PATIENCE, wait_until

from nativemtail.app.compare import CompareError, Identity, Page, _differences, compare

PROGRAM = """counter lines_total
counter words_total by word
gauge last
text said
histogram sizes by word buckets 1, 10, 100
gauge dashed-name by z, a
/^(?P<word>\\w+) (?P<size>\\d+)$/ {
  words_total[$word]++
  last = $size
  said = $word
  sizes[$word] = $size
  dashed-name[$word]["x"] = $size
}
/$/ {
  lines_total++
}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path.resolve())
    (place.progs / "count.mtail").write_text(PROGRAM.replace("dashed-name", "pairs"))
    (place.logs / "a.log").touch()
    yield place
    place.close()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "nativemtail", "compare", "--patience", "0", *arguments]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=PATIENCE)


def url(daemon: Daemon) -> str:
    return f"http://{daemon.address}"


def both(place: Place) -> tuple[Daemon, Daemon]:
    return place.start_peer(), place.start()


@pytest.mark.slow
def test_equal(place: Place) -> None:
    theirs, ours = both(place)
    append(place.logs / "a.log", b"a 5\nb 50\na 500\nnothing\n")
    for daemon in (theirs, ours):
        daemon.wait_for("lines_total", 4)
    answer = command(url(theirs), url(ours))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "equal: 6 metrics with 9 label sets\n", "")


LOW = """histogram low by word buckets 1, 10
histogram zero buckets 0, 1, 10
histogram sizes by word buckets 1, 10
/^(?P<word>\\w+) (?P<size>-?\\d+)$/ {
  low[$word] = $size
  zero = $size
  sizes[$word] = 5
}
counter lines_total
/$/ {
  lines_total++
}
"""
LOWEST = (
    "values at or below the lowest bound are in no range of mtail's (before google/mtail's HEAD), here in the first"
)


@pytest.mark.slow
def test_values_at_the_lowest_bound_are_known(place: Place) -> None:
    (place.progs / "count.mtail").write_text(LOW)
    theirs, ours = both(place)
    append(place.logs / "a.log", b"a 1\na 0\na -7\na 2\nb 5\nb 50\n")
    for daemon in (theirs, ours):
        daemon.wait_for("lines_total", 6)
    answer = command(url(theirs), url(ours))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        f"known: count.mtail: low: {LOWEST}",
        f"known: count.mtail: zero: {LOWEST}",
        "equal but for what is known: 4 metrics with 6 label sets",
    ]


def histogram(first: int, second: int, count: int, total: float) -> Page:
    identity = Identity("p", "h", 5, 3, ())
    return Page({identity: {(): (count, total, (("+Inf", 0), ("1", first), ("10", second)))}}, frozenset())


@pytest.mark.parametrize(
    ("theirs", "known"),
    [
        (histogram(1, 2, 6, 9.0), True),
        (histogram(0, 2, 6, 9.0), True),
        (histogram(1, 2, 6, 8.0), False),
        (histogram(1, 2, 5, 9.0), False),
        (histogram(1, 1, 6, 9.0), False),
        (histogram(4, 3, 6, 9.0), False),
    ],
)
def test_only_what_is_known_is_excused(theirs: Page, known: bool) -> None:
    ours = histogram(4, 2, 6, 9.0)
    [found] = _differences(ours, theirs, ours)
    assert bool(found.known) == known


def test_label_values_that_are_not_utf8_are_known() -> None:
    page = Page({}, frozenset({"a 1"}))
    ours = Page({}, frozenset({"a 1", 'seen{word="\ufffd"}'}))
    [found] = _differences(ours, page, ours)
    assert found.known.startswith("mtail leaves label values that are not UTF-8 out")


@pytest.mark.slow
def test_histograms_with_a_key_le_are_known(place: Place) -> None:
    (place.progs / "count.mtail").write_text(
        PROGRAM.replace("dashed-name", "pairs") + "histogram h by le buckets 1, 2\n/^a/ {\n  h[$0] = 1.5\n}\n"
    )
    theirs, ours = both(place)
    append(place.logs / "a.log", b"a 5\nb 50\n")
    for daemon in (theirs, ours):
        wait_until(
            lambda daemon=daemon: (
                b"lines_total{prog=count.mtail} 2"
                in daemon.ask("/varz")[1].replace(b",instance=" + socket.gethostname().encode(), b"")
            )
        )
    answer = command(url(theirs), url(ours))
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.splitlines()[0].startswith("known: h: Prometheus refuses mtail's /metrics")


@pytest.mark.slow
def test_different_values(place: Place) -> None:
    theirs = place.start_peer()
    log = place.logs / "a.log"
    append(log, b"a 5\na 6\n")
    theirs.wait_for("lines_total", 2)
    ours = place.start()
    append(log, b"b 7\n")
    theirs.wait_for("lines_total", 3)
    ours.wait_for("lines_total", 1)
    answer = command(url(theirs), url(ours))
    assert answer.returncode == 1, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines == [
        "differs: count.mtail: lines_total is 3 in mtail, 1 in nativemtail",
        "only in mtail: count.mtail: pairs{z='a',a='x'} 6",
        "only in mtail: count.mtail: sizes{word='a'} count 2, sum 11, {'+Inf': 0, '1': 0, '10': 2, '100': 0}",
        "only in mtail: count.mtail: words_total{word='a'} 2",
        *(line for line in lines if line.startswith("only on mtail's /metrics: ") and "a" in line),
        lines[-1],
    ]
    assert lines[-1] == f"{len(lines) - 1} differences in 6 metrics with 9 label sets"
    short = command(url(theirs), url(ours), "--limit", "1").stdout.splitlines()
    assert short[1:] == [f"and {len(lines) - 2} more (--limit 0 shows all)", lines[-1]]


@pytest.mark.slow
def test_different_programs(place: Place, tmp_path: Path) -> None:
    theirs = place.start_peer()
    (place.progs / "count.mtail").write_text("gauge lines_total\n/$/ {\n  lines_total = 1\n}\n")
    ours = place.start()
    found = compare(url(theirs), url(ours)).differences
    assert "only in mtail: count.mtail: counter lines_total (Int)" in found
    assert "only in nativemtail: count.mtail: gauge lines_total (Int)" in found
    assert "only in mtail: count.mtail: counter words_total by word (Int)" in found


@pytest.mark.slow
def test_while_lines_flow(place: Place) -> None:
    theirs, ours = both(place)
    log = place.logs / "a.log"
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.002):
            append(log, f"a {number % 120}\nw{number % 7} 3\n".encode())
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: (theirs.value("lines_total") or 0) > 100)
        report = compare(url(theirs), url(ours), patience=PATIENCE)
    finally:
        stop.set()
        writer.join()
    assert report.differences == []


@pytest.fixture
def other() -> Iterator[str]:
    """A server that is no mtail."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'[{"surprise": 1}]')

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("127.0.0.1:1/metrics", "http://127.0.0.1:1"),
        ("file:///etc", "file:///etc"),
        ("nonsense.invalid", "http://nonsense.invalid"),
        ("http://", "http:"),
    ],
)
def test_what_cannot_be_asked(given: str, url: str) -> None:
    began = time.monotonic()
    answer = command("http://127.0.0.1:1", given)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"{url}/-/healthy: ")
    assert len(answer.stderr.splitlines()) == 1
    assert "[Errno" not in answer.stderr
    assert time.monotonic() - began < PATIENCE


@pytest.mark.slow
def test_what_is_no_mtail(place: Place, other: str) -> None:
    ours = place.start()
    with pytest.raises(CompareError, match="is not mtail's JSON"):
        compare(other, url(ours))


def test_mtail_is_not_taken_for_ours(place: Place) -> None:
    """Both have the same port by default; compared with itself mtail would be equal."""
    theirs = place.start_peer()
    with pytest.raises(CompareError, match="is no nativemtail: give its URL after mtail's"):
        compare(url(theirs), url(theirs))


@pytest.mark.slow
def test_pages_and_hosts_will_do(place: Place) -> None:
    theirs, ours = both(place)
    append(place.logs / "a.log", b"a 5\n")
    for daemon in (theirs, ours):
        daemon.wait_for("lines_total", 1)
    assert compare(f"{theirs.address}/metrics", f"{url(ours)}/json/").differences == []
