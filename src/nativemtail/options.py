"""All flags, once: the class body of `Options` is the table that parsing, `--help` and the documentation come from.

The syntax is that of Go's flag package, as in mtail (spec cli-http.md §1).
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nativemtail.gotext import go_quote

Seconds = float

PROGRAMS = "Programs"
LOGS = "Logs"
MODE = "What to do"
METRICS = "Metrics"
STATE = "State between runs"
PUSH = "Pushing metrics"
HISTORY = "History (nativemtail backfill)"
HTTP = "HTTP server"
MESSAGES = "Messages"
COMPATIBILITY = "Accepted for compatibility, ignored"
TOPICS = (MODE, PROGRAMS, LOGS, STATE, METRICS, HISTORY, HTTP, PUSH, MESSAGES, COMPATIBILITY)

COMMANDS = {
    "backfill": "Turn old logs into the series of a time-series database.",
    "compare": "Compare what a running mtail and a running nativemtail have counted.",
    "explain": "Say what each pattern of the programs costs, and why.",
    "flags": "List the flags.",
    "state": "Show what is kept in a directory of --state_dir, or forget parts of it.",
}
LEVELS = ("INFO", "WARNING", "ERROR", "FATAL")


class Mode(enum.Enum):
    """What the process is to do."""

    DAEMON = enum.auto()
    ONE_SHOT = enum.auto()
    COMPILE = enum.auto()
    DUMP = enum.auto()
    """Load the programs only, to log their trees or code."""


class FlagError(Exception):
    """The command line cannot be parsed: exit status 2."""


class HelpRequested(Exception):
    """`-h` or `-help` was given."""


class Flag:
    """A row of the table, named after its attribute; the attribute's annotation is the kind of value."""

    __slots__ = ("attribute", "default", "help", "kind", "metavar", "name", "negation", "topic")

    def __init__(self, default: Any, topic: str, help: str, metavar: str | None, negation: str | None) -> None:
        self.name = self.attribute = ""
        self.kind = ""
        self.default = default
        self.topic = topic
        self.help = help
        self.metavar = metavar
        self.negation = negation

    @property
    def default_text(self) -> str:
        """The default as a user would write it; empty if it is the type's zero value."""
        if self.kind == "Seconds":
            return format_duration(self.default) if self.default else ""
        if self.kind == "bool":
            return "true" if self.default else ""
        return str(self.default) if self.default and self.kind != "list[str]" else ""

    @property
    def value_name(self) -> str:
        return self.metavar or _VALUE_NAMES[self.kind]


def flag(default: Any, topic: str, help: str, *, metavar: str | None = None, negation: str | None = None) -> Any:
    """A row of the table.  `negation` names a second flag that turns this one off."""
    return Flag(default, topic, help, metavar, negation)


