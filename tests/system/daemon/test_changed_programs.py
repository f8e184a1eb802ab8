"""Programs change while lines flow: noticing it, values that survive, failures that change nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from daemons import COUNT, Daemon, Place, append
from waiting import wait_until

OTHER = b"counter others\n/$/ {\n  others++\n}\n"
BAD = b"counter others\n/$/ {\n  nothing++\n}\n"


def loads(daemon: Daemon, program: str) -> int:
    return daemon.log.count(f"Loaded program {program}\n")


def wait_loaded(daemon: Daemon, program: str, times: int) -> None:
    wait_until(lambda: loads(daemon, program) == times, lambda: daemon.log)


def page(daemon: Daemon) -> str:
    return daemon.ask("/")[1].decode()


@pytest.fixture
def log(place: Place) -> Path:
    log = place.logs / "a.log"
    log.touch()
    return log


def in_place(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def renamed_over(path: Path, text: bytes) -> None:
    """As sed -i does, and most editors."""
    fresh = path.with_name(".fresh")
    fresh.write_bytes(text)
    fresh.rename(path)


def with_backup(path: Path, text: bytes) -> None:
    """As vim does: a probe, the old file aside, a new one, the old one removed."""
    probe = path.with_name("4913")
    probe.touch()
    probe.unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_bytes(text)
    backup.unlink()


def slowly(path: Path, text: bytes) -> None:
    """In pieces; what is there in between does not compile."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(text), 16):
            file.write(text[at : at + 16])
            time.sleep(0.002)


