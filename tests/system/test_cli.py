"""The command, run as a process: start-up, exit status, one-shot over every kind of source."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from waiting import PATIENCE, wait_until

from nativemtail import __version__
from nativemtail.app.commands import group
from nativemtail.io.pipe import waiting
from nativemtail.options import COMMANDS

COMMAND = [sys.executable, "-m", "nativemtail"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
COUNT = "counter lines by file\n/$/ {\n  lines[getfilename()]++\n}\n"
TIMEOUT = PATIENCE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a program that counts lines by source, and a log of three lines."""
    monkeypatch.chdir(tmp_path)
    Path("count.mtail").write_text(COUNT)
    Path("three.log").write_bytes(b"one\ntwo\nthree\n")
    return tmp_path.resolve()


def run(
    *arguments: str,
    stdin: Any = subprocess.DEVNULL,
    input: bytes | None = None,
    stdout: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=ENVIRONMENT,
        check=False,
        timeout=TIMEOUT,
        input=input,
        stdin=None if input is not None else stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def start(*arguments: str, stdin: Any = subprocess.DEVNULL, stderr: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *arguments], env=ENVIRONMENT, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr)


def count(*logs: str, flags: tuple[str, ...] = (), **options: Any) -> dict[str, int]:
    """Lines by source, as one-shot prints them."""
    arguments = [argument for log in logs for argument in ("-logs", log)]
    done = run("-one_shot", "-progs", "count.mtail", *arguments, *flags, **options)
    assert done.returncode == 0, done.stderr
    return lines_of(done.stdout)


def lines_of(output: bytes) -> dict[str, int]:
    [metric] = json.loads(output)["lines"]
    return {row["Labels"][0]: row["Value"]["Value"] for row in metric.get("LabelValues", [])}


# --- start-up ------------------------------------------------------------------------------------------------


def test_version() -> None:
    done = run("-version")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(f"nativemtail version {__version__} ".encode())
    assert done.stdout.count(b"\n") == 1


def test_help_goes_to_standard_error() -> None:
    done = run("-help")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"nativemtail version")
    assert b"\nUsage:\n" in done.stderr
    assert b"\n  -progs path\n" in done.stderr
    assert all(f"\n  {name} ".encode() in done.stderr for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-nosuch"], 2, "flag provided but not defined: -nosuch"),
        (["-prog", "x"], 2, "did you mean -progs?"),
        (["-poll_interval=5"], 2, 'invalid value "5" for flag -poll_interval: parse error'),
        (["extra"], 1, 'Too many extra arguments specified: ["extra"]'),
        (["-progs", "x", "more", 'q"'], 1, 'Too many extra arguments specified: ["more" "q\\""]'),
        (["-override_timezone=Foo/Bar"], 1, 'Couldn\'t parse timezone "Foo/Bar": unknown time zone Foo/Bar'),
        ([], 1, "please use the flag -progs to specify the directory containing the programs."),
        (["-progs", "count.mtail"], 1, "please use the flag -logs one or more times"),
        (["-progs", "none", "-logs", "x"], 1, "-progs: stat none: no such file or directory"),
        (["-progs", "count.mtail", "-logs", "x", "-poll_interval=-1s"], 1, "-poll_interval must not be negative: -1s"),
        (["-progs", "count.mtail", "-logs", "x", "-max_line_length=5"], 1, "-max_line_length must be at least 1024: 5"),
        (["-one_shot", "-progs", "count.mtail", "-logs", "unix://"], 1, "socket address cannot be empty"),
        (["-one_shot", "-progs", "count.mtail", "-logs", "journald://x"], 1, 'unsupported URL scheme "journald"'),
        (
            ["-one_shot", "-progs", "count.mtail", "-logs", "x", "-ignore_filename_regex_pattern=a("],
            1,
            "-ignore_filename_regex_pattern: error parsing regexp: missing closing ): `a(`",
        ),
        (
            ["-one_shot", "-progs", "count.mtail", "-logs", "three.log", "-one_shot_format=xml"],
            1,
            'unsupported format: "xml" (-one_shot_format is json or prometheus)',
        ),
    ],
)
def test_refused(arguments: list[str], status: int, message: str, here: Path) -> None:
    done = run(*arguments)
    assert done.returncode == status
    assert message in done.stderr.decode()
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [["-compile_only"], ["-one_shot", "-logs", "log"]])
def test_warnings_are_seen_and_change_no_status(flags: list[str], here: Path) -> None:
    Path("log").write_text("level 21.5\n")
    Path("a.mtail").write_text("gauge level\n/^level (\\S+)$/ {\n  level = $1\n}\n")
    warning = b"a.mtail:3:11-12: gauge `level' holds text and is exported as 0: $1 is a String.\n\tWrite float($1)"
    for _ in range(2):  # compiled, then from the cache
        done = run(*flags, "-progs", ".", "-cache_dir", "cache")
        assert done.returncode == 0
        assert done.stderr.count(warning) == 1
        assert re.match(rb"W\d{4} ", done.stderr)