class Options:
    """The values of all flags; `given` has the names of those set on the command line."""

    version: bool = flag(False, MODE, "Print the version and exit.")
    one_shot: bool = flag(False, MODE, "Read the logs to their end, print the metrics on standard output and exit.")
    one_shot_format: str = flag("json", MODE, "Format of -one_shot: json or prometheus.")
    compile_only: bool = flag(False, MODE, "Compile the programs and exit, with status 1 if one has an error.")
    quiet: bool = flag(False, MODE, "Do not print progress in -one_shot (it is printed only on a terminal).")

    progs: list[str] = flag(
        [],
        PROGRAMS,
        "Directory with programs (files named *.mtail), or one such file. May be repeated, or separated by commas.",
        metavar="path",
    )
    include_path: list[str] = flag(
        [],
        PROGRAMS,
        "Directory in which files that programs include are looked for, after the directory of the file that names"
        " them. May be repeated, or separated by commas.",
        metavar="path",
    )
    watch_progs: bool = flag(
        True, PROGRAMS, "Reload programs when their files change, not only at SIGHUP.", negation="no-watch_progs"
    )
    syslog_use_current_year: bool = flag(True, PROGRAMS, "Give time stamps without a year the current one.")
    override_timezone: str = flag(
        "", PROGRAMS, "Time zone of time stamps that name none: an IANA name, Local or UTC; UTC when empty."
    )
    max_regexp_length: int = flag(1024, PROGRAMS, "Longest regular expression in bytes; 0 is the default.")
    max_recursion_depth: int = flag(100, PROGRAMS, "Deepest nesting of a program's expressions; 0 is the default.")
    vm_logs_runtime_errors: bool = flag(True, PROGRAMS, "Log the run-time errors of programs.")
    cache_dir: str = flag(
        "",
        PROGRAMS,
        "Directory where compiled programs are kept for the next start: $CACHE_DIRECTORY, else"
        " $XDG_CACHE_HOME/nativemtail, else ~/.cache/nativemtail when empty; none keeps nothing.",
        metavar="path",
    )
    dump_ast: bool = flag(False, PROGRAMS, "Log the syntax tree of every program.")
    dump_ast_types: bool = flag(False, PROGRAMS, "Log the syntax tree with types of every program.")
    dump_bytecode: bool = flag(False, PROGRAMS, "Log what every program was compiled to.")

    logs: list[str] = flag(
        [],
        LOGS,
        "Log to read: a path or glob, - for standard input, or unix:///PATH, unixgram:///PATH, tcp://HOST:PORT,"
        " udp://HOST:PORT, http://HOST:PORT/PATH to listen on, or zstd:///DIRECTORY with log segments as KumoMTA writes"
        " them. May be repeated, or separated by commas.",
        metavar="pattern",
    )
    ignore_filename_regex_pattern: str = flag("", LOGS, "Do not read files whose base name matches this.")
    poll_interval: Seconds = flag(0.25, LOGS, "How often to look for new data where the kernel sends no events.")
    poll_log_interval: Seconds = flag(0.25, LOGS, "How often to look for new files where the kernel sends no events.")
    drain_timeout: Seconds = flag(
        15.0,
        LOGS,
        "Longest time to drain after SIGTERM: what was written before it is read, what remains is reported.",
    )
    max_line_length: int = flag(
        1048576, LOGS, "Longest line in bytes, at least 1024. Longer lines are cut to it, and counted."
    )

    read_from_beginning: bool = flag(
        False, LOGS, "Read the logs that exist at the very first start from their beginning instead of their end."
    )
    log_socket_mode: str = flag("0600", LOGS, "Access mode of the Unix sockets that receive logs, octal.")

    state_dir: str = flag(
        "",
        STATE,
        "Directory where metrics and reading positions are kept, so that the next run continues where this one ended;"
        " nothing is kept when empty.",
        metavar="path",
    )
    state_interval: Seconds = flag(5.0, STATE, "Longest time between two saves.")

    emit_prog_label: bool = flag(True, METRICS, "Give exported metrics the label prog, the program's name.")
    label: list[str] = flag(
        [],
        METRICS,
        "Label that all metrics of the programs are exported with, besides their own. May be repeated, or separated by"
        " commas.",
        metavar="name=value",
    )
    metric_prefix: str = flag("", METRICS, "Prefix of the names of all metrics of the programs.")
    emit_metric_timestamp: bool = flag(False, METRICS, "Export the time of each value to Prometheus.")
    expired_metrics_gc_interval: Seconds = flag(3600.0, METRICS, "How often to remove expired series; 0 is never.")
    memory_limit: int = flag(
        0,
        METRICS,
        "Soft memory limit in bytes: above it new series are refused and counted, and backfill, where it is 1GiB when"
        " 0, writes tables to files. 0 is no limit. KiB, MiB and GiB may follow.",
    )

    step: Seconds = flag(60.0, HISTORY, "Time between two instants of the grid, for which there are samples.")
    max_gap: Seconds = flag(300.0, HISTORY, "Longest time between two samples of a series, in whole steps.")
    output: str = flag(
        "", HISTORY, "File to write: .om is OpenMetrics text, .parquet a table; - prints OpenMetrics.", metavar="path"
    )
    remote_write: str = flag(
        "", HISTORY, "Address of a receiver of Prometheus remote write: http://HOST:9090/api/v1/write.", metavar="url"
    )
    remote_write_headers: str = flag(
        "", HISTORY, "File with headers for that, such as Authorization: Bearer …, one on each line.", metavar="path"
    )
    workers: int = flag(0, HISTORY, "Worker processes; 0 is one for each processor.")
    part_size: int = flag(
        64 * 1024 * 1024, HISTORY, "Bytes of a plain log that a worker takes at once. KiB, MiB and GiB may follow."
    )
    assume_time: str = flag(
        "", HISTORY, "mtime: lines that a program sets no time for have the modification time of their file."
    )
    year: int = flag(
        0, HISTORY, "Year of time stamps without one; 0 is the latest that the modification time of the file allows."
    )
    continue_: str = flag(
        "",
        HISTORY,
        "File in which the parts that are done are kept, so that a run with the same flags goes on from them; the"
        " output with .parts added when empty.",
        metavar="path",
    )
    explain: bool = flag(False, HISTORY, "Say which programs can be divided, and why others cannot, and exit.")

    address: str = flag("", HTTP, "Host or IP address to listen on; all when empty.")
    port: str = flag("3903", HTTP, "Port to listen on.")
    unix_socket: str = flag("", HTTP, "Unix socket to listen on, instead of TCP unless a port or address is given.")
    unix_socket_mode: str = flag("0600", HTTP, "Access mode of the Unix socket, octal.")
    tls_cert: str = flag("", HTTP, "File with the server's certificate (PEM); turns TLS on.")
    tls_key: str = flag("", HTTP, "File with the certificate's key (PEM).")
    tls_client_ca: str = flag(
        "", HTTP, "File with the authorities (PEM) that sign client certificates; clients then need one."
    )
    trusted_hosts: list[str] = flag(
        [],
        HTTP,
        "Addresses and CIDR blocks of clients to serve; loopback only when empty. May be repeated, or comma-separated.",
        metavar="address",
    )
    allowed_hosts: list[str] = flag(
        [],
        HTTP,
        "Host names under which this server answers, besides addresses, localhost and this machine's names."
        " May be repeated, or separated by commas.",
        metavar="name",
    )
    http_debugging_endpoint: bool = flag(True, HTTP, "Serve /debug/*.")
    http_info_endpoint: bool = flag(True, HTTP, "Serve /varz, /progz, /profile and the tables of the status page.")

    metric_push_interval: Seconds = flag(60.0, PUSH, "How often to push; 0 is never.")
    metric_push_write_deadline: Seconds = flag(10.0, PUSH, "Longest time to connect and to write.")
    collectd_socketpath: str = flag("", PUSH, "Unix socket of collectd to push to.")
    collectd_prefix: str = flag("", PUSH, "Prefix of the names sent to collectd.")
    graphite_host_port: str = flag("", PUSH, "host:port of Graphite's carbon to push to.")
    graphite_prefix: str = flag("", PUSH, "Prefix of the names sent to Graphite.")
    statsd_hostport: str = flag("", PUSH, "host:port of StatsD to push to.")
    statsd_prefix: str = flag("", PUSH, "Prefix of the names sent to StatsD.")
    experimental_enable_opentelemetry: bool = flag(
        False, PUSH, "Push to the OpenTelemetry collector that OTEL_EXPORTER_OTLP_* names, localhost:4317 if none."
    )
    otlp_endpoint: str = flag(
        "",
        PUSH,
        "OpenTelemetry collector to push to, host:port or a URL; OTEL_EXPORTER_OTLP_PROTOCOL chooses gRPC or HTTP.",
    )

    logtostderr: bool = flag(False, MESSAGES, "Write all messages to standard error instead of files.")
    alsologtostderr: bool = flag(False, MESSAGES, "Write all messages to standard error as well as to files.")
    stderrthreshold: str = flag(
        "WARNING",
        MESSAGES,
        "Messages at or above this level (INFO, WARNING, ERROR, FATAL) go to standard error; without -log_dir a running"
        " daemon and the dumps show all unless this is given.",
        metavar="level",
    )
    log_dir: str = flag("", MESSAGES, "Directory for files of messages; none are written when empty.", metavar="path")
    log_link: str = flag("", MESSAGES, "Directory for further links to the files of messages.", metavar="path")
    v: int = flag(0, MESSAGES, "Verbosity; 1 and more shows what the process does in detail.", metavar="level")

    vmodule: str = flag("", COMPATIBILITY, "Verbosity by source file.", metavar="pattern=N,…")
    log_backtrace_at: str = flag("", COMPATIBILITY, "Stack trace at a message.", metavar="file:N")
    logbuflevel: int = flag(0, COMPATIBILITY, "Buffering of messages.")
    stale_log_gc_interval: Seconds = flag(3600.0, COMPATIBILITY, "Closing of stale logs.")
    disable_fsnotify: bool = flag(True, COMPATIBILITY, "Deprecated in mtail.")
    metric_push_interval_seconds: int = flag(0, COMPATIBILITY, "Deprecated in mtail: see -metric_push_interval.")
    mtailDebug: int = flag(0, COMPATIBILITY, "Trace of mtail's parser.")
    block_profile_rate: int = flag(0, COMPATIBILITY, "Profiling of Go.")
    mutex_profile_fraction: int = flag(0, COMPATIBILITY, "Profiling of Go.")
    trace_sample_period: int = flag(0, COMPATIBILITY, "Tracing.")
    jaeger_endpoint: str = flag("", COMPATIBILITY, "Tracing.")

    def __init__(self, **values: Any) -> None:
        self.given: set[str] = set()
        self.command = ""
        for row in FLAGS.values():
            setattr(self, row.attribute, list(row.default) if row.kind == "list[str]" else row.default)
        for name, value in values.items():
            if name not in FLAGS:
                raise TypeError(f"no flag is called {name}")
            setattr(self, name, value)
            self.given.add(name)


