"""The running daemon beside mtail: latency, idle cost, scrapes, and a soak (see perf/README.md).

python perf/daemon.py latency idle scrape soak --record
python perf/daemon.py soak --seconds 180 --subjects nativemtail
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from report import RESULTS, machine, stem_name, versions

MEGABYTE = 1_000_000
PATIENCE = 60.0
WORDS = [f"word{number:02d}" for number in range(50)]

PROBE = "gauge probe\n/^probe (?P<number>\\d+)$/ {\n  probe = $number\n}\n"
SERIES = "counter series_total by a, b\n/^series (?P<a>\\w+) (?P<b>\\w+)$/ {\n  series_total[$a][$b]++\n}\n"
SOAK = """counter lines_total
counter words_total by word
histogram sizes buckets 0, 100, 1000, 10000
/^\\d+ (?P<word>\\w+) (?P<size>\\d+) / {
  words_total[$word]++
  sizes = $size
}
/$/ {
  lines_total++
}
"""


@dataclass
class Subject:
    """A running daemon."""

    name: str
    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def value(self, name: str) -> float | None:
        """The first sample of that name, with labels or without."""
        page = self.get(f"/metrics?name[]={name.partition('{')[0]}").decode()
        found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else None

    def wait(self, name: str, value: float, patience: float = PATIENCE) -> bool:
        end = time.monotonic() + patience
        while (seen := self.value(name)) != value:
            if time.monotonic() > end:
                print(f"{self.name}: {name} is {seen}, not {value}", file=sys.stderr)
                return False
            time.sleep(0.05)
        return True

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(name: str, command: list[str], program: str, logs: str, place: Path) -> Iterator[Subject]:
    progs = place / "progs"
    progs.mkdir(exist_ok=True)
    (progs / "program.mtail").write_text(program)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-progs", str(progs), "-logs", logs, "-address", "127.0.0.1", "-port", str(port)]
    with (place / f"{name}.log").open("wb") as errors:
        process = subprocess.Popen([*command, *arguments], stdout=errors, stderr=errors, stdin=subprocess.DEVNULL)
    subject = Subject(name, process, port)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                subject.get("/metrics")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit((place / f"{name}.log").read_text()) from None
                time.sleep(0.02)
        yield subject
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


# --- scenarios -----------------------------------------------------------------------------------------------


def latency(name: str, command: list[str], place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds from a line's write to the first scrape that shows it; the scrapes follow each other at once."""
    log = place / "probe.log"
    log.touch()
    took = []
    with running(name, command, PROBE, str(log), place) as subject, log.open("ab", buffering=0) as file:
        time.sleep(1)
        connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=PATIENCE)
        for number in range(1, options.probes + 1):
            time.sleep(0.005 + 0.02 * (number * 0.618 % 1))
            begin = time.perf_counter()
            file.write(b"probe %d\n" % number)
            shown = re.compile(rb"^probe(?:{[^}]*})? %d$" % number, re.MULTILINE)
            while True:
                connection.request("GET", "/metrics?name[]=probe")
                if shown.search(connection.getresponse().read()):
                    break
            took.append(1000 * (time.perf_counter() - begin))
    took.sort()
    return {"p50_ms": statistics.median(took), "p99_ms": took[len(took) * 99 // 100], "max_ms": took[-1]}


def idle(name: str, command: list[str], place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Percent of a core that is used while nobody writes to the logs."""
    logs = place / "quiet"
    logs.mkdir(exist_ok=True)
    for number in range(options.files):
        (logs / f"{number}.log").write_text("old\n")
    with running(name, command, PROBE, f"{logs}/*.log", place) as subject:
        time.sleep(3)
        before = subject.cpu_seconds()
        time.sleep(options.idle_seconds)
        used = subject.cpu_seconds() - before
        return {"cpu_percent": 100 * used / options.idle_seconds, "memory_MB": subject.memory() / MEGABYTE}


def scrape(name: str, command: list[str], place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds for a whole answer of `/metrics`, and as the daemon itself counts the rendering."""
    log = place / "series.log"
    log.touch()
    with running(name, command, SERIES, str(log), place) as subject:
        time.sleep(1)
        with log.open("ab") as file:
            for number in range(options.series):
                file.write(b"series host%d path%d\n" % (number % 100, number))
        if not subject.wait("mtail_lines_total", options.series):
            raise SystemExit(f"{name} did not read the lines in time")
        before = subject.value("scrape_latency_sum")
        took = []
        for _ in range(options.scrapes):
            begin = time.perf_counter()
            page = subject.get("/metrics")
            took.append(1000 * (time.perf_counter() - begin))
        after = subject.value("scrape_latency_sum")
        result = {"series": page.count(b"\nseries_total{"), "median_ms": statistics.median(took), "max_ms": max(took)}
        if before is not None and after is not None:
            result["rendering_ms"] = 1000 * (after - before) / options.scrapes
        return result


def soak(name: str, command: list[str], place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Logs at a steady rate, rotated and with reloads all the while: exact counts, flat memory."""
    log = place / "soak.log"
    log.touch()
    block, words = _block()
    lines = block.count(b"\n")
    program = place / "progs" / "program.mtail"
    memory: list[int] = []
    blocks = reloads = rotations = 0
    with running(name, command, SOAK, str(log), place) as subject:
        begin = next_rotation = next_reload = next_sample = time.monotonic()
        file = log.open("ab", buffering=0)
        while (now := time.monotonic()) < begin + options.seconds:
            file.write(block)
            blocks += 1
            if now >= next_rotation:
                next_rotation += options.rotate
                rotations += 1
                log.rename(f"{log}.{rotations}")
                file.write(block)  # to the old file, as writers do that have not noticed yet
                blocks += 1
                file.close()
                file = log.open("ab", buffering=0)
                Path(f"{log}.{rotations - 5}").unlink(missing_ok=True)
            if now >= next_reload:
                next_reload += options.reload
                reloads += 1
                program.write_text(f"{SOAK}# {reloads}\n")
                if reloads % 2:
                    subject.process.send_signal(signal.SIGHUP)
            if now >= next_sample:
                next_sample += options.seconds / 100
                memory.append(subject.memory())
            time.sleep(max(0.0, begin + blocks * len(block) / (options.rate * MEGABYTE) - time.monotonic()))
        seconds = time.monotonic() - begin
        file.close()
        exact = subject.wait("lines_total", blocks * lines, options.seconds + PATIENCE)
        behind = time.monotonic() - begin - seconds
        page = subject.get("/metrics").decode()
        for word, count in words.items():
            exact &= bool(re.search(rf'^words_total{{.*word="{word}"}} {_go(count * blocks)}$', page, re.MULTILINE))
        loads = subject.value("mtail_prog_loads_total")
        cpu = subject.cpu_seconds()
    late = memory[len(memory) // 5 :]
    half = len(late) // 2
    return {
        "exact": exact,
        "lines": blocks * lines,
        "MB_per_s": blocks * len(block) / seconds / MEGABYTE,
        "rotations": rotations,
        "loads": loads or 0,
        "seconds_behind_at_end": behind,
        "cpu_percent": 100 * cpu / seconds,
        "memory_MB_first_half": max(late[:half], default=0) / MEGABYTE,
        "memory_MB_second_half": max(late[half:], default=0) / MEGABYTE,
    }


def _block() -> tuple[bytes, dict[str, int]]:
    """About half a megabyte of lines, and how often each word is in it."""
    words: dict[str, int] = {}
    lines = []
    for number in range(5000):
        word = WORDS[number * number % len(WORDS)]
        words[word] = words.get(word, 0) + 1
        lines.append(f"{number} {word} {number * 7 % 20000} {'x' * (number % 150)}\n")
    return "".join(lines).encode(), words


def _go(value: int) -> str:
    """A whole number as Prometheus text has it."""
    text = f"{value:e}"
    _mantissa, _, exponent = text.partition("e")
    digits = str(value).rstrip("0")
    if int(exponent) < 21 and value < 1_000_000:
        return str(value)
    shown = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return re.escape(f"{shown}e+{int(exponent):02d}")


# --- the command ---------------------------------------------------------------------------------------------

SCENARIOS: dict[str, Callable[[str, list[str], Path, argparse.Namespace], dict[str, float]]] = {
    "latency": latency,
    "idle": idle,
    "scrape": scrape,
    "soak": soak,
}
PEER_FLAGS = ["-logtostderr"]
SIZES = ("probes", "files", "idle_seconds", "series", "scrapes", "seconds", "rate", "rotate", "reload")


def main() -> int:
    options = _options()
    about = machine()
    subjects = {"nativemtail": options.nativemtail.split()}
    if peer := shutil.which(options.mtail):
        subjects["mtail"] = [peer, *PEER_FLAGS]
    if shutil.which(subjects["nativemtail"][0]) is None:
        raise SystemExit(f"daemon: {options.nativemtail} is not there; --nativemtail names another")
    failed = False
    results: list[dict[str, object]] = []
    for scenario, name in itertools.product(options.scenarios, options.subjects or subjects):
        with tempfile.TemporaryDirectory(prefix="nativemtail-perf-", dir=options.directory) as directory:
            found = SCENARIOS[scenario](name, subjects[name], Path(directory), options)
        shown = ", ".join(f"{key} {value:.6g}" for key, value in found.items())
        print(f"{scenario:8} {name:12} {shown}", flush=True)
        results.append({"scenario": scenario, "subject": name, **found})
        failed |= name == "nativemtail" and not found.get("exact", True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    if options.record:
        _record(about, versions(subjects), results, options)
    return int(failed)


def _record(
    about: dict[str, str | int],
    software: dict[str, str],
    results: list[dict[str, object]],
    options: argparse.Namespace,
) -> None:
    """Write the results where those of `bench.py` are."""
    now = datetime.datetime.now(datetime.UTC)
    lines = [f"# The daemon, {now:%Y-%m-%d %H:%M} UTC, {about['cpu']}", ""]
    lines += [f"- {key}: {value}" for key, value in {**about, **software}.items()]
    sizes = {name: getattr(options, name) for name in SIZES}
    lines.append("- " + ", ".join(f"{name} {value:g}" for name, value in sizes.items()))
    for scenario in options.scenarios:
        found = {str(result["subject"]): result for result in results if result["scenario"] == scenario}
        lines += ["", f"| {scenario} | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
        for key in dict.fromkeys(key for result in found.values() for key in result):
            if key not in ("scenario", "subject"):
                cells = (_cell(result.get(key)) for result in found.values())
                lines.append(f"| {key} | " + " | ".join(cells) + " |")
    raw = {"date": now.isoformat(timespec="seconds"), "machine": about, "versions": software, "sizes": sizes}
    RESULTS.mkdir(exist_ok=True)
    stem = str(RESULTS / f"{stem_name(now, about, options.machine)}-daemon")
    Path(stem + ".md").write_text("\n".join(lines) + "\n")
    Path(stem + ".json").write_text(json.dumps({**raw, "results": results}, indent=1) + "\n")
    print(f"written to {stem}.md and .json", file=sys.stderr)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+", choices=list(SCENARIOS))
    parser.add_argument("--subjects", action="append", choices=["nativemtail", "mtail"])
    beside = Path(sys.executable).with_name("nativemtail")
    parser.add_argument("--nativemtail", default=str(beside), help="the command (default: beside this Python)")
    parser.add_argument("--mtail", default="mtail")
    parser.add_argument("--json", help="write the results there too")
    parser.add_argument("--record", action="store_true", help="write a report into results/")
    parser.add_argument("--machine", help="name of this machine in the file names (default: its processor)")
    parser.add_argument("--directory", help="where the logs are written; the system's temporary directory by default")
    parser.add_argument("--probes", type=int, default=500, help="latency: lines")
    parser.add_argument("--files", type=int, default=1000, help="idle: quiet files")
    parser.add_argument("--idle_seconds", type=float, default=30, help="idle: how long")
    parser.add_argument("--series", type=int, default=100_000, help="scrape: label sets")
    parser.add_argument("--scrapes", type=int, default=10, help="scrape: how many")
    parser.add_argument("--seconds", type=float, default=180, help="soak: how long")
    parser.add_argument("--rate", type=float, default=50, help="soak: megabytes a second")
    parser.add_argument("--rotate", type=float, default=1, help="soak: seconds between rotations")
    parser.add_argument("--reload", type=float, default=5, help="soak: seconds between reloads")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
