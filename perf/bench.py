"""Whole-process times of nativemtail beside mtail and others, the limits of its parts, and what was to be reached.

    make bench                                          # everything, 500 MB
    make bench ARGS="--only syslog --size 100"

See perf/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import daemon
from generate import INPUTS, MEGABYTE, generate, pieces, services
from peers import PATIENCE, PEERS, Peer, until_served
from report import RESULTS, first_line, machine, stem_name, versions

PERF = Path(__file__).resolve().parent
BUILD = PERF.parent / "build" / "perf"
SLOW = 30 * MEGABYTE
"""Bytes a second of the processor; what is slower may be timed on the beginning of a log."""


@dataclass(frozen=True)
class Scenario:
    """One program directory on one kind of log; an empty kind is an empty log."""

    programs: str
    kind: str
    limit: str = ""
    """What perf/limits.cc measures to compare with, and its patterns."""
    theirs: str = ""
    """What mtail runs for the same metrics, if its language lacks something of `programs`."""
    peer: int = 0
    """Megabytes that mtail gets, if its time with so many programs is without bounds; 0: as many as asked."""

    def directory(self, subject: str = "") -> Path:
        """Where the programs are; `services-N` stands for that many, which are written now."""
        if subject == "mtail" and self.theirs:
            return PERF / "programs" / self.theirs
        if self.programs.startswith("services-"):
            return services(int(self.programs.removeprefix("services-")))
        return PERF / "programs" / self.programs


SCENARIOS = {
    "startup": Scenario("apache/apache.mtail", ""),
    "apache": Scenario("apache", "apache", "captures apache.captures"),
    "syslog": Scenario("syslog", "syslog", "prefilter syslog.literals"),
    "json": Scenario("json", "json", "captures json.captures"),
    "wide": Scenario("fields/wide.mtail", "wide", theirs="fields/of_mtail/wide.mtail"),
    "nested": Scenario("fields/nested.mtail", "services", theirs="fields/of_mtail/nested.mtail"),
    "nested_all": Scenario("fields/nested_all.mtail", "nested", theirs="fields/of_mtail/nested_all.mtail"),
    "logfmt": Scenario("fields/logfmt.mtail", "logfmt", theirs="fields/of_mtail/logfmt.mtail"),
    "records": Scenario("fields/records.mtail", "traces", theirs="fields/of_mtail/records.mtail"),
    "records_lines": Scenario("fields/of_mtail/records.mtail", "traces"),
    "lines": Scenario("lines", "apache", "lines"),
    "counter": Scenario("kinds/counter.mtail", "apache"),
    "gauge": Scenario("kinds/gauge.mtail", "apache"),
    "timer": Scenario("kinds/timer.mtail", "apache"),
    "text": Scenario("kinds/text.mtail", "apache"),
    "histogram": Scenario("kinds/histogram.mtail", "apache"),
    "labels": Scenario("labels", "labels"),
    "series": Scenario("series", "series"),
    "startup100": Scenario("services-100", ""),
    "scale1": Scenario("services-1", "syslog"),
    "scale10": Scenario("services-10", "syslog", peer=10),
    "scale100": Scenario("services-100", "syslog", peer=5),
    "scale300": Scenario("services-300", "syslog", peer=2),
}


@dataclass
class Run:
    """What one process took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    rss: int
    """Peak, in bytes."""


@dataclass
class Measured:
    """The runs of one subject in one scenario, on a log of `bytes` bytes."""

    bytes: int
    runs: list[Run] = field(default_factory=list)
    empty: list[Run] = field(default_factory=list)
    """The same on an empty log, where the time has to be scaled up."""

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu_rate(self) -> float:
        """Megabytes for a second of the processor, start-up included."""
        return self.bytes / statistics.median(run.cpu for run in self.runs) / MEGABYTE

    @property
    def rss(self) -> int:
        return int(statistics.median(run.rss for run in self.runs))

    def seconds(self, full: int) -> float:
        """The median, scaled to `full` bytes; start-up does not scale."""
        if self.bytes == full:
            return self.wall
        startup = statistics.median(run.wall for run in self.empty)
        return startup + (self.wall - startup) * full / self.bytes


Results = dict[str, dict[str, Measured]]
"""By scenario and subject."""