def configmap(path: Path, text: bytes) -> None:
    """As Kubernetes does: the names are links through a link that is replaced."""
    data = path.parent / f"..{time.monotonic_ns()}"
    data.mkdir()
    (data / path.name).write_bytes(text)
    (path.parent / "..fresh").symlink_to(data.name)
    (path.parent / "..fresh").rename(path.parent / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(f"..data/{path.name}")


@pytest.mark.parametrize("write", [in_place, renamed_over, with_backup, slowly, configmap], ids=lambda w: w.__name__)
def test_ways_to_write_a_program(write: Callable[[Path, bytes], None], place: Place, log: Path) -> None:
    program = place.progs / "count.mtail"
    daemon = place.start()
    append(log, b"a 1\n")
    daemon.wait_for("lines_total", 1)
    for turn in (2, 3):
        write(program, b"\n" * turn + COUNT.replace(b"lines_total++", b"lines_total += %d" % turn))
        wait_loaded(daemon, "count.mtail", turn)
        append(log, b"a 1\n")
        daemon.wait_for("lines_total", sum(range(1, turn + 1)))
    metrics = daemon.metrics()
    assert metrics["mtail_prog_loads_total"] == 3
    assert metrics["words_total{word=a}"] == 3
    assert "Unloaded" not in daemon.log
    assert "compile failed" not in daemon.log


def test_a_broken_program_leaves_the_old_one_running(place: Place, log: Path) -> None:
    daemon = place.start()
    (place.progs / "count.mtail").write_bytes(BAD)
    wait_until(lambda: "compile failed for count.mtail" in daemon.log)
    append(log, b"a 1\n")
    daemon.wait_for("lines_total", 1)
    assert daemon.value("mtail_prog_load_errors_total") == 1
    assert "count.mtail:3:3-9: Identifier" in page(daemon)
    (place.progs / "count.mtail").write_bytes(COUNT)
    daemon.send(signal.SIGHUP)
    wait_until(lambda: "Identifier" not in page(daemon))
    assert loads(daemon, "count.mtail") == 1


def test_programs_come_and_go(place: Place, log: Path) -> None:
    daemon = place.start()
    (place.progs / "other.mtail").write_bytes(OTHER)
    wait_loaded(daemon, "other.mtail", 1)
    append(log, b"one\n")
    daemon.wait_for("others_total", 1)
    (place.progs / "other.mtail").unlink()
    daemon.wait_for("others_total", None)
    append(log, b"two\n")
    daemon.wait_for("lines_total", 2)
    assert "Unloaded program other.mtail" in daemon.log


def test_no_watching(place: Place, log: Path) -> None:
    daemon = place.start("--no-watch_progs")
    (place.progs / "other.mtail").write_bytes(OTHER)
    append(log, b"one\n")
    daemon.wait_for("lines_total", 1)
    time.sleep(0.6)  # longer than a watcher would wait
    assert "Loaded program other.mtail" not in daemon.log
    daemon.send(signal.SIGHUP)
    wait_loaded(daemon, "other.mtail", 1)


def test_single_program_file(place: Place, log: Path) -> None:
    program = place.progs / "count.mtail"
    daemon = place.start(progs=program)
    renamed_over(program, COUNT + b"\n")
    wait_loaded(daemon, "count.mtail", 2)
    program.unlink()
    daemon.wait_log("stat ")
    append(log, b"one\n")
    daemon.wait_for("lines_total", 1)


def test_programs_of_several_places(place: Place, log: Path) -> None:
    more = place.root / "more"
    more.mkdir()
    (more / "other.mtail").write_bytes(OTHER)
    daemon = place.start("--progs", f"{more},{more / 'other.mtail'}")
    (more / "count.mtail").write_bytes(BAD)
    clash = f"{more}/count.mtail is left out: {place.progs}/count.mtail has the same name; rename one of them"
    daemon.wait_log(clash)
    assert clash in page(daemon)
    (more / "count.mtail").rename(more / "third.mtail")
    (more / "third.mtail").write_bytes(COUNT.replace(b"lines", b"thirds"))
    wait_loaded(daemon, "third.mtail", 1)
    append(log, b"one\n")
    for name in ("lines_total", "others_total", "thirds_total"):
        daemon.wait_for(name, 1)


COUNTER = b"counter c by x\n/(?P<x>\\w+)/ {\n  c[$x]++\n}\n"
GAUGE = b"gauge c by x\n/(?P<x>\\w+)/ {\n  c[$x] = 1\n}\n"
HISTOGRAM = b"histogram c by x buckets 1, 2\n/(?P<x>\\w+)/ {\n  c[$x] = 1\n}\n"


@pytest.mark.parametrize(
    ("before", "after", "survives"),
    [
        (COUNTER, b"\n\n" + COUNTER, True),
        (COUNTER, COUNTER.replace(b"by x", b"by x limit 5"), True),
        (COUNTER, COUNTER.replace(b"by x", b"by y"), False),
        (GAUGE, GAUGE.replace(b"1", b"1.5"), False),
        (HISTOGRAM, HISTOGRAM.replace(b"2", b"3"), False),
        (HISTOGRAM, HISTOGRAM.replace(b"$x] = 1", b"$x] = 1.5"), True),
    ],
    ids=["moved", "limit", "other keys", "other type", "other buckets", "same buckets"],
)
def test_what_survives(before: bytes, after: bytes, survives: bool, place: Place, log: Path) -> None:
    program = place.progs / "c.mtail"
    program.write_bytes(before)
    daemon = place.start("--no-watch_progs")
    append(log, b"word\n")
    daemon.wait_for("lines_total", 1)
    assert any(key.startswith("c") and "word" in key for key in daemon.metrics())
    program.write_bytes(after)
    daemon.send(signal.SIGHUP)
    wait_loaded(daemon, "c.mtail", 2)
    assert any(key.startswith(("c{", "c_")) and "word" in key for key in daemon.metrics()) == survives


def test_filter_changes_with_its_program(place: Place, log: Path) -> None:
    other = place.logs / "b.log"
    other.touch()
    program = place.progs / "f.mtail"
    text = 'counter seen_total\nlog_filter "%s"\n/$/ {\n  seen_total++\n}\n'
    program.write_text(text % log)
    daemon = place.start()
    append(other, b"one\n")
    append(log, b"one\n")
    daemon.wait_for("lines_total", 2)
    assert daemon.value("seen_total") == 1
    program.write_text((text % other).replace("++", " += 10"))
    wait_loaded(daemon, "f.mtail", 2)
    append(log, b"two\n")
    append(other, b"two\n")
    daemon.wait_for("lines_total", 4)
    assert daemon.value("seen_total") == 11


def slow_patterns(count: int) -> bytes:
    return b"".join(b"/^%d (a|b|c){1,40}[^x]{1,200}x?\\w+$/ {\n  slow++\n}\n" % number for number in range(count))


def test_lines_flow_while_programs_compile(place: Place, log: Path) -> None:
    """A program that takes long to compile keeps no line waiting, and each line meets the old or the new program."""
    daemon = place.start("--no-watch_progs")
    (place.progs / "slow.mtail").write_bytes(b"hidden counter slow\n" + slow_patterns(400))
    daemon.send(signal.SIGHUP)
    daemon.wait_log("Received hangup")
    written = 0
    longest = 0.0
    began = time.monotonic()
    while loads(daemon, "slow.mtail") == 0:
        append(log, b"line\n")
        written += 1
        begin = time.monotonic()
        daemon.wait_for("lines_total", written)
        longest = max(longest, time.monotonic() - begin)
    assert written > 3
    assert longest < (time.monotonic() - began) / 2
    append(log, b"line\n")
    daemon.wait_for("lines_total", written + 1)


def test_ends_while_programs_compile(place: Place, log: Path) -> None:
    daemon = place.start("--no-watch_progs")
    (place.progs / "slow.mtail").write_bytes(b"hidden counter slow\n" + slow_patterns(2000))
    daemon.send(signal.SIGHUP)
    daemon.wait_log("Received hangup")
    append(log, b"line\n")
    daemon.wait_for("lines_total", 1)
    assert daemon.stop() == 0
    assert "Loaded program slow.mtail" not in daemon.log


def test_every_line_once_while_reloading(place: Place, log: Path) -> None:
    daemon = place.start("--no-watch_progs")
    program = place.progs / "count.mtail"
    stopping = threading.Event()

    def reload() -> None:
        while not stopping.is_set():
            renamed_over(program, COUNT + b"#%d\n" % time.monotonic_ns())  # written in place it may be read empty
            daemon.send(signal.SIGHUP)
            stopping.wait(0.05)

    thread = threading.Thread(target=reload)
    thread.start()
    block = b"a 1\n" * 5000
    try:
        for turn in range(4):
            wait_until(lambda turn=turn: loads(daemon, "count.mtail") > turn, lambda: daemon.log)
            for _ in range(25):
                append(log, block)
        daemon.wait_for("lines_total", 500_000)
    finally:
        stopping.set()
        thread.join()
    metrics = daemon.metrics()
    assert metrics["words_total{word=a}"] == 500_000
    assert metrics["sizes_count"] == 500_000


def test_begin_runs_at_each_load(place: Place, log: Path) -> None:
    program = place.progs / "b.mtail"
    text = b"gauge version\ncounter starts_total\nbegin {\n  version = %d\n  starts_total++\n}\n"
    program.write_bytes(text % 1)
    daemon = place.start()
    assert daemon.value("version") == 1
    program.write_bytes(text % 2)
    wait_loaded(daemon, "b.mtail", 2)
    assert daemon.value("version") == 1, "values that were there win (spec successor.md §2.3)"


def test_nothing_happens_when_nothing_changed(place: Place) -> None:
    daemon = place.start()
    daemon.send(signal.SIGHUP)
    daemon.wait_log("Received hangup")
    os.utime(place.progs / "count.mtail")
    (place.progs / "README").write_text("no program")
    time.sleep(0.5)
    assert loads(daemon, "count.mtail") == 1


def test_errors_outlive_a_reload(place: Place, log: Path) -> None:
    program = place.progs / "fail.mtail"
    text = b"counter n\n/x(?P<x>\\w+)$/ {\n  n = strtol($x, 1)\n}\n"
    program.write_bytes(text)
    daemon = place.start()
    append(log, b"x1\n")
    daemon.wait_for("mtail_prog_runtime_errors_total", 1)
    program.write_bytes(b"\n" + text)
    wait_loaded(daemon, "fail.mtail", 2)
    assert "base 1" in page(daemon)
    append(log, b"x2\n")
    daemon.wait_for("mtail_prog_runtime_errors_total", 2)
    assert daemon.stop() == 0
    assert daemon.log.count("fail.mtail: Runtime error") == 2


@pytest.mark.parametrize("name", [b"b\xffd.mtail", b"\xe2\x82<&\"'.mtail"])
def test_a_program_whose_name_is_not_utf8_is_on_every_page(name: bytes, place: Place, log: Path) -> None:
    directory = os.fsencode(place.progs) + b"/"
    Path(os.fsdecode(directory + name)).write_bytes(OTHER)
    Path(os.fsdecode(directory + b"broken" + name)).write_bytes(BAD)
    daemon = place.start("--cache_dir", str(place.root / "cache"))
    append(log, b"x\n")
    daemon.wait_for("others_total", 1)
    shown = "".join(chr(byte) if byte < 128 else "\ufffd" for byte in name)
    where = "?prog=" + quote(name)
    for path in ("/", "/metrics", "/metrics.json", "/json", "/varz", "/graphite", "/progz", "/profile", "/debug/vars"):
        status, body = daemon.ask(path)
        assert status == 200, path
        body.decode()
    assert daemon.ask("/progz" + where)[0] == daemon.ask("/progz?prog=" + quote(shown))[0] == 200
    [only] = [each for each in json.loads(daemon.ask("/json")[1]) if each["Name"] == "others"]
    assert only["Program"] == shown
    costs = json.loads(daemon.ask("/profile", {"Accept": "application/json"})[1])
    assert shown in [program["name"] for program in costs["programs"]]
    assert f"compile failed for broken{shown}: broken{shown}:3:3-9: " in daemon.log
    assert daemon.stop() == 0
    daemon = place.start("--cache_dir", str(place.root / "cache"))
    assert f"Loaded program {shown}\n" in daemon.log


def test_a_program_that_is_no_file_stops_no_other(place: Place, log: Path) -> None:
    (place.progs / "a.mtail").symlink_to("/")
    with (place.progs / "b.mtail").open("wb") as file:
        file.truncate(200 << 30)
    daemon = place.start()
    append(log, b"x\n")
    daemon.wait_for("lines_total", 1)
    (place.progs / "c.mtail").write_bytes(OTHER)
    wait_loaded(daemon, "c.mtail", 1)
    append(log, b"x\n")
    daemon.wait_for("others_total", 1)
    text = daemon.ask("/metrics")[1].decode()
    for name, errors in ("a", 1), ("b", 1), ("c", 0):
        assert f'mtail_prog_load_errors_total{{prog="{name}.mtail"}} {errors}.0\n' in text
    assert "not a regular file" in page(daemon)
    assert "larger than 16 MiB" in page(daemon)
