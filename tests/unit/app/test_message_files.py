"""The process's own messages."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from unittest import mock

import pytest

from nativemtail.app import config, message_files
from nativemtail.app.message_files import Screen
from nativemtail.gotext import duration, explain, go_quote
from nativemtail.options import Options

LINE = re.compile(rf"^([IWEF])\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} +{os.getpid()} test_message_files\.py:\d+\] (.*)$", re.M)

log = logging.getLogger("nativemtail.test")


def configure(options: Options, screen: Screen, *, daemon: bool = False) -> None:
    if daemon:
        options.logs = ["/log"]
    else:
        options.one_shot = True
    with mock.patch.object(message_files, "why_not_in", return_value=""):
        settings = config.messages(options)
    message_files.configure(settings, screen)


def flush() -> None:
    """Have the daemon's messages written."""
    for handler in logging.getLogger(message_files.NAME).handlers:
        handler.flush()


def say_everything() -> None:
    log.debug("detail")
    log.info("info %s", "x")
    log.warning("warning")
    log.error("error")
    log.critical("fatal")
    flush()


@pytest.mark.parametrize(
    ("flags", "daemon", "shown"),
    [
        ({}, False, "WEF"),
        ({"logtostderr": True}, False, "IWEF"),
        ({"alsologtostderr": True}, False, "IWEF"),
        ({"logtostderr": True, "v": 1}, False, "IIWEF"),
        ({"stderrthreshold": "WARNING"}, False, "WEF"),
        ({"stderrthreshold": "FATAL"}, False, "F"),
        ({"dump_ast": True}, False, "IWEF"),
        ({"dump_bytecode": True, "log_dir": "/nowhere"}, False, "WEF"),
        ({"dump_ast_types": True, "stderrthreshold": "ERROR"}, False, "EF"),
        ({}, True, "IWEF"),
        ({"stderrthreshold": "ERROR"}, True, "EF"),
    ],
)
def test_levels(flags: dict[str, object], daemon: bool, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure(Options(**flags), Screen(), daemon=daemon)
    say_everything()
    assert "".join(level for level, _ in LINE.findall(capfd.readouterr().err)) == shown


@pytest.mark.parametrize(
    ("daemon", "shown"),
    [
        (False, "] compile failed for a.mtail:\na.mtail:1:1: one\na.mtail:2:1: two\n"),
        (True, "] compile failed for a.mtail: a.mtail:1:1: one; a.mtail:2:1: two\n"),
    ],
)
def test_an_event_of_a_daemon_is_one_line(daemon: bool, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure(Options(), Screen(), daemon=daemon)
    log.error("compile failed for a.mtail:\na.mtail:1:1: one\na.mtail:2:1: two")
    flush()
    assert capfd.readouterr().err.endswith(shown)


def test_a_traceback_of_a_daemon_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure(Options(), Screen(), daemon=True)
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("caught")
    flush()
    shown = capfd.readouterr().err
    assert shown.count("\n") == 1
    assert "caught; Traceback (most recent call last): File " in shown
    assert shown.endswith("; ValueError: wrong\n")


def test_bytes_go_through(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(Options(), Screen())
    log.error("%s", os.fsdecode(b"a\xff\xc3\xa4"))
    assert capfdbinary.readouterr().err.endswith(b"] a\xff\xc3\xa4\n")


def test_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configure(Options(log_dir=str(tmp_path)), Screen(), daemon=True)
    log.info("one")
    flush()
    assert [path.name.rpartition(".")[2] for path in tmp_path.iterdir() if path.is_symlink()] == ["INFO"]
    log.error("two")
    flush()
    links = {path.name.rpartition(".")[2]: path for path in tmp_path.iterdir() if path.is_symlink()}
    assert links.keys() == {"INFO", "WARNING", "ERROR"}
    assert [text for _, text in LINE.findall(links["INFO"].read_text())] == ["one", "two"]
    assert [text for _, text in LINE.findall(links["ERROR"].read_text())] == ["two"]
    assert os.readlink(links["ERROR"]).endswith(f".{os.getpid()}")
    assert [text for _, text in LINE.findall(capfd.readouterr().err)] == ["two"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_the_user_reads_the_files(umask: int, tmp_path: Path) -> None:
    configure(Options(log_dir=str(tmp_path)), Screen())
    before = os.umask(umask)
    try:
        log.error("x")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.iterdir() if not path.is_symlink()]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 3


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "pipe"])
def test_a_file_whose_name_was_guessed_is_not_opened(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_files, "_stamp", lambda: "then")
    victim = tmp_path / "victim"
    victim.write_text("kept")
    directory = tmp_path / "logs"
    directory.mkdir()
    configure(Options(log_dir=str(directory)), Screen())
    log.info("first")
    [first] = [path for path in directory.iterdir() if not path.is_symlink()]
    first.unlink()
    for handler in logging.getLogger(message_files.NAME).handlers:
        handler.close()
    if kind == "pipe":
        os.mkfifo(first)
    elif kind == "file":
        first.write_text("kept")
    else:
        first.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    log.info("second")
    link = next(path for path in directory.iterdir() if path.name.endswith(".INFO") and path.is_symlink())
    assert LINE.findall(link.read_text()) == [("I", "second")]
    assert os.readlink(link).startswith(first.name + ".")
    assert victim.read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()
    assert kind == "pipe" or first.exists() is (kind != "dangling link")


def test_the_links_change_in_one_step_and_what_is_no_link_stays(tmp_path: Path) -> None:
    program = os.path.basename(sys.argv[0]).replace("__main__.py", message_files.NAME)
    (tmp_path / f"{program}.ERROR").write_text("kept")
    (tmp_path / f"{program}.WARNING").mkdir()
    (tmp_path / f"{program}.INFO").symlink_to("/dev/null")
    configure(Options(log_dir=str(tmp_path)), Screen())
    log.error("x")
    assert (tmp_path / f"{program}.ERROR").read_text() == "kept"
    assert (tmp_path / f"{program}.WARNING").is_dir()
    assert LINE.findall((tmp_path / f"{program}.INFO").read_text()) == [("E", "x")]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_file_that_has_grown_large_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_files, "MAX_FILE_SIZE", 100)
    stamps = iter(range(100))
    monkeypatch.setattr(message_files, "_stamp", lambda: f"t{next(stamps)}")
    configure(Options(log_dir=str(tmp_path)), Screen())
    for _ in range(5):
        log.info("x" * 60)
    assert len([path for path in tmp_path.iterdir() if not path.is_symlink()]) == 5