CACHE = "{scratch}/cache"
"""Stands for a directory that is new with each run."""


def commands(arguments: argparse.Namespace, filled: Path) -> dict[str, list[str]]:
    """How each subject is started, up to what depends on the scenario.

    A build with a cache of compiled programs is two subjects: with a filled cache, and as on its very first run.
    """
    ours = [arguments.nativemtail, "--one_shot", "--one_shot_format=prometheus", "--quiet"]
    subjects = {"nativemtail": [*ours, *cache(arguments, str(filled))]}
    if has_cache(arguments.nativemtail):
        subjects["cold"] = [*ours, *cache(arguments, CACHE)]
    # It opens a listener even for a one-shot run; a socket cannot collide.
    mtail = [arguments.mtail, "-one_shot", "-one_shot_format=prometheus", "-unix_socket", "{scratch}/socket"]
    return subjects | {"mtail": mtail}


def cache(arguments: argparse.Namespace, directory: str) -> list[str]:
    return ["--cache_dir", directory] if has_cache(arguments.nativemtail) else []


def has_cache(nativemtail: str) -> bool:
    answer = subprocess.run([nativemtail, "--help"], check=False, capture_output=True, text=True)
    return "cache_dir" in answer.stdout + answer.stderr


def timed(command: list[str], cpu: str, scratch: str) -> tuple[Run, str]:
    """One run on one core, and what it printed."""
    line = ["taskset", "-c", cpu, *(part.replace("{scratch}", scratch) for part in command)]
    line = [built("timed"), f"{scratch}/times", *line]
    answer = subprocess.run(line, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    if answer.returncode:
        why = answer.stderr.decode(errors="replace")
        raise SystemExit(f"bench: {' '.join(line)}: exit status {answer.returncode}\n{why}")
    wall, used, peak = Path(f"{scratch}/times").read_text().split()
    return Run(float(wall), float(used), int(peak) * 1024), answer.stdout.decode(errors="replace")


def measure(command: list[str], programs: Path, log: Path, cpu: str) -> tuple[Run, list[str]]:
    """One run of nativemtail or mtail, and the samples that it printed."""
    # Into the page cache, before each run: systems that reclaim pages nobody reads do so while the others run.
    subprocess.run(["cat", str(log)], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as scratch:
        run, output = timed([*command, "--progs", str(programs), "--logs", str(log)], cpu, scratch)
    return run, sorted(sample for sample in output.splitlines() if not sample.startswith("#"))


def log_of(kind: str, megabytes: int) -> Path:
    if kind and megabytes:
        return generate(kind, megabytes)
    INPUTS.mkdir(exist_ok=True)
    empty = INPUTS / "empty.log"
    empty.touch()
    return empty


def mtail_log(scenario: Scenario, command: list[str], arguments: argparse.Namespace) -> Path:
    """The whole log, or its beginning if mtail is slow on that."""
    beginning = min(scenario.peer or arguments.scale_peer or arguments.size, arguments.size)
    log = log_of(scenario.kind, beginning)
    if not scenario.kind or beginning == arguments.size or scenario.peer:
        return log
    run, _ = measure(command, scenario.directory("mtail"), log, arguments.cpu)
    return log if log.stat().st_size / run.cpu < SLOW else log_of(scenario.kind, arguments.size)


def compare(
    scenario: Scenario, subjects: dict[str, list[str]], arguments: argparse.Namespace
) -> tuple[dict[str, Measured], bool | None]:
    """Alternating runs of all subjects; whether their samples are the same (None if there is but one)."""
    programs = {subject: scenario.directory(subject) for subject in subjects}
    logs = dict.fromkeys(subjects, log_of(scenario.kind, arguments.size))
    if "mtail" in subjects:
        logs["mtail"] = mtail_log(scenario, subjects["mtail"], arguments)
    measured = {subject: Measured(logs[subject].stat().st_size) for subject in subjects}
    full = max(one.bytes for one in measured.values())
    common = min(logs.values(), key=lambda log: log.stat().st_size)
    # Not timed, which fills the cache of programs as well.
    samples = [measure(command, programs[name], common, arguments.cpu)[1] for name, command in subjects.items()]
    for _ in range(arguments.runs):
        for subject, command in subjects.items():
            one = measured[subject]
            one.runs.append(measure(command, programs[subject], logs[subject], arguments.cpu)[0])
            if one.bytes < full:
                one.empty.append(measure(command, programs[subject], log_of("", 0), arguments.cpu)[0])
    return measured, all(other == samples[0] for other in samples) if len(samples) > 1 else None


def run_peer(peer: Peer, command: str, log: Path, cpu: str) -> tuple[Run, int]:
    """One run, and how many lines it says to have counted."""
    with tempfile.TemporaryDirectory() as scratch:
        line = [command, *peer.arguments(log, Path(scratch))]
        if not peer.serves:
            run, output = timed(line, cpu, scratch)
            return run, peer.lines(output)
        pinned = ["taskset", "-c", cpu, *line]
        wall, used, peak, shown = until_served(pinned, peer, count_lines(log), Path(scratch) / "errors")
        return Run(wall, used, peak * 1024), shown


@dataclass
class PeerMeasured:
    """A peer's runs, nativemtail's in between, and whether the peer counted each line."""

    peer: Peer
    measured: Measured
    ours: Measured
    complete: bool = True

    def row(self) -> str:
        full = self.ours.bytes
        processor = statistics.median(run.cpu for run in self.measured.runs)
        cells = [self.peer.command, self.peer.scenario, f"{full / MEGABYTE:.0f}"]
        cells += [*time_and_rate(self.measured, full), f"{processor:.2f}", f"{self.ours.wall:.3f}"]
        cells += [f"{self.measured.seconds(full) / self.ours.wall:.1f}", "yes" if self.complete else "NO"]
        return f"| {' | '.join([*cells, self.peer.computes])} |"


def compare_peer(peer: Peer, command: str, ours: list[str], arguments: argparse.Namespace) -> PeerMeasured:
    """Alternating runs of a peer and of nativemtail, which reads all of the log."""
    scenario = SCENARIOS[peer.scenario]
    whole = log_of(scenario.kind, arguments.size)
    log = log_of(scenario.kind, min(arguments.scale_peer or arguments.size, arguments.size))
    run, _ = run_peer(peer, command, log, arguments.cpu)
    if log.stat().st_size / run.cpu >= SLOW:
        log = whole
    found = PeerMeasured(peer, Measured(log.stat().st_size), Measured(whole.stat().st_size))
    lines = count_lines(log)
    for _ in range(arguments.runs):
        run, shown = run_peer(peer, command, log, arguments.cpu)
        found.measured.runs.append(run)
        found.complete &= shown == lines
        found.ours.runs.append(measure(ours, scenario.directory(), whole, arguments.cpu)[0])
        if log != whole:
            found.measured.empty.append(run_peer(peer, command, log_of("", 0), arguments.cpu)[0])
    return found


def count_lines(log: Path) -> int:
    return sum(piece.count(b"\n") for piece in pieces(log))


def first_scrape(command: list[str], programs: Path, cpu: str) -> float:
    """Seconds from the start of a daemon to the end of its first answer for /metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        line = ["taskset", "-c", cpu, *(part.replace("{scratch}", scratch) for part in command)]
        line += ["--progs", str(programs), "--logs", str(log_of("", 0)), "--address", "127.0.0.1", "--port", str(port)]
        begin = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not answers(port):
                if process.poll() is not None or time.perf_counter() > begin + PATIENCE:
                    raise SystemExit(f"bench: {' '.join(line)} does not answer")
                time.sleep(0.002)
            return time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()


def served(arguments: argparse.Namespace, filled: Path) -> dict[str, dict[str, float]]:
    """What only daemons show, by subject: start to first scrape, write to visible, a scrape of a million series."""
    ours = [arguments.nativemtail]
    daemons = {"nativemtail": [*ours, *cache(arguments, str(filled))]}
    if has_cache(arguments.nativemtail):
        daemons["cold"] = [*ours, *cache(arguments, CACHE)]
    if "mtail" in arguments.subjects:
        daemons["mtail"] = [arguments.mtail, "-logtostderr"]
    found: dict[str, dict[str, float]] = {name: {} for name in daemons}
    for key, programs in (("first_scrape_1_s", SCENARIOS["startup"]), ("first_scrape_100_s", SCENARIOS["startup100"])):
        times: dict[str, list[float]] = {name: [] for name in daemons}
        for _ in range(arguments.runs + 1):
            for name, command in daemons.items():
                times[name].append(first_scrape(command, programs.directory(), arguments.cpu))
        for name, took in times.items():
            found[name][key] = statistics.median(took[1:])
    options = argparse.Namespace(probes=500, series=1_000_000, scrapes=arguments.runs)
    for scenario, name in ((one, name) for one in (daemon.latency, scrape) for name in daemons if name != "cold"):
        say(f"{scenario.__name__}, {name}")
        try:
            with tempfile.TemporaryDirectory() as place:
                shown = scenario(name, ["taskset", "-c", arguments.cpu, *daemons[name]], Path(place), options)
        except (SystemExit, OSError) as error:  # the rest is worth having
            say(f"{scenario.__name__}, {name}: {error}")
            continue
        found[name] |= {f"{scenario.__name__}_{key}": value for key, value in shown.items()}
    return found


def scrape(name: str, command: list[str], place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds for a whole answer of /metrics with so many series, and what the daemon holds then."""
    log = place / "series.log"
    log.touch()
    with daemon.running(name, command, daemon.SERIES, str(log), place) as subject:
        time.sleep(1)
        with log.open("ab") as file:
            for number in range(options.series):
                file.write(b"series host%d path%d\n" % (number % 100, number))
        begin = time.perf_counter()
        took = [0.1]
        # Questions keep it from reading on, so a slow one is asked less often.
        while (count := timed_answer(subject, took).count(b"\nseries_total{")) < options.series:
            if time.perf_counter() > begin + PATIENCE:
                raise SystemExit(f"only {count} series")
            time.sleep(5 * took[-1])
        took.clear()
        for _ in range(options.scrapes):
            timed_answer(subject, took)
        return {"series": count, "s": statistics.median(took), "MiB": subject.memory() / 2**20}


def timed_answer(subject: daemon.Subject, took: list[float]) -> bytes:
    begin = time.perf_counter()
    page = subject.get("/metrics")
    took.append(time.perf_counter() - begin)
    return page


def built(name: str) -> str:
    """perf/NAME.cc, compiled against the libraries that the extension uses."""
    program, source = BUILD / name, PERF / f"{name}.cc"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "libhs", "libpcre2-8"], check=True, capture_output=True, text=True
        ).stdout.split()
        partial = program.with_suffix(f".{os.getpid()}")  # another process may want it at the same time
        command = ["g++", "-std=c++17", "-O3", "-o", str(partial), str(source), "-Wl,--as-needed", *flags]
        subprocess.run(command, check=True)
        partial.replace(program)
    return str(program)