def test_compile_only(here: Path) -> None:
    assert run("-compile_only", "-progs", ".").returncode == 0
    Path("a.mtail").write_text("counter lines\n")
    done = run("-compile_only", "-progs", ".")
    assert done.returncode == 1
    assert (
        b"compile failed for a.mtail:\na.mtail:1:9-13: Declaration of variable `lines' here is never used"
        in done.stderr
    )


def test_compile_only_says_what_is_wrong_with_each_program(here: Path) -> None:
    Path("a.mtail").write_text("counter lines\n")
    Path("b.mtail").write_text("counter c\n/x/ {\n  c++\n}\n")
    Path("c.mtail").write_text("counter c\n/(/ {\n  c++\n}\n")
    os.mkfifo("d.mtail")
    done = run("-compile_only", "-progs", ".")
    assert done.returncode == 1
    for message in (b"a.mtail:1:9-13: Declaration of", b"c.mtail:2:1-3: error parsing regexp", b"not a regular file"):
        assert done.stderr.count(message) == 1
    assert b"b.mtail" not in done.stderr


def test_programs_of_several_places_need_different_names(here: Path) -> None:
    for name in ("one", "two"):
        Path(name).mkdir()
        Path(name, f"{name}.mtail").write_text("counter c\n/x/ {\n  c++\n}\n")
    assert run("-compile_only", "-progs", "one,two", "-progs", "two/two.mtail").returncode == 0
    Path("one/two.mtail").write_text("counter d\n/x/ {\n  d++\n}\n")
    clash = b"two/two.mtail is left out: one/two.mtail has the same name; rename one of them"
    for flags in (["-compile_only"], ["-one_shot", "-logs", "log"]):
        done = run(*flags, "-progs", "one", "-progs", "two")
        assert done.returncode == 1
        assert clash in done.stderr
    done = run("explain", "one", "two")
    assert (done.returncode, done.stderr) == (1, b"Error: " + clash + b"\n")
    assert run("explain", "one", "two/two.mtail", "two/../one/two.mtail").returncode == 1
    assert run("explain", "one", "two/../one/two.mtail").returncode == 0


def test_compile_only_of_no_program_is_status_1(here: Path) -> None:
    Path("none").mkdir()
    done = run("-compile_only", "-progs", "none")
    assert done.returncode == 1
    assert b"no program in none: their names end in .mtail" in done.stderr


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no such file or directory"),
        (Path.touch, "not a directory"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
    ],
)
def test_a_log_dir_that_cannot_be_used_is_said_and_replaced(
    make: Callable[[Path], object], why: str, here: Path
) -> None:
    make(Path("messages"))
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "three.log", "-log_dir", "messages")
    assert done.returncode == 0
    assert done.stderr.count(f"-log_dir messages: {why}; messages go to standard error instead".encode()) == 1


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 << 30)


@pytest.mark.parametrize("flags", [["-compile_only"], ["-one_shot", "-logs", "three.log"]])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("/"), b"not a regular file"),
        (os.mkfifo, b"not a regular file"),
        (_sparse, b"larger than 16 MiB"),
        (lambda path: path.symlink_to("/proc/kmsg"), b'Failed to read program "./a.mtail"'),
        (lambda path: path.write_bytes(b"\xff"), b"compile failed for a.mtail:"),
    ],
)
def test_a_program_that_is_none_ends_it_with_status_1(
    make: Callable[[Path], object], message: bytes, flags: list[str], here: Path
) -> None:
    make(Path("a.mtail"))
    done = run(*flags, "-progs", ".")
    assert done.returncode == 1
    assert done.stdout == b""
    assert message in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flag", "shown"),
    [("-dump_ast", b": parsed:\n"), ("-dump_ast_types", b": checked:\n"), ("-dump_bytecode", b"Prog: count.mtail\n")],
)
def test_dump_without_logs_is_shown_and_ends(flag: str, shown: bytes, here: Path) -> None:
    done = run(flag, "-progs", "count.mtail")
    assert done.returncode == 0
    assert shown in done.stderr