def test_a_directory_that_is_missing_disturbs_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configure(Options(log_dir=str(tmp_path / "none")), Screen())
    log.error("shown")
    assert [text for _, text in LINE.findall(capfd.readouterr().err)] == ["shown"]


def test_before_is_called_first(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    configure(Options(), screen)
    screen.before = lambda: message_files.write(2, b"cleared ")
    log.error("x")
    assert capfd.readouterr().err.startswith("cleared E")


@pytest.mark.parametrize(
    ("flags", "daemon", "level"),
    [
        ({}, False, logging.WARNING),
        ({"v": 1}, False, logging.WARNING),
        ({"stderrthreshold": "FATAL"}, False, logging.CRITICAL),
        ({"alsologtostderr": True}, False, logging.INFO),
        ({"alsologtostderr": True, "v": 1}, False, logging.DEBUG),
        ({"log_dir": "/nowhere"}, False, logging.INFO),
        ({"log_dir": "/nowhere", "logtostderr": True}, False, logging.INFO),
        ({"dump_ast": True}, False, logging.INFO),
        ({}, True, logging.INFO),
        ({"stderrthreshold": "WARNING"}, True, logging.WARNING),
    ],
)
def test_the_lowest_level_that_anybody_sees(flags: dict[str, object], daemon: bool, level: int) -> None:
    options = Options(**flags)
    configure(options, Screen(), daemon=daemon)
    assert logging.getLogger(message_files.NAME).level == level


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (b"plain", '"plain"'),
        (b'a"b\\', r'"a\"b\\"'),
        (b"\t\n\r\a\b\f\v", r'"\t\n\r\a\b\f\v"'),
        (b"\0\x1b\x7f", r'"\x00\x1b\x7f"'),
        (b"\xff\xfe", r'"\xff\xfe"'),
        ("äπ".encode(), '"äπ"'),
        ("\u2028\ufeff\u00a0".encode(), r'"\u2028\ufeff\u00a0"'),
        ("\U000e0001".encode(), r'"\U000e0001"'),
        ("text", '"text"'),
    ],
)
def test_go_quote(text: bytes | str, quoted: str) -> None:
    assert go_quote(text) == quoted


def test_go_quote_of_a_character() -> None:
    assert go_quote("'", "'") == r"'\''"
    assert go_quote('"', "'") == "'\"'"


def test_explain() -> None:
    assert explain(PermissionError(13, "Permission denied"), "open", "/x") == "open /x: permission denied"
    assert explain(OSError("odd"), "read", "/x") == "read /x: odd"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.0, "0.000 s"), (4.4e-7, "0.44 µs"), (0.00045, "450 µs"), (0.0123456, "12.3 ms"), (0.25, "0.250 s")),
        *((99.5, "99.500 s"), (12345.6, "12,346 s")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