def limit(what: str, log: Path, cpu: str) -> float:
    """Seconds that one part needs for the log: `read`, `lines`, `captures PATTERNS` or `prefilter LITERALS`."""
    mode, *patterns = what.split()
    files = [str(PERF / "patterns" / name) for name in patterns]
    line = ["taskset", "-c", cpu, built("limits"), mode, str(log), *files]
    answer = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return float(statistics.median(answer["seconds"]))


def inside(cpu: str) -> dict[str, Any]:
    """What perf/inside.py measures in one process."""
    line = ["taskset", "-c", cpu, sys.executable, str(PERF / "inside.py")]
    found: dict[str, Any] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return found


def inside_table(found: dict[str, Any]) -> Iterator[str]:
    yield "| in one process | |"
    yield "|---|---|"
    yield f"| updates a second, 5 labels, {found['label_series']:,} series | {found['label_updates_per_s']:,.0f} |"
    yield f"| {found['series']:,} series, bytes each beside labels | {found['bytes_per_series']:.0f} |"
    yield f"| and a scrape of them, s | {found['scrape_s']:.3f} |"
    for pattern, ratio in found["hostile_ratios"].items():
        yield f"| twice the hostile line, `{pattern.replace('|', chr(92) + '|')}` | {ratio:.2f} × the time |"