def mode(options: Options) -> Mode:
    if options.compile_only:
        return Mode.COMPILE
    if options.one_shot:
        return Mode.ONE_SHOT
    return Mode.DUMP if not options.logs and dumps(options) else Mode.DAEMON


def dumps(options: Options) -> bool:
    return options.dump_ast or options.dump_ast_types or options.dump_bytecode


def _table() -> Iterator[Flag]:
    for name, kind in Options.__annotations__.items():
        row: Flag = Options.__dict__[name]
        row.attribute = name
        row.name, row.kind = name.rstrip("_"), kind
        yield row


FLAGS: dict[str, Flag] = {row.name: row for row in _table()}
NEGATIONS: dict[str, Flag] = {row.negation: row for row in FLAGS.values() if row.negation}


BACKFILL = {row.name for row in FLAGS.values() if row.topic == HISTORY} | {
    *("progs", "include_path", "override_timezone", "max_regexp_length", "max_recursion_depth", "cache_dir"),
    *("vm_logs_runtime_errors", "logs", "ignore_filename_regex_pattern", "max_line_length", "emit_prog_label"),
    *("label", "metric_prefix", "memory_limit", "quiet"),
}
"""Flags of the command backfill."""


def parse(arguments: Sequence[str], command: str = "") -> tuple[Options, list[str]]:
    """The options and the arguments after them.  Raises `FlagError`, `HelpRequested`."""
    options = Options()
    options.command = command
    left = list(reversed(arguments))
    while left and len(left[-1]) > 1 and left[-1].startswith("-"):
        argument = left.pop()
        if argument == "--":
            break
        _apply(options, argument, left)
    return options, left[::-1]


