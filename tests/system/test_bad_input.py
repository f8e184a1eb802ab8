"""Programs and logs that are wrong, huge or gone: one clear message, nothing lost that was counted, no crash."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from paths import EXAMPLES

COMMAND = [sys.executable, "-m", "nativemtail"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
TIMEOUT = 600

COUNT = "counter lines\n/$/ {\n  lines++\n}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an empty directory for programs and a log of three lines."""
    monkeypatch.chdir(tmp_path)
    Path("progs").mkdir()
    Path("log").write_bytes(b"one\ntwo\nthree\n")
    return tmp_path


PEAK = (
    sys.executable,
    "-c",
    (
        "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(status)"
    ),
)
"""In front of a command: the last word on standard error is its peak resident set in KiB."""


def run(*arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    """The command; whatever happens, it does not end with a traceback or a signal."""
    done = subprocess.run(
        [*before, *COMMAND, "-one_shot", *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 1), done.stderr
    return done


def counted(done: subprocess.CompletedProcess[bytes], name: str = "lines") -> int:
    assert done.returncode == 0, done.stderr
    [metric] = json.loads(done.stdout)[name]
    return int(metric["LabelValues"][0]["Value"]["Value"])


# --- programs ------------------------------------------------------------------------------------------------


def test_a_wrong_program_among_good_ones(here: Path) -> None:
    Path("progs/a.mtail").write_text(COUNT)
    Path("progs/b.mtail").write_text("counter c\n/x/ {\n  d++\n}\n")
    Path("progs/c.mtail").write_text(COUNT)
    done = run("-progs", "progs", "-logs", "log")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"compile failed for b.mtail:\nb.mtail:3:3: Identifier `d' not declared." in done.stderr


def test_missing_directory(here: Path) -> None:
    done = run("-progs", "none", "-logs", "log")
    assert done.returncode == 1
    assert b"stat none: no such file or directory" in done.stderr


def test_unreadable_directory(here: Path) -> None:
    Path("loop").symlink_to("loop")
    done = run("-progs", "loop", "-logs", "log")
    assert done.returncode == 1
    assert b"stat loop: too many levels of symbolic links" in done.stderr


@pytest.mark.parametrize("path", ["progs", "log"])
def test_no_program_at_all(path: str, here: Path) -> None:
    done = run("-progs", path, "-logs", "log")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"no program in {path}: their names end in .mtail" in done.stderr.decode()


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe", b"counter \xe9\n", b"/\xff\xc3(/ {\n}\n", b'counter a as "\xff"\n/x/ {\n  a++\n}\n', bytes(100)],
)
def test_a_program_that_is_not_text(text: bytes, here: Path) -> None:
    Path("progs/a.mtail").write_bytes(text)
    done = run("-progs", "progs", "-logs", "log")
    if done.returncode:
        assert b"a.mtail:1:" in done.stderr


def test_a_program_of_ten_megabytes(here: Path) -> None:
    comment = "# a comment that fills the line, as comments do in a program that somebody has generated\n"
    Path("progs/a.mtail").write_text(comment * (10 * 1024 * 1024 // len(comment)) + COUNT)
    assert counted(run("-progs", "progs", "-logs", "log")) == 3


@pytest.mark.slow
def test_a_wrong_program_of_a_megabyte(here: Path) -> None:
    Path("progs/a.mtail").write_text("(" * (1024 * 1024))
    done = run("-progs", "progs", "-logs", "log")
    assert done.returncode == 1
    assert b"a.mtail:1:" in done.stderr
    assert len(done.stderr) < 100_000


@pytest.mark.slow
def test_ten_thousand_patterns(here: Path) -> None:
    blocks = [f"/pattern{number:05d} (\\d+)/ {{\n  lines++\n}}\n" for number in range(10_000)]
    Path("progs/a.mtail").write_text("counter lines\n" + "".join(blocks))
    Path("log").write_text("pattern00000 1\npattern09999 12\npattern10000 1\nnothing\n")
    assert counted(run("-progs", "progs", "-logs", "log")) == 2


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a" * 1024, None),
        ("a" * 1025, "Exceeded maximum regular expression pattern length of 1024 bytes with 1025."),
        ("(a{0,1000})?", None),
        ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("(" * 510 + ")" * 510, None),
        ("(?:a{0,30}){0,30}", None),
        ("((a{100}){100}){100}", "error parsing regexp: invalid repeat count"),
        ("(x+x+)+y", None),
    ],
)
def test_patterns_at_the_limits(pattern: str, message: str | None, here: Path) -> None:
    Path("progs/a.mtail").write_text(f"counter lines\n/{pattern}/ {{\n  lines++\n}}\n")
    Path("log").write_bytes(b"a" * 2000 + b"\n" + b"x" * 100_000 + b"\n")
    done = run("-progs", "progs", "-logs", "log")
    if message is None:
        assert counted(done) >= 0
    else:
        assert done.returncode == 1
        assert message in done.stderr.decode()


# --- logs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def counting(here: Path) -> Path:
    Path("progs/count.mtail").write_text(COUNT)
    return here


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "no file matches {}/none"),
        ("directory", "{}/directory is a directory"),
        ("loop", "stat {}/loop: too many levels of symbolic links"),
        ("/dev/null", 'unsupported file type: "/dev/null"'),
    ],
)
def test_a_log_that_cannot_be_read(name: str, message: str, counting: Path) -> None:
    Path("directory").mkdir()
    Path("loop").symlink_to("loop")
    done = run("-progs", "progs", "-logs", f"{name},log", "-logtostderr")
    assert counted(done) == 3
    assert message.format(os.getcwd()) in done.stderr.decode()