def table(results: Results, same: dict[str, bool | None], limits: dict[str, dict[str, float]]) -> Iterator[str]:
    """One row a scenario; MB are 10⁶ bytes, MiB 2²⁰."""
    columns = ["work", "MB", "nativemtail s", "MB/s", "MiB", "cold s", "mtail s", "MB/s", "MiB"]
    columns += ["times mtail", "same metrics", "of the limit"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    for name, subjects in results.items():
        full = max(measured.bytes for measured in subjects.values())
        cells = [name, f"{full / MEGABYTE:.0f}"]
        for subject in ("nativemtail", "cold", "mtail"):
            found = time_and_rate(subjects[subject], full) if subject in subjects else ["", "", ""]
            cells += found[:1] if subject == "cold" else found
        ratio, share = times_mtail(subjects), share_of_limit(name, subjects, limits)
        cells += ["" if ratio is None else f"{ratio:.1f}", {True: "yes", False: "NO", None: ""}[same[name]]]
        cells.append("" if share is None else f"{share:.0f} %")
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield "| limit | log | s | MB/s |"
    yield "|---|---|---|---|"
    for name, parts in limits.items():
        full = max(measured.bytes for measured in results[name].values())
        for part, took in parts.items():
            yield f"| {part} | {name} | {took:.4f} | {full / MEGABYTE / took:.0f} |"


def time_and_rate(measured: Measured, full: int) -> list[str]:
    seconds = measured.seconds(full)
    scaled = "" if measured.bytes == full else f" (from {measured.bytes / MEGABYTE:.0f} MB)"
    rate = f"{full / MEGABYTE / seconds:.1f}" if full else ""
    return [f"{seconds:.3f}{scaled}", rate, f"{measured.rss / 2**20:.0f}"]


def times_mtail(subjects: dict[str, Measured]) -> float | None:
    if "mtail" not in subjects or "nativemtail" not in subjects:
        return None
    full = max(measured.bytes for measured in subjects.values())
    return subjects["mtail"].seconds(full) / subjects["nativemtail"].seconds(full)


def share_of_limit(name: str, subjects: dict[str, Measured], limits: dict[str, dict[str, float]]) -> float | None:
    alone = limits.get(name, {}).get(SCENARIOS[name].limit)
    return 100 * alone / subjects["nativemtail"].wall if alone and "nativemtail" in subjects else None


def served_table(found: dict[str, dict[str, float]]) -> Iterator[str]:
    keys = list(dict.fromkeys(key for values in found.values() for key in values))
    yield "| daemon | " + " | ".join(found) + " |"
    yield "|---" * (len(found) + 1) + "|"
    for key in keys:
        cells = (f"{values[key]:.4g}" if key in values else "" for values in found.values())
        yield f"| {key} | " + " | ".join(cells) + " |"


@dataclass(frozen=True)
class Target:
    """What was to be reached; `bound` is a least value if `least`, else a greatest."""

    work: str
    figure: str
    bound: float
    unit: str
    least: bool = True

    def row(self, figures: dict[str, float | None]) -> str:
        value = figures.get(self.figure)
        sign = "≥" if self.least else "≤"
        goal = f"{sign} {self.bound:,g} {self.unit}"
        if value is None:
            return f"| {self.work} | {goal} | not measured | |"
        reached = value >= self.bound if self.least else value <= self.bound
        return f"| {self.work} | {goal} | {value:,.3g} {self.unit} | {'yes' if reached else 'NO'} |"


TARGETS = [
    Target("apache", "apache times", 22, "× mtail"),
    Target("apache", "apache limit", 50, "% of the captures alone"),
    Target("syslog", "syslog times", 250, "× mtail"),
    Target("syslog", "syslog limit", 55, "% of the prefilter alone"),
    Target("json", "json times", 20, "× mtail"),
    Target("JSON by fields", "wide times", 25, "× mtail"),
    Target("JSON by fields", "wide rate", 600, "MB per CPU second"),
    Target("nested JSON, a tenth of the lines", "nested rate", 1500, "MB per CPU second"),
    Target("logfmt", "logfmt rate", 500, "MB per CPU second"),
    Target("records", "records share", 80, "% of the rate as lines"),
    Target("100 programs", "scale", 2, "× the time of 1", least=False),
    Target("100 programs, empty cache", "scale cold", 2, "× the time of 1", least=False),
    Target("every line counted", "lines rate", 2000, "MB/s"),
    Target("a million series", "bytes per series", 200, "B each beside labels", least=False),
    Target("a million series", "scrape", 0.5, "s to scrape", least=False),
    Target("a million series", "scrape share", 0.2, "of mtail's scrape", least=False),
    Target("5 labels, 100,000 series", "updates", 3e6, "updates/s"),
    Target("start to first scrape, 1 program", "first 1", 0.25, "s", least=False),
    Target("the same, empty cache", "first 1 cold", 0.25, "s", least=False),
    Target("start to first scrape, 100 programs", "first 100", 1.0, "s", least=False),
    Target("the same, empty cache", "first 100 cold", 1.0, "s", least=False),
    Target("write to visible, 99 %", "visible", 10, "ms", least=False),
    Target("hostile lines, the worst of all patterns", "hostile", 2.2, "× the time for twice the line", least=False),
]
"""A build without a cache of programs has nothing in the rows of the empty cache."""


@dataclass
class Found:
    """All that was measured."""

    machine: dict[str, str | int]
    versions: dict[str, str]
    results: Results = field(default_factory=dict)
    same_metrics: dict[str, bool | None] = field(default_factory=dict)
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    peers: list[PeerMeasured] = field(default_factory=list)
    daemons: dict[str, dict[str, float]] = field(default_factory=dict)
    inside: dict[str, Any] = field(default_factory=dict)


def figures(all_found: Found) -> dict[str, float | None]:
    """The values for TARGETS by name, None where something was not measured."""
    results, limits, within = all_found.results, all_found.limits, all_found.inside
    found: dict[str, float | None] = {}
    for name in ("apache", "syslog", "json"):
        found[f"{name} times"] = times_mtail(results.get(name, {}))
        found[f"{name} limit"] = share_of_limit(name, results.get(name, {}), limits)
    found["wide times"] = times_mtail(results.get("wide", {}))
    rates = {name: subjects["nativemtail"].cpu_rate for name, subjects in results.items() if "nativemtail" in subjects}
    found |= {f"{name} rate": rates.get(name) for name in ("wide", "nested", "logfmt")}
    both = "records" in rates and "records_lines" in rates
    found["records share"] = 100 * rates["records"] / rates["records_lines"] if both else None
    for name, subject in (("scale", "nativemtail"), ("scale cold", "cold")):
        one, hundred = (results.get(scenario, {}).get(subject) for scenario in ("scale1", "scale100"))
        found[name] = hundred.wall / one.wall if one and hundred else None
    lines = results.get("lines", {}).get("nativemtail")
    found["lines rate"] = lines.bytes / lines.wall / MEGABYTE if lines else None
    ours, cold, theirs = (all_found.daemons.get(subject, {}) for subject in ("nativemtail", "cold", "mtail"))
    found |= {
        "bytes per series": within.get("bytes_per_series"),
        "updates": within.get("label_updates_per_s"),
        "hostile": max(within.get("hostile_ratios", {}).values(), default=None),
        "scrape": ours.get("scrape_s"),
        "scrape share": ours["scrape_s"] / theirs["scrape_s"] if "scrape_s" in ours and "scrape_s" in theirs else None,
        "visible": ours.get("latency_p99_ms"),
    }
    for number in (1, 100):
        found[f"first {number}"] = ours.get(f"first_scrape_{number}_s")
        found[f"first {number} cold"] = cold.get(f"first_scrape_{number}_s")
    return found


def target_table(values: dict[str, float | None]) -> Iterator[str]:
    yield "| target | to reach | found | reached |"
    yield "|---|---|---|---|"
    for target in TARGETS:
        yield target.row(values)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(sys.executable).with_name("nativemtail")
    parser.add_argument("--size", type=int, default=500, help="megabytes of log (default 500)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each subject (default 5)")
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), help="this scenario; may be repeated")
    parser.add_argument(
        "--scale-peer",
        type=int,
        default=100,
        metavar="MB",
        help="time what is slower than 30 MB/s on the first MB only, and scale (default 100; 0: on all)",
    )
    parser.add_argument("--subjects", default="nativemtail,mtail", help="which of the two to run")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PATH", help="where a peer is; may be repeated"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out the other peers")
    parser.add_argument("--no-daemons", action="store_true", help="leave out what only running daemons show")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write (default perf/results)")
    parser.add_argument("--cpu", default="0", help="the core to run on (default 0)")
    parser.add_argument("--nativemtail", default=str(beside), help="the command (default: beside this Python)")
    parser.add_argument("--mtail", default=shutil.which("mtail") or "mtail", help="the command")
    parser.add_argument("--no-inside", action="store_true", help="leave out what is measured in one process")
    parser.add_argument("--machine", help="name of this machine in the file names (default: its processor)")
    return parser.parse_args()


