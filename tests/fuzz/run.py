"""Looks for inputs that break a target: `make fuzz`, or `make fuzz ARGS="--seconds 600 regex"`.

Each target runs in a process of its own under atheris (libFuzzer with Python's coverage and that of the native code,
which `make fuzz` builds with AddressSanitizer and UBSan).  What reaches new code is kept in build/fuzz/corpus, and an
input that breaks something in build/fuzz/found: give its path to run it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz"
NAMES = ("program", "regex", "engine", "fields", "octets", "http")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="of " + ", ".join(NAMES) + "; or files to run through one of them")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many inputs for each target")
    parser.add_argument("--quiet", action="store_true", help="print nothing but what was found")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    targets = [name for name in options.targets if name in NAMES]
    files = [name for name in options.targets if name not in NAMES]
    if files and len(targets) != 1:
        parser.error(f"which target is {files[0]} for?")
    if options.inside:
        fuzz(targets[0], files, options)
        return 0
    return max(run(name, files, options) for name in targets or NAMES)


def run(name: str, files: list[str], options: argparse.Namespace) -> int:
    """Fuzz one target in a process of its own; its exit status."""
    limits = ["--seconds", str(options.seconds), "--runs", str(options.runs)]
    command = [sys.executable, __file__, "--inside", *limits, name, *files]
    if not options.quiet:
        print(f"--- {name}", file=sys.stderr, flush=True)
        return subprocess.run(command, check=False).returncode
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
    return done.returncode


def fuzz(name: str, files: list[str], options: argparse.Namespace) -> None:
    """Does not return: libFuzzer ends the process, with a status that is not 0 if it found something."""
    import atheris  # which is slow to import, and absent where only the seeds are run

    sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
    with atheris.instrument_imports(include=["nativemtail"]):
        import targets
    kept, found = BUILD / "corpus" / name, BUILD / "found"
    for directory in (kept, found):
        directory.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"-max_total_time={options.seconds}",
        f"-runs={options.runs}",
        f"-max_len={targets.LONGEST}",
        f"-artifact_prefix={found}/{name}-",
        "-timeout=300",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-verbosity=0",
        "-seed=1",
    ]
    if (HERE / "dictionaries" / name).exists():
        arguments.append(f"-dict={HERE / 'dictionaries' / name}")
    places = files or [str(kept), str(HERE / "corpus" / name)]
    atheris.Setup([sys.argv[0], *arguments, *places], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
