"""What --state_dir costs (see perf/README.md).

    python perf/state.py cost restart size --record

cost     processor time of a daemon that reads syslog at a steady rate, with and without a state directory, in turn
restart  seconds from the start of a daemon with many series to the end of its first scrape
size     bytes in the directory, running and stopped, against twice the bytes of the labels and 60 a series
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from daemon import MEGABYTE, Subject, running
from generate import KINDS, Source
from report import PERF, RESULTS, machine, stem_name, versions

SERIES = "counter series_total by a, b\n/ series (?P<a>\\w+) (?P<b>\\w+)$/ {\n  series_total[$a][$b]++\n}\n"
NAMED = """
import ctypes, sys, threading
prctl, run = ctypes.CDLL(None).prctl, threading.Thread.run
def named(thread):
    prctl(15, thread.name.encode()[:15], 0, 0, 0)
    run(thread)
threading.Thread.run = named
from nativemtail.app.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command, with threads that the system knows by their names."""


def threads(process: int) -> dict[str, float]:
    """Seconds of the processor by name of the thread."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        name = (task / "comm").read_text().strip()
        spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[name] = found.get(name, 0.0) + spent
    return found


# --- scenarios -----------------------------------------------------------------------------------------------


def cost(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Processor seconds for the same lines; a tenth of them changes one of `--live` series, in random order."""
    blocks = _blocks(options.live)
    runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for _ in range(options.runs):
        for keeps in (False, True):
            found = _read(place, blocks, options, keeps=keeps)
            print(f"  state {keeps}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)
            runs[keeps].append(found)
    without, kept = ({key: _median(runs[keeps], key) for key in runs[keeps][0]} for keeps in (False, True))
    more = [100 * (with_["cpu"] / plain["cpu"] - 1) for plain, with_ in zip(runs[False], runs[True], strict=True)]
    low, middle, high = statistics.quantiles(more, n=4)
    return {
        "cpu_without": without["cpu"],
        "cpu_with": kept["cpu"],
        "more_percent": middle,
        "more_percent_lower_quartile": low,
        "more_percent_upper_quartile": high,
        "state_thread_percent": 100 * kept["state"] / without["cpu"],
        "tail_thread_more_percent": 100 * (kept["tail"] - without["tail"]) / without["cpu"],
        "saves": kept["saves"],
        "MB_per_save": kept["saved_MB"] / kept["saves"],
        "ms_per_save": 1000 * kept["saving"] / kept["saves"],
    }


def _median(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def _blocks(live: int) -> list[bytes]:
    """Syslog lines in blocks of half a megabyte; each of the series is in one of them."""
    chosen = random.Random(7)
    left = list(range(live))
    chosen.shuffle(left)
    source = Source(7)
    line = KINDS["syslog"][0]
    made: list[bytes] = []
    while left:
        lines, size = [], 0
        while size < MEGABYTE // 2:
            text = line(source, len(made))
            if chosen.random() < 0.1 and left:
                number = left.pop()
                text = text.partition(": ")[0] + f": series host{number % 100} path{number}\n"
            lines.append(text)
            size += len(text)
        made.append("".join(lines).encode())
    return made


def _read(place: Path, blocks: list[bytes], options: argparse.Namespace, *, keeps: bool) -> dict[str, float]:
    """Seconds of the processor, without those of pages, and by thread, for what is written in `--seconds`."""
    log = place / "syslog.log"
    log.write_bytes(b"")
    progs = place / "progs"
    progs.mkdir(exist_ok=True)
    for program in sorted((PERF / "programs" / "syslog").glob("*.mtail")):
        (progs / program.name).write_bytes(program.read_bytes())
    state = place / "state"
    flags = ["-state_dir", str(state), "-state_interval", options.interval] if keeps else []
    with running("nativemtail", [*_named(options), *flags], SERIES, str(log), place) as subject:
        count = _write(log, blocks, 5, options, subject, 0)  # every series is there now
        before, saves = threads(subject.process.pid), _saves(subject) if keeps else {}
        _write(log, blocks, options.seconds, options, subject, count)
        after = threads(subject.process.pid)
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        mine = {name: seconds for name, seconds in spent.items() if not name.startswith("http")}
        found = {"cpu": sum(mine.values()), "tail": spent["tail"]}
        if keeps:
            found["state"] = spent["state"]
            found |= {name: value - saves[name] for name, value in _saves(subject).items()}
    for path in state.glob("*"):
        path.unlink()
    return found


def _write(
    log: Path, blocks: list[bytes], seconds: float, options: argparse.Namespace, subject: Subject, count: int
) -> int:
    """Write at a steady rate, and wait until it is read; how many lines that made since the beginning.

    The log is renamed now and then, and its file deleted later.
    """
    old = log.with_suffix(".old")
    begin = rotated = time.monotonic()
    written = number = 0
    file = log.open("ab", buffering=0)
    while written < seconds * options.rate * MEGABYTE:
        block = blocks[number % len(blocks)]
        number += 1
        file.write(block)
        written += len(block)
        count += block.count(b"\n")
        now = time.monotonic()
        if now > rotated + 10:
            rotated = now
            log.replace(old)
            file.close()
            file = log.open("ab", buffering=0)
        time.sleep(max(0.0, begin + written / (options.rate * MEGABYTE) - time.monotonic()))
    file.close()
    if not subject.wait("mtail_lines_total", count, seconds + 60):
        raise SystemExit("the lines were not read in time")
    return count


def _saves(subject: Subject) -> dict[str, float]:
    names = {"saves": "state_saves_total", "saved_MB": "state_save_bytes_total", "saving": "state_save_seconds_sum"}
    found = {name: subject.value(metric) or 0.0 for name, metric in names.items()}
    return found | {"saved_MB": found["saved_MB"] / MEGABYTE}


def _named(options: argparse.Namespace) -> list[str]:
    python = Path(options.nativemtail).with_name("python")
    return [str(python), "-c", NAMED]


def restart(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds from the start to the end of the first scrape, which shows all series."""
    _fill(place, options)
    log = place / "series.log"
    took, used, waited = [], [], []
    for _ in range(options.runs):
        begin = time.monotonic()
        flags = ["-state_dir", str(place / "state")]
        with running("nativemtail", [options.nativemtail, *flags], SERIES, str(log), place) as subject:
            page = subject.get("/metrics")
            took.append(time.monotonic() - begin)
            used.append(subject.cpu_seconds())
            waited.append(int(Path(f"/proc/{subject.process.pid}/schedstat").read_text().split()[1]) / 1e9)
            if page.count(b"\nseries_total{") != options.series:
                raise SystemExit("some series are missing")
            memory = subject.memory()
    return {
        "series": options.series,
        "seconds": statistics.median(took),
        "cpu_seconds": statistics.median(used),
        "main_thread_waited_for_a_processor": statistics.median(waited),
        "memory_MB": memory / MEGABYTE,
    }


def size(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """Bytes in the directory, beside twice those of the labels and 60 a series."""
    labels = _fill(place, options)
    stopped = _bytes(place / "state")
    log = place / "series.log"
    flags = ["-state_dir", str(place / "state"), "-state_interval", "1s"]
    with running("nativemtail", [options.nativemtail, *flags], SERIES, str(log), place) as subject:
        lines = 0
        grown = 0
        for _ in range(3):  # all change, three times
            saves = subject.value("state_saves_total") or 0.0
            with log.open("ab") as file:
                file.writelines(_series(options.series))
            lines += options.series
            subject.wait("mtail_lines_total", lines)
            while (subject.value("state_saves_total") or 0.0) < saves + 2:
                with log.open("ab") as file:
                    file.write(b"x\n")
                lines += 1
                time.sleep(0.1)
            grown = max(grown, _bytes(place / "state"))
    limit = 2 * labels + 60 * options.series
    return {
        "series": options.series,
        "label_MB": labels / MEGABYTE,
        "limit_MB": limit / MEGABYTE,
        "stopped_MB": stopped / MEGABYTE,
        "running_MB": grown / MEGABYTE,
        "stopped_again_MB": _bytes(place / "state") / MEGABYTE,
    }


def _fill(place: Path, options: argparse.Namespace) -> int:
    """A state with many series; the bytes of their labels."""
    log = place / "series.log"
    with log.open("wb") as file:
        file.writelines(_series(options.series))
    progs = place / "progs"
    progs.mkdir()
    (progs / "program.mtail").write_text(SERIES)
    command = [options.nativemtail, "-one_shot", "-progs", str(progs), "-logs", str(log)]
    subprocess.run([*command, "-state_dir", str(place / "state")], check=True, stdout=subprocess.DEVNULL)
    return sum(len(line.split(b" series ")[1]) - 2 for line in _series(options.series))


def _series(number: int) -> list[bytes]:
    return [b"at series host%04d path%06d\n" % (i % 1000, i) for i in range(number)]


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


# --- the command ---------------------------------------------------------------------------------------------

SCENARIOS: dict[str, Callable[[Path, argparse.Namespace], dict[str, float]]] = {
    "cost": cost,
    "restart": restart,
    "size": size,
}
SIZES = ("rate", "seconds", "interval", "live", "series", "runs")


def main() -> int:
    options = _options()
    about = machine()
    results = {}
    for scenario in options.scenarios:
        with tempfile.TemporaryDirectory(prefix="nativemtail-perf-", dir=options.directory) as directory:
            results[scenario] = SCENARIOS[scenario](Path(directory), options)
        shown = ", ".join(f"{key} {value:.4g}" for key, value in results[scenario].items())
        print(f"{scenario:8} {shown}", flush=True)
    if options.record:
        _record(about, results, options)
    return 0


def _record(about: dict[str, str | int], results: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """Write the results where those of `bench.py` are."""
    now = datetime.datetime.now(datetime.UTC)
    software = versions({"nativemtail": [options.nativemtail]})
    lines = [f"# What --state_dir costs, {now:%Y-%m-%d %H:%M} UTC, {about['cpu']}", ""]
    lines += [f"- {key}: {value}" for key, value in {**about, **software}.items()]
    sizes = {name: getattr(options, name) for name in SIZES}
    lines.append("- " + ", ".join(f"{name} {value}" for name, value in sizes.items()))
    for scenario, found in results.items():
        lines += ["", f"| {scenario} | |", "|---|---|"]
        lines += [f"| {key} | {value:,.4g} |" for key, value in found.items()]
    RESULTS.mkdir(exist_ok=True)
    stem = str(RESULTS / f"{stem_name(now, about, options.machine)}-state")
    raw = {"date": now.isoformat(timespec="seconds"), "machine": about, "versions": software, "sizes": sizes}
    Path(stem + ".md").write_text("\n".join(lines) + "\n")
    Path(stem + ".json").write_text(json.dumps({**raw, "results": results}, indent=1) + "\n")
    print(f"written to {stem}.md and .json", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+", choices=list(SCENARIOS))
    beside = Path(sys.executable).with_name("nativemtail")
    parser.add_argument("--nativemtail", default=str(beside), help="the command (default: beside this Python)")
    parser.add_argument("--record", action="store_true", help="write a report into results/")
    parser.add_argument("--machine", help="name of this machine in the file names (default: its processor)")
    parser.add_argument("--directory", help="where logs and state are written; the system's temporary directory")
    parser.add_argument("--rate", type=float, default=50, help="cost: megabytes a second")
    parser.add_argument("--seconds", type=float, default=25, help="cost: how long a run is")
    parser.add_argument("--interval", default="5s", help="cost: time between two saves")
    parser.add_argument("--live", type=int, default=100_000, help="cost: series that change between two saves")
    parser.add_argument("--series", type=int, default=1_000_000, help="restart, size: series")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median is taken")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