def test_messages_have_mtails_form(here: Path) -> None:
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "three.log", "-logtostderr")
    first = done.stderr.decode().splitlines()[0]
    assert first[0] == "I"
    assert first.split("] ", 1)[1].startswith("nativemtail version")


def test_one_shot_is_silent_by_default(here: Path) -> None:
    assert run("-one_shot", "-progs", "count.mtail", "-logs", "three.log").stderr == b""


def test_no_listener_in_one_shot(here: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        count("three.log", flags=("-address=127.0.0.1", f"-port={taken.getsockname()[1]}"))


def test_commands() -> None:
    assert set(COMMANDS) == set(group.commands)
    done = run("flags", "--markdown")
    assert done.returncode == 0
    assert b"| `-progs` |" in done.stdout
    assert run("flags", "--nosuch").returncode == 2


# --- sources -------------------------------------------------------------------------------------------------


def test_files_globs_lists(here: Path) -> None:
    for name in ("a.log", "b.log", "c.txt"):
        Path(name).write_bytes(b"x\ny")
    assert count("a.log,./a.log", "*.log", f"file://{here}/c.txt") == {
        f"{here}/a.log": 2,
        f"{here}/b.log": 2,
        f"{here}/three.log": 3,
        f"{here}/c.txt": 2,
    }


@pytest.mark.parametrize("logs", ["none*.log", "none.log", ".", "[", "broken.gz", "none,[,none*"])
def test_no_log_could_be_read(logs: str, here: Path) -> None:
    """The metrics are printed, the status says that there is nothing in them."""
    Path("broken.gz").write_bytes(gzip.compress(bytes(1000))[:5])
    done = run("-one_shot", "-progs", "count.mtail", "-logs", logs)
    assert done.returncode == 1
    assert lines_of(done.stdout) == {}
    assert done.stderr


@pytest.mark.parametrize(
    "logs", ["none*.log,three.log", "none.log,three.log", "three.log,broken.gz", "{three,none}.log"]
)
def test_some_log_was_read(logs: str, here: Path) -> None:
    Path("broken.gz").write_bytes(gzip.compress(bytes(1000))[:5])
    done = run("-one_shot", "-progs", "count.mtail", "-logs", logs)
    assert done.returncode == 0
    assert lines_of(done.stdout) == {f"{here}/three.log": 3}


@pytest.mark.parametrize("flags", [["-compile_only"], ["-one_shot", "-logs", "three.log"]])
def test_no_program(flags: list[str], here: Path) -> None:
    Path("empty").mkdir()
    done = run(*flags, "-progs", "empty")
    assert done.returncode == 1
    assert b"no program in empty: their names end in .mtail" in done.stderr
    assert done.stdout == b""


def test_ignored_files(here: Path) -> None:
    Path("three.log.1").write_bytes(b"x\n")
    assert count("three*", flags=(r"-ignore_filename_regex_pattern=\.\d+$",)) == {f"{here}/three.log": 3}


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize(("data", "lines"), [(b"", 0), (b"a\nb", 2), (b"line\n" * 200_000, 200_000)])
def test_standard_input(name: str, data: bytes, lines: int, here: Path) -> None:
    assert count(name, input=data) == ({name: lines} if lines else {})


def test_standard_input_may_be_a_file_or_closed(here: Path) -> None:
    with open("three.log", "rb") as log:
        assert count("-", "-", stdin=log) == {"-": 3}
    closed = f"exec '{sys.executable}' -m nativemtail -one_shot -progs count.mtail -logs - <&-"
    done = subprocess.run(["sh", "-c", closed], env=ENVIRONMENT, capture_output=True, check=False, timeout=TIMEOUT)
    assert (done.returncode, lines_of(done.stdout)) == (1, {})


def test_named_pipes(here: Path) -> None:
    os.mkfifo("a.log")
    os.mkfifo("b.log")
    process = start("-one_shot", "-progs", "count.mtail", "-logs", "*.log")
    with open("b.log", "wb", buffering=0) as b, open("a.log", "wb", buffering=0) as a:
        for _ in range(10):
            b.write(b"x\n")
            a.write(b"x\n")
    assert lines_of(finish(process)) == {f"{here}/a.log": 10, f"{here}/b.log": 10, f"{here}/three.log": 3}


def finish(process: subprocess.Popen[bytes], status: int = 0) -> bytes:
    output, messages = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, messages
    return output


def test_sockets(here: Path) -> None:
    process = start("-one_shot", "-progs", "count.mtail", "-logs", f"unix://{here}/s,unixgram://{here}/g,three.log")
    with (
        connected(str(here / "s"), socket.SOCK_STREAM) as stream,
        connected(str(here / "g"), socket.SOCK_DGRAM) as packets,
    ):
        stream.sendall(b"a\nb\nc")
        packets.send(b"a\nb")
        packets.send(b"")
    assert lines_of(finish(process)) == {f"unix://{here}/s": 3, f"unixgram://{here}/g": 2, f"{here}/three.log": 3}
    assert not (here / "s").exists()
    assert not (here / "g").exists()


def connected(path: str, kind: socket.SocketKind) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, kind)

    def connects() -> bool:
        return peer.connect_ex(path) == 0

    wait_until(connects)
    return peer