def _apply(options: Options, argument: str, left: list[str]) -> None:
    """Set the flag that `argument` names, popping its value from the end of `left` if necessary."""
    text = argument[1:].removeprefix("-")
    if not text or text[0] in "-=":
        raise FlagError(f"bad flag syntax: {argument}")
    name, has_value, value = text.partition("=")
    row = FLAGS.get(name) or NEGATIONS.get(name)
    if row is None:
        if name in ("h", "help"):
            raise HelpRequested
        raise FlagError(_unknown(name))
    if options.command == "backfill" and row.name not in BACKFILL:
        raise FlagError(f"-{name} is no flag of backfill; these are: {' '.join(sorted(BACKFILL))}")
    if not options.command and row.topic == HISTORY:
        raise FlagError(f"-{name} is a flag of the command backfill: nativemtail backfill -{name} …")
    if not has_value:
        if row.kind == "bool":
            value = "true"
        elif left:
            value = left.pop()
        else:
            raise FlagError(f"flag needs an argument: -{name}")
    _set(options, row, name, value)


def _set(options: Options, row: Flag, name: str, value: str) -> None:
    try:
        parsed = (_CHECKS.get(name) or _PARSERS[row.kind])(value)
    except ValueError as error:
        wanted = _WANTED.get(name) or _WANTED.get(row.kind)
        hint = f"\n-{name} takes {wanted}" if wanted else ""
        if row.kind == "bool":
            raise FlagError(f"invalid boolean value {go_quote(value)} for -{name}: {error}{hint}") from None
        raise FlagError(f"invalid value {go_quote(value)} for flag -{name}: {error}{hint}") from None
    if row.kind == "list[str]":
        getattr(options, row.attribute).extend(parsed)
    else:
        setattr(options, row.attribute, not parsed if name == row.negation else parsed)
    options.given.add(row.name)