@pytest.mark.parametrize(
    ("name", "told"),
    [("none", True), ("directory", True), ("loop", True), ("/dev/null", True), ("no*", True), ("[dl]*o*[py]", False)],
)
def test_a_path_that_was_written_out_and_is_no_log_is_told_unasked(name: str, told: bool, counting: Path) -> None:
    Path("directory").mkdir()
    Path("loop").symlink_to("loop")
    done = run("-progs", "progs", "-logs", f"{name},log")
    assert counted(done) == 3
    assert bool(done.stderr) == told


def test_a_log_without_permission(counting: Path) -> None:
    """As a user without privileges, also when the tests run as root."""
    secret = Path("secret")
    secret.write_bytes(b"x\n")
    secret.chmod(0)
    script = (
        "import os, sys\n"
        "from nativemtail.app.cli import main\n"
        "import nativemtail.app.oneshot, nativemtail.programs.manager\n"
        "import nativemtail.programs.zones, nativemtail.compiler.plan\n"
        "os.geteuid() or drop()\n"
        "sys.exit(main())\n"
    )
    # Bit 1 and 2 of the capabilities let root read everything; without them files' modes count for it too.
    drop = "def drop():\n import ctypes\n libc = ctypes.CDLL(None)\n [libc.prctl(24, n) for n in (1, 2)]\n"
    drop += " header = (ctypes.c_uint32 * 2)(0x20080522, 0)\n data = (ctypes.c_uint32 * 6)()\n"
    drop += " libc.capset(header, data)\n"
    done = subprocess.run(
        [sys.executable, "-c", drop + script, "-one_shot", "-progs", "progs", "-logs", "secret,log"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert counted(done) == 3
    assert f"open {os.getcwd()}/secret: permission denied" in done.stderr.decode()


def test_a_log_that_vanishes_and_shrinks_while_read(counting: Path) -> None:
    """The reader holds the file: what it has when the name goes is read to the end."""
    os.mkfifo("gate")
    Path("a.log").write_bytes(b"x\n" * 100_000)
    process = subprocess.Popen(
        [*COMMAND, "-one_shot", "-progs", "progs", "-logs", "gate,a.log"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with open("gate", "wb", buffering=0) as gate:
        Path("a.log").unlink()
        gate.write(b"y\n")
    output, messages = process.communicate(timeout=TIMEOUT)
    done = subprocess.CompletedProcess([], process.returncode, output, messages)
    assert counted(done) in (1, 100_001), messages
    assert b"Traceback" not in messages


def test_a_line_of_a_hundred_megabytes(counting: Path) -> None:
    Path("progs/size.mtail").write_text("gauge longest\n/^(x.*)$/ {\n  longest = len($1)\n}\n")
    with open("log", "wb") as log:
        log.write(b"first\n")
        for _ in range(100):
            log.write(b"x" * (1024 * 1024))
        log.write(b"\nlast\n")
    done = run("-progs", "progs", "-logs", "log", "-stderrthreshold=WARNING", before=PEAK)
    assert counted(done) == 3
    assert counted(done, "longest") == 1024 * 1024
    assert "lines longer than -max_line_length=1048576, and cut: 1\n" in done.stderr.decode()
    assert int(done.stderr.split()[-1]) < 100 * 1024, "KiB resident"


def test_max_line_length(counting: Path) -> None:
    Path("progs/size.mtail").write_text("counter sum\n/^(x*)$/ {\n  sum += len($1)\n}\n")
    Path("log").write_bytes(b"x" * 5000 + b"\n" + b"x" * 2048 + b"\n" + b"x" * 2049)
    done = run("-progs", "progs", "-logs", "log", "-max_line_length=2048", "-stderrthreshold=WARNING")
    assert counted(done, "sum") == 3 * 2048
    assert "and cut: 2\n" in done.stderr.decode()


@pytest.mark.parametrize(
    "data", [b"x\0" * 1000, b"\xff" * 1000, b"\r\n" * 1000, os.urandom(100_000), "\u2028é".encode() * 99]
)
def test_logs_that_are_not_text(data: bytes, counting: Path) -> None:
    Path("log").write_bytes(data)
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    assert counted(run("-progs", "progs", "-logs", "log")) == lines


# --- the machine ---------------------------------------------------------------------------------------------

WITHOUT_JIT = """\
import ctypes, mmap, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    from nativemtail.app.cli import main
    sys.exit(main())
"""


def test_a_machine_that_allows_no_jit(counting: Path) -> None:
    """As under systemd's MemoryDenyWriteExecute: PCRE2 can make no code, so RE2 takes all captures."""
    examples = EXAMPLES
    arguments = ["-one_shot", "-progs", str(examples), "-logs", f"{examples}/logs/*.log"]
    expected = run(*arguments[1:])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_JIT, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    if done.returncode == 77:
        pytest.skip("Linux before 6.3 cannot forbid code that is made at run time")
    assert (done.returncode, done.stderr) == (0, b"")
    time = re.compile(rb'"Time": \d+')
    assert len(expected.stdout) > 10_000
    assert time.sub(b"", done.stdout) == time.sub(b"", expected.stdout)


WITH_LITTLE_MEMORY = """\
import resource, sys
from nativemtail.app import oneshot
from nativemtail.programs import manager
from nativemtail.app.cli import main
pages = int(open("/proc/self/statm").read().split()[0])
size = pages * resource.getpagesize() + 250_000_000
resource.setrlimit(resource.RLIMIT_AS, (size, size))
sys.exit(main())
"""


def test_a_machine_without_memory(counting: Path) -> None:
    Path("progs/keys.mtail").write_text("counter c by key\n/(.+)/ {\n  c[$1]++\n}\n")
    with open("log", "wb") as log:
        log.writelines(b"%0100d\n" % number for number in range(1_000_000))
    done = subprocess.run(
        [sys.executable, "-c", WITH_LITTLE_MEMORY, "-one_shot", "-progs", "progs", "-logs", "log"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.endswith(b"out of memory\n")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress, lzma.compress], ids=["bzip2", "gzip", "xz"])
@pytest.mark.parametrize("place", ["middle", "checksum", "cut short"])
def test_what_is_before_the_damage_counts(counting: Path, pack: Callable[[bytes], bytes], place: str) -> None:
    """As with zcat, bzcat and xzcat: then an error, and status 1."""
    packed = bytearray(pack(b"".join(b"line %d\n" % number for number in range(500_000))))
    if place == "cut short":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2 if place == "middle" else -6] ^= 0x55
    (counting / "damaged").write_bytes(packed)
    done = run("--progs", "progs", "--logs", "damaged")
    assert done.returncode == 1
    assert b"damaged: " in done.stderr
    [metric] = json.loads(done.stdout)["lines"]
    assert 0 < metric["LabelValues"][0]["Value"]["Value"] <= 500_001