def test_compressed_logs(here: Path) -> None:
    text = b"line of a log\n" * 50_000
    whole = gzip.compress(text)
    Path("a.gz").write_bytes(whole)
    Path("b.zst").write_bytes(zstandard.compress(text))
    Path("c.gz").write_bytes(whole[:-100])
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "?.*")
    assert done.returncode == 0
    lines = lines_of(done.stdout)
    assert lines[f"{here}/a.gz"] == lines[f"{here}/b.zst"] == 50_000
    assert 30_000 < lines[f"{here}/c.gz"] <= 50_000
    assert f"{here}/c.gz: unexpected end of file" in done.stderr.decode()


def test_compressed_by_its_first_bytes(here: Path) -> None:
    """Whatever it is called."""
    text = b"line of a log\n" * 50_000
    Path("a.log").write_bytes(lzma.compress(text) + lzma.compress(text))
    Path("b.1").write_bytes(bz2.compress(text))
    Path("c.xz").write_bytes(lzma.compress(text)[:-20])
    Path("d.gz").write_bytes(b"plain\n")
    Path("e.bz2").write_bytes(b"BZ")
    Path("f.log").write_bytes(b"\x04\x22\x4d\x18" + bytes(100))
    Path("g.log").write_bytes(gzip.compress(b"\xef\xbb\xbfa\n"))
    Path("h.log").write_bytes(gzip.compress(gzip.compress(text)))
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "[a-h].*")
    assert done.returncode == 0
    assert lines_of(done.stdout) == {
        f"{here}/a.log": 100_000,
        f"{here}/b.1": 50_000,
        f"{here}/c.xz": 50_000,
        f"{here}/d.gz": 1,
        f"{here}/g.log": 1,
    }
    errors = done.stderr.decode()
    assert f"{here}/c.xz: unexpected end of file" in errors
    assert f"{here}/e.bz2: unexpected end of file" in errors
    assert f"{here}/f.log: compressed (lz4), which cannot be read: decompress it first" in errors
    assert f"{here}/h.log is compressed (gzip) and not read: decompress it first" in errors
    assert errors.count("\n") == 4


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed_standard_input_is_refused(pack: Callable[[bytes], bytes], here: Path) -> None:
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "-", input=pack(b"a\n" * 50_000))
    assert lines_of(done.stdout) == {}
    assert done.stderr.count(b"- is compressed (") == 1