def _unknown(name: str) -> str:
    import difflib

    names = [*FLAGS, *NEGATIONS]
    near = difflib.get_close_matches(name.replace("-", "_"), names, 1, 0.6)
    bare = name.removeprefix("no").lstrip("-_")
    if bare in FLAGS and FLAGS[bare].kind == "bool":
        near = [f"{bare}=false"]
    hint = f"\ndid you mean -{near[0]}?" if near else ""
    return f"flag provided but not defined: -{name}{hint}"


_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _parse_size(text: str) -> int:
    """Bytes, or a number with a unit."""
    unit = _SIZES.get(text[-3:], 1)
    return _parse_int(text[:-3] if unit > 1 else text) * unit


_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)


def _parse_bool(text: str) -> bool:
    if text not in _BOOLS:
        raise ValueError("parse error")
    return _BOOLS[text]


def _parse_int(text: str) -> int:
    """Go's ParseInt with base 0: a sign, `0x`, `0o`, `0b` or `0` before the digits, `_` between them."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not re.fullmatch(r"[0-9][0-9a-zA-Z_]*", digits):
        raise ValueError("parse error")
    try:
        number = int(digits, 8 if re.match("0[0-9_]", digits) else 0)
    except ValueError:
        raise ValueError("parse error") from None
    number = -number if text[0] == "-" else number
    if not -(2**63) <= number < 2**63:
        raise ValueError("value out of range")
    return number


def access_mode(text: str) -> int:
    """An octal access mode.  Raises ValueError."""
    number = int(text, 8) if text and not text.strip("01234567") else -1
    if not 0 <= number <= 0o777:
        raise ValueError(f"must be an octal number up to 777: {text}")
    return number


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def parse_duration(text: str) -> Seconds:
    """Seconds of a Go duration (`1h30m`, `250ms`, `-1.5s`, `0`).  Raises ValueError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    total = at = 0
    while at < len(body) and body != "0":
        part = _DURATION_PART.match(body, at)
        if part is None:
            raise ValueError("parse error")
        whole, fraction, unit = part.groups(default="")
        total += int(whole or 0) * _UNITS[unit] + int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
        at = part.end()
    if not body or total >= 2**63:
        raise ValueError("parse error")
    return (-total if text[0] == "-" else total) / 10**9


