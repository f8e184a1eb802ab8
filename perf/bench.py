"""Whole-process times of nativemtail beside mtail, and beside the limits of its parts (see perf/README.md).

    make bench                                          # everything, 100 MB
    make bench ARGS="--only syslog --size 500 --scale-peer 100"
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from generate import INPUTS, MEGABYTE, generate, services

PERF = Path(__file__).resolve().parent
BUILD = PERF.parent / "build" / "perf"
RESULTS = PERF / "results"


@dataclass(frozen=True)
class Scenario:
    """One program directory on one kind of log; an empty kind is an empty log."""

    programs: str
    kind: str
    limit: str = ""
    """What perf/limits.cc measures to compare with, and its patterns."""
    peer: int = 0
    """Megabytes that mtail gets at most, if its time with so many programs is without bounds; 0: as many as asked."""

    def directory(self) -> Path:
        """Where the programs are; `services-N` stands for that many, which are written now."""
        if self.programs.startswith("services-"):
            return services(int(self.programs.removeprefix("services-")))
        return PERF / "programs" / self.programs


SCENARIOS = {
    "startup": Scenario("apache/apache.mtail", ""),
    "apache": Scenario("apache", "apache", "captures apache.captures"),
    "syslog": Scenario("syslog", "syslog", "gate syslog.gate"),
    "json": Scenario("json", "json", "captures json.captures"),
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
    "scale100": Scenario("services-100", "syslog", peer=2),
    "scale300": Scenario("services-300", "syslog", peer=1),
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

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def rss(self) -> int:
        return int(statistics.median(run.rss for run in self.runs))


def commands(nativemtail: str, mtail: str) -> dict[str, list[str]]:
    """How each subject is started, up to what depends on the scenario."""
    return {
        "nativemtail": [nativemtail, "--one_shot", "--one_shot_format=prometheus", "--quiet"],
        "mtail": [mtail, "-one_shot", "-one_shot_format=prometheus"],
    }


def measure(subject: str, command: list[str], programs: Path, log: Path, cpu: str) -> tuple[Run, list[str]]:
    """One run on one core, and the samples that it printed."""
    with tempfile.TemporaryDirectory() as scratch:
        # The reference opens a listener even for a one-shot run; a socket cannot collide.
        listener = ["-unix_socket", f"{scratch}/socket"] if subject == "mtail" else []
        line = ["taskset", "-c", cpu, *command, *listener, "--progs", str(programs), "--logs", str(log)]
        answer = subprocess.run([built("timed"), f"{scratch}/times", *line], check=False, capture_output=True)
        if answer.returncode:
            why = answer.stderr.decode(errors="replace")
            raise SystemExit(f"bench: {' '.join(line)}: exit status {answer.returncode}\n{why}")
        wall, used, peak = Path(f"{scratch}/times").read_text().split()
    samples = sorted(sample for sample in answer.stdout.decode().splitlines() if not sample.startswith("#"))
    return Run(float(wall), float(used), int(peak) * 1024), samples


def log_of(kind: str, megabytes: int) -> Path:
    if kind:
        return generate(kind, megabytes)
    INPUTS.mkdir(exist_ok=True)
    empty = INPUTS / "empty.log"
    empty.touch()
    return empty


def compare(
    scenario: Scenario, subjects: dict[str, list[str]], arguments: argparse.Namespace
) -> tuple[dict[str, Measured], bool | None]:
    """Alternating runs of all subjects; whether their samples are the same (None if there is but one)."""
    sizes = dict.fromkeys(subjects, arguments.size)
    if "mtail" in sizes:
        sizes["mtail"] = min(arguments.scale_peer or arguments.size, scenario.peer or arguments.size, arguments.size)
    programs = scenario.directory()
    logs = {subject: log_of(scenario.kind, sizes[subject]) for subject in subjects}
    for log in logs.values():
        subprocess.run(["cat", str(log)], check=True, stdout=subprocess.DEVNULL)  # into the page cache
    measured = {subject: Measured(logs[subject].stat().st_size) for subject in subjects}
    samples: dict[str, list[str]] = {}
    for _ in range(arguments.runs):
        for subject, command in subjects.items():
            run, samples[subject] = measure(subject, command, programs, logs[subject], arguments.cpu)
            measured[subject].runs.append(run)
    if len(subjects) < 2:
        return measured, None
    if logs["nativemtail"] != logs["mtail"]:
        _, samples["nativemtail"] = measure(
            "nativemtail", subjects["nativemtail"], programs, logs["mtail"], arguments.cpu
        )
    return measured, samples["nativemtail"] == samples["mtail"]


def built(name: str) -> str:
    """perf/NAME.cc, compiled against the libraries that the extension uses."""
    program, source = BUILD / name, PERF / f"{name}.cc"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "libhs", "libpcre2-8"], check=True, capture_output=True, text=True
        ).stdout.split()
        command = ["g++", "-std=c++17", "-O3", "-o", str(program), str(source), "-Wl,--as-needed", *flags]
        subprocess.run(command, check=True)
    return str(program)


def limit(what: str, log: Path, cpu: str) -> float:
    """Seconds that one part needs for the log: `read`, `lines`, `captures PATTERNS` or `gate LITERALS`."""
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


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mib": int(memory[1]) // 1024,
        "kernel": platform.release(),
        "load_at_start": f"{os.getloadavg()[0]:.2f}",
    }


def versions(subjects: dict[str, list[str]]) -> dict[str, str]:
    def first_line(*command: str) -> str:
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        return (answer.stdout or answer.stderr).strip().split("\n")[0]

    found = {subject: first_line(command[0], "--version") for subject, command in subjects.items()}
    found |= {library: first_line("pkg-config", "--modversion", library) for library in ("libhs", "libpcre2-8")}
    found["python"] = platform.python_version()
    found["compiler"] = first_line("g++", "--version")
    found["commit"] = first_line("git", "-C", str(PERF), "describe", "--always", "--dirty")
    return found


def seconds_for(measured: Measured, full: int, startup: float) -> float:
    """The median, scaled from the measured part of a log to all of it; start-up does not scale."""
    if measured.bytes == full:
        return measured.wall
    return startup + (measured.wall - startup) * full / measured.bytes


def table(
    results: dict[str, dict[str, Measured]], same: dict[str, bool | None], limits: dict[str, dict[str, float]]
) -> Iterator[str]:
    """One row a scenario; MB are 10⁶ bytes, MiB 2²⁰."""
    columns = ["work", "MB", "nativemtail s", "MB/s", "MiB", "mtail s", "MB/s", "MiB"]
    columns += ["times mtail", "same metrics", "of the limit"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    startup = {subject: measured.wall for subject, measured in results.get("startup", {}).items()}
    for name, subjects in results.items():
        full = max(measured.bytes for measured in subjects.values())
        seconds = {s: seconds_for(m, full, startup.get(s, 0.0)) for s, m in subjects.items()}
        cells = [name, f"{full / MEGABYTE:.0f}"]
        for subject in ("nativemtail", "mtail"):
            if subject not in subjects:
                cells += ["", "", ""]
                continue
            scaled = "" if subjects[subject].bytes == full else f" (from {subjects[subject].bytes / MEGABYTE:.0f} MB)"
            rate = f"{full / MEGABYTE / seconds[subject]:.1f}" if full else ""
            cells += [f"{seconds[subject]:.3f}{scaled}", rate, f"{subjects[subject].rss / 2**20:.0f}"]
        cells.append(f"{seconds['mtail'] / seconds['nativemtail']:.1f}" if len(seconds) == 2 else "")
        cells.append({True: "yes", False: "NO", None: ""}[same[name]])
        alone = limits.get(name, {}).get(SCENARIOS[name].limit)
        cells.append(f"{100 * alone / seconds['nativemtail']:.0f} %" if alone and "nativemtail" in seconds else "")
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield "| limit | log | s | MB/s |"
    yield "|---|---|---|---|"
    for name, parts in limits.items():
        full = max(measured.bytes for measured in results[name].values())
        for part, took in parts.items():
            yield f"| {part} | {name} | {took:.4f} | {full / MEGABYTE / took:.0f} |"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(sys.executable).with_name("nativemtail")
    parser.add_argument("--size", type=int, default=100, help="megabytes of log (default 100)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each subject (default 5)")
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), help="this scenario; may be repeated")
    parser.add_argument("--scale-peer", type=int, metavar="MB", help="time mtail on the first MB only, and scale")
    parser.add_argument("--subjects", default="nativemtail,mtail", help="which of the two to run")
    parser.add_argument("--cpu", default="0", help="the core to run on (default 0)")
    parser.add_argument("--nativemtail", default=str(beside), help="the command (default: beside this Python)")
    parser.add_argument("--mtail", default=shutil.which("mtail") or "mtail", help="the command")
    parser.add_argument("--no-inside", action="store_true", help="leave out what is measured in one process")
    parser.add_argument("--machine", help="name of this machine in the file names (default: its processor)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    known = commands(arguments.nativemtail, arguments.mtail)
    subjects = {name: known[name] for name in arguments.subjects.split(",")}
    for command in subjects.values():
        if shutil.which(command[0]) is None:
            raise SystemExit(f"bench: {command[0]} is not there; --subjects leaves one out")
    about, software = machine(), versions(subjects)
    results: dict[str, dict[str, Measured]] = {}
    same: dict[str, bool | None] = {}
    limits: dict[str, dict[str, float]] = {}
    for name in arguments.only or SCENARIOS:
        scenario = SCENARIOS[name]
        print(f"bench: {name}", file=sys.stderr, flush=True)
        results[name], same[name] = compare(scenario, subjects, arguments)
        if scenario.limit:
            log = log_of(scenario.kind, arguments.size)
            parts = dict.fromkeys(("read", "lines", scenario.limit))
            limits[name] = {part: limit(part, log, arguments.cpu) for part in parts}

    now = datetime.datetime.now(datetime.UTC)
    slug = arguments.machine or re.sub(r"[^a-z0-9]+", "-", str(about["cpu"]).lower()).strip("-")
    head = [f"# {now:%Y-%m-%d %H:%M} UTC, {about['cpu']}", ""]
    head += [f"- {key}: {value}" for key, value in {**about, **software}.items()]
    head += [f"- one core, {arguments.runs} alternating runs, medians; whole processes with start-up", ""]
    within = {} if arguments.no_inside else inside(arguments.cpu)
    rows = [*table(results, same, limits), *(["", *inside_table(within)] if within else [])]
    text = "\n".join([*head, *rows]) + "\n"
    raw = {
        "date": now.isoformat(timespec="seconds"),
        "machine": about,
        "versions": software,
        "results": {name: {s: asdict(m) for s, m in measured.items()} for name, measured in results.items()},
        "same_metrics": same,
        "limits": limits,
        "inside": within,
    }
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{now:%Y-%m-%d}-{slug}"
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    print(text)
    print(f"bench: written to {stem}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
