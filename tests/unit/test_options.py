"""Flags as Go's flag package takes them, and the table they come from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from nativemtail.options import (
    FLAGS,
    TOPICS,
    FlagError,
    HelpRequested,
    Options,
    access_mode,
    format_duration,
    markdown,
    parse,
    parse_duration,
    usage,
)

MTAIL_FLAGS = """
address alsologtostderr block_profile_rate collectd_prefix collectd_socketpath compile_only disable_fsnotify dump_ast
dump_ast_types dump_bytecode emit_metric_timestamp emit_prog_label expired_metrics_gc_interval graphite_host_port
graphite_prefix http_debugging_endpoint http_info_endpoint ignore_filename_regex_pattern jaeger_endpoint
log_backtrace_at log_dir log_link logbuflevel logs logtostderr max_recursion_depth max_regexp_length
metric_push_interval metric_push_interval_seconds metric_push_write_deadline mtailDebug mutex_profile_fraction one_shot
one_shot_format override_timezone poll_interval poll_log_interval port progs stale_log_gc_interval statsd_hostport
statsd_prefix stderrthreshold syslog_use_current_year trace_sample_period unix_socket v version vm_logs_runtime_errors
vmodule experimental_enable_opentelemetry
""".split()


def test_every_flag_of_mtail() -> None:
    assert set(MTAIL_FLAGS) <= FLAGS.keys()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-progs", "x"], "progs", ["x"]),
        (["--progs", "x"], "progs", ["x"]),
        (["-progs=x"], "progs", ["x"]),
        (["--progs=x=y"], "progs", ["x=y"]),
        (["-progs="], "progs", [""]),
        (["-progs", "a,b", "-progs=c"], "progs", ["a", "b", "c"]),
        (["-progs", "-x"], "progs", ["-x"]),
        (["-progs", "--"], "progs", ["--"]),
        (["-one_shot"], "one_shot", True),
        (["-one_shot=F"], "one_shot", False),
        (["--emit_prog_label=0"], "emit_prog_label", False),
        (["-emit_prog_label=TRUE"], "emit_prog_label", True),
        (["-logs", "a,b", "-logs=c"], "logs", ["a", "b", "c"]),
        (["-logs="], "logs", [""]),
        (["-trusted_hosts", "10.0.0.0/8,::1"], "trusted_hosts", ["10.0.0.0/8", "::1"]),
        (["-poll_interval", "1m30s"], "poll_interval", 90.0),
        (["-poll_interval=0"], "poll_interval", 0.0),
        (["-max_regexp_length=0x1_0"], "max_regexp_length", 16),
        (["-max_regexp_length", "010"], "max_regexp_length", 8),
        (["-max_regexp_length", "-5"], "max_regexp_length", -5),
        (["-max_regexp_length", "0b101"], "max_regexp_length", 5),
        (["-max_regexp_length", "0o17"], "max_regexp_length", 15),
        (["-max_regexp_length", "1_000"], "max_regexp_length", 1000),
        (["-stderrthreshold=warning"], "stderrthreshold", "WARNING"),
        (["-stderrthreshold=0"], "stderrthreshold", "INFO"),
        (["-v", "2"], "v", 2),
        (["-vmodule=a*=2,b=1"], "vmodule", "a*=2,b=1"),
        (["-no-watch_progs"], "watch_progs", False),
        (["--no-watch_progs=false"], "watch_progs", True),
        (["-watch_progs=false"], "watch_progs", False),
        (["-one_shot", "-one_shot=false"], "one_shot", False),
    ],
)
def test_value(arguments: list[str], name: str, value: object) -> None:
    options, extra = parse(arguments)
    assert getattr(options, name) == value
    assert options.given == {name}
    assert extra == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-nosuchflag"], "flag provided but not defined: -nosuchflag"),
        (["--nosuchflag=1"], "flag provided but not defined: -nosuchflag"),
        (["-prog", "x"], "flag provided but not defined: -prog\ndid you mean -progs?"),
        (["--one-shot"], "flag provided but not defined: -one-shot\ndid you mean -one_shot?"),
        (
            ["--novm_logs_runtime_errors"],
            "flag provided but not defined: -novm_logs_runtime_errors\ndid you mean -vm_logs_runtime_errors=false?",
        ),
        (["-poll_interval=5"], 'invalid value "5" for flag -poll_interval: parse error'),
        (["-poll_interval", ""], 'invalid value "" for flag -poll_interval: parse error'),
        (["-one_shot=maybe"], 'invalid boolean value "maybe" for -one_shot: parse error'),
        (["-max_regexp_length=zz"], 'invalid value "zz" for flag -max_regexp_length: parse error'),
        (["-max_regexp_length=1__0"], 'invalid value "1__0" for flag -max_regexp_length: parse error'),
        (["-max_regexp_length=09"], 'invalid value "09" for flag -max_regexp_length: parse error'),
        (["-max_regexp_length= 1"], 'invalid value " 1" for flag -max_regexp_length: parse error'),
        (
            ["-max_regexp_length=9223372036854775808"],
            'invalid value "9223372036854775808" for flag -max_regexp_length: value out of range',
        ),
        (["-v=x"], 'invalid value "x" for flag -v: strconv.Atoi: parsing "x": invalid syntax'),
        (
            ["-stderrthreshold=x"],
            'invalid value "x" for flag -stderrthreshold: strconv.Atoi: parsing "x": invalid syntax',
        ),
        (
            ["-vmodule=x"],
            'invalid value "x" for flag -vmodule: syntax error: expect comma-separated list of filename=N',
        ),
        (["-log_backtrace_at=x"], 'invalid value "x" for flag -log_backtrace_at: syntax error: expect file.go:234'),
        (["-progs"], "flag needs an argument: -progs"),
        (["---x"], "bad flag syntax: ---x"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--="], "bad flag syntax: --="),
    ],
)
def test_error(arguments: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(arguments)
    text, hint, _ = str(caught.value).partition(" takes ")
    assert (text.rpartition("\n")[0] if hint else text) == message


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("-poll_interval=5", "-poll_interval takes a number with its unit: 250ms, 10s, 1h30m"),
        ("-max_regexp_length=1k", "-max_regexp_length takes a whole number"),
        ("-memory_limit=512MB", "-memory_limit takes bytes, or a number with its unit: 512MiB, 2GiB"),
        ("-one_shot=maybe", "-one_shot takes true or false, after ="),
        ("-stderrthreshold=loud", "-stderrthreshold takes one of INFO, WARNING, ERROR, FATAL"),
    ],
)
def test_what_a_flag_takes_is_said(argument: str, hint: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse([argument])
    assert str(caught.value).endswith(f"\n{hint}")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["extra"], ["extra"]),
        (["-one_shot", "true", "-version"], ["true", "-version"]),
        (["-"], ["-"]),
        (["--", "-version"], ["-version"]),
        ([""], [""]),
    ],
)
def test_parsing_stops_at_the_first_word(arguments: list[str], extra: list[str]) -> None:
    options, left = parse(arguments)
    assert left == extra
    assert not options.version


def test_a_path_of_programs_may_contain_commas(tmp_path: Path) -> None:
    """As in mtail, where the flag has one path."""
    path = tmp_path / "a,b"
    assert parse(["-progs", f"{path}"])[0].progs == [f"{tmp_path}/a", "b"]
    path.mkdir()
    assert parse(["-progs", f"{path}"])[0].progs == [f"{path}"]


@pytest.mark.parametrize("argument", ["-h", "-help", "--help", "--h", "-help=x"])
def test_help(argument: str) -> None:
    with pytest.raises(HelpRequested):
        parse(["-one_shot", argument])


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("0", 0, "0s"),
        ("-0", 0, "0s"),
        ("250ms", 0.25, "250ms"),
        ("1h30m", 5400, "1h30m0s"),
        ("1.5h", 5400, "1h30m0s"),
        (".5s", 0.5, "500ms"),
        ("1.s", 1, "1s"),
        ("-1.5s", -1.5, "-1.5s"),
        ("+3m", 180, "3m0s"),
        ("1us", 1e-6, "1µs"),
        ("1µs", 1e-6, "1µs"),
        ("1500ns", 1.5e-6, "1.5µs"),
        ("1m1ms", 60.001, "1m0.001s"),
    ],
)
def test_duration(text: str, seconds: float, shown: str) -> None:
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    "text", ["", "5", "s", ".s", "1x", "1s1", "00", "-", "+", "1 s", " 1s", "3d", "1١s", "3000000h"]
)
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="parse error"):
        parse_duration(text)


@given(st.integers(-(10**12), 10**12))
def test_durations_are_read_as_they_are_shown(microseconds: int) -> None:
    seconds = microseconds / 10**6
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.lists(st.text(max_size=6).map(lambda text: "-" + text) | st.sampled_from([f"-{name}=1" for name in FLAGS])))
def test_any_command_line_parses_or_is_refused(arguments: list[str]) -> None:
    with contextlib.suppress(FlagError, HelpRequested):
        parse(arguments)


def test_options_by_name() -> None:
    assert Options(one_shot=True).one_shot
    assert Options().logs is not Options().logs
    with pytest.raises(TypeError):
        Options(nosuch=1)


def test_every_flag_is_shown() -> None:
    assert {row.topic for row in FLAGS.values()} == set(TOPICS)
    for text in (usage(), markdown()):
        assert all(f"-{name}" in text for name in FLAGS)
    assert all(row.help.endswith(".") for row in FLAGS.values())


def test_the_documented_flags_are_the_table() -> None:
    page = ROOT / "docs" / "flags.md"
    assert markdown() in page.read_text(encoding="utf-8"), "regenerate with: nativemtail flags --markdown"


@pytest.mark.parametrize(("text", "number"), [("0600", 0o600), ("0", 0), ("777", 0o777)])
def test_modes(text: str, number: int) -> None:
    assert access_mode(text) == number


@pytest.mark.parametrize("text", ["", "8", "1000", "-1", "rw", "+7", "0o600", "\u0661"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="must be an octal number up to 777"):
        access_mode(text)