def format_duration(seconds: Seconds) -> str:
    """As Go prints it: `1h0m0s`, `250ms`."""
    nanoseconds = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 else ""
    for unit, name in ((1, "ns"), (10**3, "µs"), (10**6, "ms")):
        if nanoseconds < unit * 1000:
            return f"{sign}{_plain(nanoseconds, unit)}{name}" if nanoseconds else "0s"
    hours, rest = divmod(nanoseconds, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    text = f"{_plain(rest, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _plain(number: int, unit: int) -> str:
    """The exact quotient as a decimal."""
    whole, rest = divmod(number, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)


def _parse_decimal(text: str) -> int:
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise ValueError(f"strconv.Atoi: parsing {go_quote(text)}: invalid syntax")
    return int(text)


def _parse_level(text: str) -> str:
    if text.upper() in LEVELS:
        return text.upper()
    return LEVELS[min(max(_parse_decimal(text), 0), len(LEVELS) - 1)]


def _parse_vmodule(text: str) -> str:
    if not all(re.fullmatch("[^=]+=[0-9]+", part) for part in text.split(",") if part):
        raise ValueError("syntax error: expect comma-separated list of filename=N")
    return text


def _parse_backtrace(text: str) -> str:
    if text and not re.fullmatch(r"[^:]*\.[^:]*:[1-9][0-9]*", text):
        raise ValueError("syntax error: expect file.go:234")
    return text


def _split(text: str) -> list[str]:
    """Split at commas, except between braces, where they belong to a pattern."""
    parts: list[str] = []
    depth = start = 0
    escaped = False
    for at, char in enumerate(text):
        if escaped or char == "\\":
            escaped = not escaped
        elif char == "{":
            depth += 1
        elif char == "}":
            depth = max(0, depth - 1)
        elif char == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return text.split(",") if depth else [*parts, text[start:]]


def _parse_progs(text: str) -> list[str]:
    """A path that exists may contain commas, as it may in mtail, where the flag has one path."""
    return [text] if "," in text and os.path.exists(text) else _split(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _parse_bool,
    "int": _parse_int,
    "str": str,
    "Seconds": parse_duration,
    "list[str]": _split,
}
_VALUE_NAMES = {"bool": "", "int": "int", "str": "string", "Seconds": "duration", "list[str]": "list"}
_WANTED = {
    "bool": "true or false, after =",
    "int": "a whole number",
    "Seconds": "a number with its unit: 250ms, 10s, 1h30m",
    **dict.fromkeys(("memory_limit", "part_size"), "bytes, or a number with its unit: 512MiB, 2GiB"),
    "stderrthreshold": f"one of {', '.join(LEVELS)}",
}
_CHECKS: dict[str, Callable[[str], Any]] = {
    "memory_limit": _parse_size,
    "part_size": _parse_size,
    "progs": _parse_progs,
    "v": _parse_decimal,
    "stderrthreshold": _parse_level,
    "vmodule": _parse_vmodule,
    "log_backtrace_at": _parse_backtrace,
}


def usage(command: str = "") -> str:
    """All flags by topic, or those of a command, as `-help` shows them."""
    import textwrap

    lines = _usage()
    if command:
        lines = ["Usage:", f"  nativemtail {command} -progs PATH -logs PATTERN -output FILE [flags]"]
    for topic in TOPICS:
        rows = [row for row in by_topic(topic) if not command or row.name in BACKFILL]
        lines += ["", f"{topic}:"] if rows else []
        for row in rows:
            lines.append(f"  -{row.name} {row.value_name}".rstrip())
            default = f" (default {row.default_text})" if row.default_text else ""
            negation = f" -{row.negation} turns it off." if row.negation else ""
            lines += ["    \t" + line for line in textwrap.wrap(row.help + negation + default, 96)]
    return "\n".join(lines)


def _usage() -> list[str]:
    lines = ["Usage:", "  nativemtail -progs PATH -logs PATTERN [flags]", "  nativemtail COMMAND [flags]"]
    lines += ["", "Commands (COMMAND --help says more):"]
    return [*lines, *(f"  {name:<10}{text}" for name, text in COMMANDS.items())]


def by_topic(topic: str) -> list[Flag]:
    """The topic's rows, sorted by name."""
    return sorted((row for row in FLAGS.values() if row.topic == topic), key=lambda row: row.name)


def markdown() -> str:
    """The documentation's tables, one for each topic."""
    lines: list[str] = []
    for topic in TOPICS:
        lines += [f"### {topic}", "", "| Flag | Value | Default | Meaning |", "|---|---|---|---|"]
        for row in by_topic(topic):
            names = f"`-{row.name}`" + (f", `-{row.negation}`" if row.negation else "")
            default = f"`{row.default_text}`" if row.default_text else ""
            lines.append(f"| {names} | {row.value_name} | {default} | {row.help.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)
