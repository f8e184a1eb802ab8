"""Instructions that the core spends on a small fixed workload, by stage, beside what they were: callgrind counts them.

    python perf/instructions.py             # compare with instructions.json; exit status 1 when a stage grew
    python perf/instructions.py --record    # make what is measured now the new baseline

Only scanning and rendering are counted.  A baseline holds for one compiler and one set of libraries.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from generate import batches

PERF = Path(__file__).resolve().parent
SOURCE = PERF.parent / "src"
CORE = SOURCE / "nativemtail" / "core"
BASELINE = PERF / "instructions.json"
BYTES = 400_000
"""Of log for each workload."""
MARGIN = 0.03
LEAST = 0.01
"""A stage with less than this fraction of its workload is not compared by itself."""

WORKLOADS = {"apache": "apache", "syslog": "syslog", "json": "json", "lines": "apache"}
"""Directories in perf/programs and the kinds of log that they read."""

Counts = dict[str, dict[str, int]]
"""Instructions by workload and stage."""

NATIVE = {"onepass": "match", "literal": "match", "index": "run", "skip": "run", "teddy": "prefilter"}
"""Stages of the functions in core/*.hpp, by the first word of their names."""

LIBRARIES = {
    "libhs": "prefilter",
    "libpcre2": "match",
    "libre2": "match",
    "???": "match",
    "libc": "libc",
    "libstdc": "libc",
}
"""Stages of what is not the core's own code; code of no file is what PCRE2's JIT made."""


def key() -> str:
    """What a baseline depends on besides the sources."""
    command = ["readelf", "-p", ".comment", str(extension())]
    comment = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    compilers = sorted(set(re.findall(r"GCC: .*|clang version .*", comment)))
    parts = [platform.machine(), *compilers, " ".join(platform.libc_ver())]
    for library in ("libhs", "libpcre2-8", "re2"):
        answer = subprocess.run(["pkg-config", "--modversion", library], check=True, capture_output=True, text=True)
        parts.append(f"{library} {answer.stdout.strip()}")
    flags = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    parts.append("AVX2" if flags and " avx2 " in f"{flags[1]} " else "no AVX2")  # all that valgrind passes on
    return "; ".join(parts)


def extension(name: str = "_core") -> Path:
    return SOURCE / "nativemtail" / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"


def symbols() -> tuple[list[str], str]:
    """The functions that are counted, with all that they call, and the one that begins a workload."""
    command = ["nm", "-C", str(extension()), str(extension("_render"))]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counted = [*re.findall(r" t (\S*Engine__scan\(.*\))$", names, re.MULTILINE)]
    counted += re.findall(r" t (\S*_pw_\S*Page_\d+prometheus\(.*\))$", names, re.MULTILINE)
    begin = re.findall(r" t (\S*Engine__swap\(.*\))$", names, re.MULTILINE)
    if len(counted) != 2 or len(begin) != 1:
        raise SystemExit("instructions: the extension lacks the symbols of the functions to count")
    return counted, begin[0]


def measure() -> Counts:
    """Run the workloads under callgrind."""
    counted, begin = symbols()
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--dump-before={begin}"]
        command += [f"--toggle-collect={name}" for name in counted]
        command += [f"--callgrind-out-file={scratch}/out", sys.executable, __file__, "--run"]
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(SOURCE)}
        answer = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if answer.returncode:
            raise SystemExit(f"instructions: {answer.stderr}")
        # One part before the first workload, one before each other, and the rest.
        parts = [Path(f"{scratch}/out.{number}") for number in range(2, len(WORKLOADS) + 1)] + [Path(f"{scratch}/out")]
        stage = stages()
        return {name: count(part, stage) for name, part in zip(WORKLOADS, parts, strict=True)}


def stages() -> dict[str, str]:
    """The core's functions, and the files or folders that define them."""
    found = {}
    for path in sorted(CORE.rglob("*.pxi")):
        for name in re.findall(r"^(?:    )?(?:cdef|def) .*?(\w+)\(", path.read_text(), re.MULTILINE):
            found[name] = path.stem if path.parent == CORE else path.parent.name
    return found


def count(part: Path, stage: Mapping[str, str]) -> dict[str, int]:
    """Sums by stage of one file in callgrind's format: costs of a function itself, not of its calls."""
    total: Counter[str] = Counter()
    names: dict[tuple[str, str], str] = {}
    here, call = "", False
    place = {"ob": "", "fn": ""}
    for line in part.read_text().splitlines():
        field = re.match(r"c?(ob|fn)=\((\d+)\)(?: (.*))?$", line)
        if field:
            kind, number, name = field.groups()
            if name is not None:
                names[kind, number] = name
            if not line.startswith("c"):
                place[kind] = names[kind, number]
                here = stage_of(place["ob"], place["fn"], stage)
        elif line.startswith("calls="):
            call = True
        elif re.match(r"[+\-*\d]", line):
            if not call:
                total[here] += int(line.split()[1])
            call = False
    return dict(sorted(total.items()))


def stage_of(library: str, function: str, stage: Mapping[str, str]) -> str:
    name = Path(library).name
    if name.startswith(("_core", "_render")):
        native = re.match(r"(?:[\w ]+ )?nm::([a-z]+)", function)  # a template's name has its type in front
        if native:
            return NATIVE.get(native[1], "other")
        cython = re.match(r"__pyx_\w+?_(?:5_core|7_render)_(?:\d+[A-Z][a-z]+_(?:\d+)?)?(\w+)", function)
        return stage.get(cython[1], "other") if cython else "other"
    return next((found for prefix, found in LIBRARIES.items() if name.startswith(prefix)), "other")


def run() -> None:
    """What is counted: each workload once."""
    from nativemtail._core import Engine, Plan, Store, TimeZone
    from nativemtail._render import Page
    from nativemtail.compiler import compile_program, plan
    from nativemtail.programs import zones
    from nativemtail.programs.directory import list_programs
    from nativemtail.programs.metrics import make_metrics

    importlib.import_module("nativemtail._core_testing")._test_take_time()
    zone = TimeZone(zones.load("UTC"))
    for name, kind in WORKLOADS.items():
        programs = []
        for program, path in list_programs(str(PERF / "programs" / name)):
            compiled = compile_program(program, Path(path).read_bytes())
            programs.append((compiled, make_metrics(program, compiled.metrics)))
        store = Store()
        for _, metrics in programs:
            for metric in metrics:
                store.add(metric)
        engine = Engine(store)
        engine.swap(Plan(plan.build(programs), zone=zone))
        source = engine.open("log")
        log = b"".join(islice(batches(kind), 2))[:BYTES]
        for block in blocks(log):
            engine.scan(source, block)
        Page(store.snapshot()).prometheus()


def blocks(log: bytes) -> Iterator[bytes]:
    """Whole lines, some 128 KiB at a time."""
    at = 0
    while (end := log.rfind(b"\n", at, at + 131072) + 1) > at:
        yield log[at:end]
        at = end


def grown(now: Counts, before: Counts) -> Iterator[str]:
    """What needs more than MARGIN more instructions than before, in words."""
    for workload, counts in now.items():
        old = before.get(workload, {})
        all_now, all_old = sum(counts.values()), sum(old.values())
        if all_now <= all_old * (1 + MARGIN):
            continue
        yield f"{workload}: {change(all_now, all_old)}"
        for stage in sorted(counts, key=lambda stage: old.get(stage, 0) - counts[stage]):
            more = counts[stage] - old.get(stage, 0)
            if more > LEAST * all_old:
                yield f"{workload}, {stage}: {change(counts[stage], old.get(stage, 0))}"


def change(now: int, before: int) -> str:
    percent = f" ({100 * (now / before - 1):+.1f} %)" if before else ""
    return f"{now:,} instructions, were {before:,}{percent}"


def load(path: Path) -> dict[str, Counts]:
    """The baselines by key."""
    found: dict[str, Counts] = json.loads(path.read_text()) if path.exists() else {}
    return found


def record(path: Path, counts: Counts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(load(path) | {key(): counts}, indent=1, sort_keys=True) + "\n")


def table(now: Counts, before: Counts) -> Iterator[str]:
    for workload, counts in now.items():
        old = before.get(workload, {})
        yield f"{workload}: {change(sum(counts.values()), sum(old.values()))}"
        for stage, number in sorted(counts.items(), key=lambda item: -item[1]):
            yield f"    {stage:10} {change(number, old.get(stage, 0))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="the new baseline")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run()
        return 0
    now = measure()
    before = load(BASELINE).get(key(), {})
    for line in table(now, before):
        print(line)
    if arguments.record:
        record(BASELINE, now)
    elif not before:
        print(f"no baseline for {key()}")
    return int(bool(before) and not arguments.record and any(grown(now, before)))


if __name__ == "__main__":
    sys.exit(main())