def found_peers(arguments: argparse.Namespace, results: Results) -> Iterator[tuple[Peer, str]]:
    """The peers that there are for what is measured, and their commands."""
    places = dict(given.split("=", 1) for given in arguments.peer)
    for peer in PEERS:
        if arguments.no_peers or "nativemtail" not in results.get(peer.scenario, {}):
            continue
        command = shutil.which(places.get(peer.command, peer.command))
        if command is None:
            print(f"bench: {peer.command} is not there, --peer {peer.command}=PATH", file=sys.stderr)
        else:
            yield peer, command


def measure_all(arguments: argparse.Namespace, filled: Path) -> Found:
    known = commands(arguments, filled)
    wanted = arguments.subjects.replace("nativemtail", "nativemtail,cold").split(",")
    subjects = {name: command for name, command in known.items() if name in wanted}
    for command in subjects.values():
        if shutil.which(command[0]) is None:
            raise SystemExit(f"bench: {command[0]} is not there; --subjects leaves one out")
    found = Found(machine(), versions(subjects))
    for name in arguments.only or SCENARIOS:
        scenario = SCENARIOS[name]
        say(name)
        found.results[name], found.same_metrics[name] = compare(scenario, subjects, arguments)
        if scenario.limit:
            log = log_of(scenario.kind, arguments.size)
            parts = dict.fromkeys(("read", "lines", scenario.limit))
            found.limits[name] = {part: limit(part, log, arguments.cpu) for part in parts}
    for peer, place in found_peers(arguments, found.results):
        say(f"{peer.command}, {peer.scenario}")
        found.peers.append(compare_peer(peer, place, known["nativemtail"], arguments))
        found.versions[peer.command] = first_line(place, peer.version)
    if not arguments.no_daemons:
        say("daemons")
        found.daemons = served(arguments, filled)
    if not arguments.no_inside:
        say("in one process")
        found.inside = inside(arguments.cpu)
    return found


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def report(found: Found, now: datetime.datetime, runs: int) -> Iterator[str]:
    """The lines of the Markdown file."""
    yield f"# {now:%Y-%m-%d %H:%M} UTC, {found.machine['cpu']}"
    yield ""
    yield from (f"- {key}: {value}" for key, value in {**found.machine, **found.versions}.items())
    yield f"- load at the end: {os.getloadavg()[0]:.2f}"
    yield f"- one core, {runs} alternating runs, medians; whole processes with start-up"
    yield ""
    yield from target_table(figures(found))
    yield ""
    yield from table(found.results, found.same_metrics, found.limits)
    if found.peers:
        yield ""
        yield "| peer | work | MB | s | MB/s | MiB | CPU s | nativemtail s | times | all lines | what it computes |"
        yield "|---" * 11 + "|"
        yield from (peer.row() for peer in found.peers)
    if found.daemons:
        yield ""
        yield from served_table(found.daemons)
    if found.inside:
        yield ""
        yield from inside_table(found.inside)


def raw(found: Found, now: datetime.datetime) -> dict[str, Any]:
    """Every single run."""
    plain = asdict(found, dict_factory=lambda items: {key: value for key, value in items if not callable(value)})
    return {"date": now.isoformat(timespec="seconds"), "targets": figures(found), **plain}


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure_all(arguments, Path(scratch) / "cache")
    now = datetime.datetime.now(datetime.UTC)
    text = "\n".join(report(found, now, arguments.runs)) + "\n"
    arguments.results.mkdir(exist_ok=True, parents=True)
    stem = arguments.results / stem_name(now, found.machine, arguments.machine)
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(json.dumps(raw(found, now), indent=1) + "\n")
    print(text)
    print(f"bench: written to {stem}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
