"""What flags come to, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nativemtail.app import config
from nativemtail.app.config import Config, ConfigError
from nativemtail.app.ignore import BadIgnore
from nativemtail.http.trust import LOOPBACK
from nativemtail.io.patterns import BadSource
from nativemtail.options import Mode, Options, mode


def resolve(directory: Path, **flags: Any) -> Config:
    return config.resolve(Options(**{"progs": [str(directory)], "logs": ["/x.log"], **flags}), ())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, Mode.DAEMON),
        ({"logs": ["x"], "dump_ast": True}, Mode.DAEMON),
        ({"dump_bytecode": True}, Mode.DUMP),
        ({"one_shot": True}, Mode.ONE_SHOT),
        ({"one_shot": True, "dump_ast": True}, Mode.ONE_SHOT),
        ({"compile_only": True}, Mode.COMPILE),
        ({"compile_only": True, "one_shot": True}, Mode.COMPILE),
    ],
)
def test_mode(flags: dict[str, Any], expected: Mode) -> None:
    assert mode(Options(**flags)) is expected


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"override_timezone": "Foo/Bar"}, 'Couldn\'t parse timezone "Foo/Bar": unknown time zone Foo/Bar'),
        ({"progs": [""]}, "mtail requires programs"),
        ({"progs": ["/no such"]}, "-progs: stat /no such: no such file"),
        ({"logs": []}, "mtail requires the names of logs"),
        ({"poll_interval": -1.5}, "-poll_interval must not be negative: -1.5s"),
        ({"drain_timeout": -1.0}, "-drain_timeout must not be negative: -1s"),
        ({"state_interval": 0.0}, "-state_interval must be positive: 0s"),
        ({"max_line_length": 1023}, "-max_line_length must be at least 1024: 1023"),
        ({"unix_socket_mode": "x"}, "-unix_socket_mode "),
        ({"one_shot": True, "one_shot_format": "xml"}, 'unsupported format: "xml"'),
        ({"trusted_hosts": ["x"]}, "-trusted_hosts: "),
        ({"allowed_hosts": ["http://x"]}, "-allowed_hosts: "),
        ({"label": ["x"]}, "-label takes name=value, the name of letters, digits and _: x"),
        ({"label": ["__x=1"]}, "-label takes name=value"),
        ({"label": ["a=1", "a=2"]}, "-label a is given twice"),
        ({"label": ["prog=1"]}, "-label prog is a label that metrics have already"),
        ({"metric_prefix": "1x"}, "-metric_prefix takes letters"),
        ({"tls_cert": "c.pem"}, "TLS needs both -tls_cert and -tls_key"),
    ],
)
def test_refused(tmp_path: Path, flags: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(tmp_path, **flags)
    assert str(caught.value).startswith(text)


def test_arguments_that_are_no_flags(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Too many extra arguments"):
        config.resolve(Options(progs=[str(tmp_path)], logs=["x"]), ["more"])


@pytest.mark.parametrize(("words", "hinted"), [(["flag"], True), (["flags"], True), (["app.log"], False)])
def test_commands_that_stand_elsewhere_or_are_misspelt(words: list[str], hinted: bool, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.resolve(Options(progs=[str(tmp_path)], logs=["x"]), words)
    assert ("did you mean the command flags?" in str(caught.value)) == hinted


def test_logs_and_names_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource):
        resolve(tmp_path, logs=["tcp://"])
    with pytest.raises(BadIgnore):
        resolve(tmp_path, ignore_filename_regex_pattern="(")


@pytest.mark.parametrize(
    ("flags", "tcp", "unix"),
    [
        ({}, ("", "3903"), None),
        ({"unix_socket": "/s"}, None, ("/s", 0o600)),
        ({"unix_socket": "/s", "unix_socket_mode": "0666", "port": "1"}, ("", "1"), ("/s", 0o666)),
    ],
)
def test_where_pages_are_served(
    tmp_path: Path, flags: dict[str, Any], tcp: tuple[str, str] | None, unix: tuple[str, int] | None
) -> None:
    service = resolve(tmp_path, **flags).service
    assert service is not None
    assert (service.tcp, service.unix, service.trusted) == (tcp, unix, LOOPBACK)


def test_zero_intervals_are_the_defaults(tmp_path: Path) -> None:
    found = resolve(tmp_path, poll_interval=0.0, poll_log_interval=0.0)
    assert (found.input.poll_interval, found.input.poll_log_interval) == (0.25, 0.25)


def test_only_a_daemon_has_a_service_and_nothing_changes_later(tmp_path: Path) -> None:
    found = resolve(tmp_path, one_shot=True)
    assert found.service is None
    with pytest.raises(AttributeError):
        found.mode = Mode.DAEMON  # type: ignore[misc]


def test_state_is_kept_only_where_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = {"state_dir": "state", "state_interval": 2.0}
    assert resolve(tmp_path).state is None
    assert resolve(tmp_path, compile_only=True, **flags).state is None
    for more in ({}, {"one_shot": True}):
        assert resolve(tmp_path, **flags, **more).state == config.State(str(tmp_path / "state"), 2.0)


def test_the_environment_of_a_unit_does_not_turn_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert resolve(tmp_path).state is None