def test_encodings_and_holes(here: Path) -> None:
    Path("match.mtail").write_text("counter seen by id\n/^id=(?P<id>\\w+)/ {\n  seen[$id]++\n}\n")
    Path("a.log").write_bytes(bytes(300) + b"id=hole\n")
    Path("b.log").write_bytes(b"x\n" + bytes(4096) + b"id=power\n")
    Path("c.log").write_bytes(b"\xef\xbb\xbfid=bom\n")
    Path("d.log").write_bytes("\ufeffid=utf16\r\n".encode("utf-16-be"))
    done = run("-one_shot", "-progs", "match.mtail", "-logs", "*.log", "-stderrthreshold", "INFO")
    [seen] = json.loads(done.stdout)["seen"]
    assert {row["Labels"][0] for row in seen["LabelValues"]} == {"hole", "power", "bom", "utf16"}
    errors = done.stderr.decode()
    assert f"{here}/d.log: UTF-16, big-endian by its byte order mark: decoding it" in errors
    assert f"{here}/b.log: NUL bytes before lines, and dropped: 4096" in errors


# --- output and signals --------------------------------------------------------------------------------------


def test_output_formats(here: Path) -> None:
    done = run("-one_shot", "-one_shot_format=prometheus", "-progs", "count.mtail", "-logs", "three.log")
    assert done.stdout.decode().splitlines() == [
        "# HELP lines defined at count.mtail:1:9-13",
        "# TYPE lines counter",
        f'lines{{file="{here}/three.log",prog="count.mtail"}} 3',
    ]


def test_prometheus_refuses_what_it_cannot_show(here: Path) -> None:
    Path("twice.mtail").write_text("counter lines by other\n/$/ {\n  lines[$0]++\n}\n")
    done = run("-one_shot", "-one_shot_format=prometheus", "-progs", ".", "-logs", "three.log")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"inconsistent label names" in done.stderr


def test_nobody_reads_the_output(here: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run("-one_shot", "-progs", "count.mtail", "-logs", "three.log", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_full_disk(here: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run("-one_shot", "-progs", "count.mtail", "-logs", "three.log", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"cannot write to standard output: no space left on device\n"


def test_closed_output(here: Path) -> None:
    command = f"exec '{sys.executable}' -m nativemtail -one_shot -progs count.mtail -logs three.log >&-"
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, capture_output=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_interrupt_prints_what_there_is(here: Path) -> None:
    read, write = os.pipe()
    process = start("-one_shot", "-progs", "count.mtail", "-logs", "three.log", "-logs", "-", stdin=read)
    os.write(write, b"line\n" * 10 + b"par")
    wait_until(lambda: not waiting(read) and is_asleep(process.pid), "all of standard input is read")
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=TIMEOUT)
    os.close(write)
    os.close(read)
    assert process.returncode == 130
    assert lines_of(output) == {f"{here}/three.log": 3, "-": 11}
    assert b"interrupted" in messages
    assert b"Traceback" not in messages


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_termination_while_waiting(here: Path) -> None:
    process = start("-one_shot", "-progs", "count.mtail", "-logs", "-", stdin=subprocess.PIPE)
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGTERM


# --- progress ------------------------------------------------------------------------------------------------


@pytest.fixture
def big(here: Path) -> Path:
    Path("big.log").write_bytes(b"a line of a log that is big\n" * 1_000_000)
    return here


def on_terminal(*arguments: str) -> str:
    """What the command shows on a terminal."""
    master, slave = pty.openpty()
    process = start("-one_shot", "-progs", "count.mtail", "-logs", "big.log", *arguments, stderr=slave)
    os.close(slave)
    collect = threading.Thread(target=process.communicate, kwargs={"timeout": TIMEOUT})
    collect.start()
    shown = b"".join(read_all(master))
    collect.join()
    os.close(master)
    assert process.returncode == 0
    return shown.decode()


def read_all(fd: int) -> Iterator[bytes]:
    while select.select([fd], [], [], TIMEOUT)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # the other side is gone
                return
            raise
        if not data:
            return
        yield data


def test_progress_on_a_terminal(big: Path) -> None:
    shown = on_terminal()
    assert "of 28MB" in shown
    assert "lines/s" in shown
    assert shown.endswith("\r\x1b[K")


def test_quiet(big: Path) -> None:
    assert on_terminal("-quiet") == ""


# --- cost ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [(["-version"], 0.08), (["-one_shot", "-progs", "count.mtail", "-logs", "three.log"], 0.25)],
)
def test_start_up_time(arguments: list[str], limit: float, here: Path) -> None:
    """CPU time of the best of some runs, since the machine may be busy."""
    assert min(cpu_seconds(lambda: run(*arguments)) for _ in range(5)) <= limit


def cpu_seconds(work: Callable[[], object]) -> float:
    before = os.times()
    work()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
