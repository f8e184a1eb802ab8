"""What the flags mean: checked and resolved once, before anything starts.

No other package knows the flags.  Each part has its own settings, which are made here from the `Options` that the user
gave, so that each default, unit and rule between two flags is defined in one place.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nativemtail import compiler, gotext
from nativemtail.app import message_files
from nativemtail.app.ignore import ignore
from nativemtail.io import sources
from nativemtail.io.lines import MIN_MAX_LINE_LENGTH
from nativemtail.io.patterns import LogSpec, parse_logs
from nativemtail.options import COMMANDS, Mode, Options, access_mode, dumps, format_duration, mode
from nativemtail.programs import builder, cache, zones
from nativemtail.programs.metrics import Naming

if TYPE_CHECKING:  # only a daemon imports these
    from nativemtail.export.push import PushSettings
    from nativemtail.http.hosts import AllowedHosts
    from nativemtail.http.tls import TLS
    from nativemtail.http.trust import TrustedHosts

log = logging.getLogger(__name__)

FORMATS = ("json", "prometheus")
NO_CACHE = "none"
NO_PROGRAMS = (
    "mtail requires programs that instruct it how to extract metrics from logs;"
    " please use the flag -progs to specify the directory containing the programs."
)
NO_LOGS = (
    "mtail requires the names of logs to follow in order to extract logs from them;"
    " please use the flag -logs one or more times to specify glob patterns describing these logs."
)


class ConfigError(Exception):
    """The flags are contradictory or invalid; the text says why."""


class Output(NamedTuple):
    """How metrics are shown: printed at the end, or on the daemon's pages."""

    one_shot: bool
    format: str
    """The format of printed metrics, one of FORMATS."""
    prog_label: bool
    timestamps: bool


class Service(NamedTuple):
    """Settings that only a daemon has."""

    tcp: tuple[str, str] | None
    """Host and port to listen on."""
    unix: tuple[str, int] | None
    """Path and access mode of the socket to listen on."""
    trusted: TrustedHosts
    hosts: AllowedHosts
    tls: TLS | None
    info_endpoint: bool
    debugging_endpoint: bool
    graphite_prefix: str
    push: PushSettings
    watch_programs: bool
    memory_limit: int
    """Memory limit of the whole process in bytes; 0 is no limit."""
    gc_interval: float
    """Seconds; 0 is never."""


class State(NamedTuple):
    """Where metrics and reading positions are kept, and how often they are saved."""

    directory: str
    interval: float
    """Seconds."""


class Config(NamedTuple):
    """All settings, grouped by the part that uses them."""

    mode: Mode
    specs: Sequence[LogSpec]
    input: sources.Settings
    read_from_beginning: bool
    programs: builder.Settings
    log_faults: bool
    """Whether run-time errors of programs are logged."""
    output: Output
    progress: bool
    state: State | None
    service: Service | None


def resolve(options: Options, extra: Sequence[str]) -> Config:
    """Raises ConfigError, `BadSource` and `BadIgnore`."""
    _check_arguments(options, extra)
    chosen = mode(options)
    programs = program_settings(options)
    _check_values(options)
    return Config(
        mode=chosen,
        specs=parse_logs(options.logs),
        input=_input(options, chosen),
        read_from_beginning=options.read_from_beginning,
        programs=programs,
        log_faults=options.vm_logs_runtime_errors,
        output=_output(options, chosen),
        progress=not options.quiet,
        state=_state(options, chosen),
        service=_service(options) if chosen is Mode.DAEMON else None,
    )


def messages(options: Options) -> message_files.Settings:
    """Where the process's own messages go.

    A daemon, and a user who asks for a dump, sees all messages on standard error if no files are written.
    """
    daemon = mode(options) is Mode.DAEMON
    problem = message_files.why_not_in(options.log_dir) if options.log_dir and not options.logtostderr else ""
    directory = "" if problem else options.log_dir
    talkative = (daemon or dumps(options)) and not directory and "stderrthreshold" not in options.given
    everything = talkative or options.logtostderr or options.alsologtostderr
    shown = "INFO" if everything else options.stderrthreshold
    files = "" if options.logtostderr else directory
    return message_files.Settings(
        shown=shown,
        lowest=message_files.lowest_level("INFO" if files else shown, verbose=options.v > 0),
        directory=files,
        link=options.log_link,
        daemon=daemon,
        problem=f"-log_dir {options.log_dir}: {problem}" if problem else "",
    )


_LABEL = re.compile(r"(?!__)([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PREFIX = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


def _naming(options: Options) -> Naming:
    """Raises ConfigError."""
    if options.metric_prefix and not _PREFIX.fullmatch(options.metric_prefix):
        wanted = "letters, digits, _ and :, and begins with no digit"
        raise ConfigError(f"-metric_prefix takes {wanted}: {options.metric_prefix}")
    labels: dict[str, str] = {}
    for text in options.label:
        match = _LABEL.fullmatch(text)
        if match is None:
            raise ConfigError(f"-label takes name=value, the name of letters, digits and _: {text}")
        name = match[1]
        if name in labels or name in ("le", "quantile") or (name == "prog" and options.emit_prog_label):
            why = "is given twice" if name in labels else "is a label that metrics have already"
            raise ConfigError(f"-label {name} {why}")
        labels[name] = match[2]
    return Naming(options.metric_prefix, tuple(labels.items()))


def program_settings(options: Options) -> builder.Settings:
    """Raises ConfigError for an unknown time zone, labels and prefixes that cannot be."""
    try:
        zone = zones.load(options.override_timezone)
    except LookupError as error:
        raise ConfigError(str(error)) from None
    default = compiler.Options()
    given = options.cache_dir
    return builder.Settings(
        paths=_programs(options),
        include_path=tuple(options.include_path),
        naming=_naming(options),
        zone=zone,
        limits=compiler.Options(
            options.max_regexp_length or default.max_regexp_length,
            options.max_recursion_depth or default.max_recursion_depth,
        ),
        patch_year=options.syslog_use_current_year,
        cache_directory="" if given == NO_CACHE else given or cache.default_directory(),
        is_cache_wanted=bool(given),
        dump_ast=options.dump_ast,
        dump_ast_types=options.dump_ast_types,
        dump_bytecode=options.dump_bytecode,
    )


def push_settings(options: Options) -> PushSettings:
    from nativemtail.export.push import PushSettings

    return PushSettings(
        interval=options.metric_push_interval,
        write_deadline=options.metric_push_write_deadline,
        collectd=options.collectd_socketpath,
        collectd_prefix=options.collectd_prefix,
        graphite=options.graphite_host_port,
        graphite_prefix=options.graphite_prefix,
        statsd=options.statsd_hostport,
        statsd_prefix=options.statsd_prefix,
        otlp=bool(options.otlp_endpoint) or options.experimental_enable_opentelemetry,
        otlp_endpoint=options.otlp_endpoint,
    )


def _check_arguments(options: Options, extra: Sequence[str]) -> None:
    if extra:
        import difflib

        words = " ".join(map(gotext.go_quote, extra))
        near = difflib.get_close_matches(extra[0], COMMANDS, 1)
        hint = f"\ndid you mean the command {near[0]}? It stands before the flags" if near else ""
        raise ConfigError(
            f"Too many extra arguments specified: [{words}]\n"
            f"(the logs flag can be repeated, or the filenames separated by commas.){hint}"
        )


def _check_values(options: Options) -> None:
    if not _programs(options):
        raise ConfigError(NO_PROGRAMS)
    if not options.logs and not options.compile_only and not dumps(options):
        raise ConfigError(NO_LOGS)
    for name in ("poll_interval", "poll_log_interval", "drain_timeout"):
        value: float = getattr(options, name)
        if value < 0:
            raise ConfigError(f"-{name} must not be negative: {format_duration(value)}")
    if options.state_interval <= 0:
        raise ConfigError(f"-state_interval must be positive: {format_duration(options.state_interval)}")
    if options.max_line_length < MIN_MAX_LINE_LENGTH:
        raise ConfigError(f"-max_line_length must be at least {MIN_MAX_LINE_LENGTH}: {options.max_line_length}")
    for name in ("log_socket_mode", "unix_socket_mode"):
        try:
            access_mode(getattr(options, name))
        except ValueError as error:
            raise ConfigError(f"-{name} {error}") from None
    for path in _programs(options):
        try:
            os.stat(path)
        except OSError as error:
            raise ConfigError(f"-progs: {gotext.explain(error, 'stat', path)}") from None


def _programs(options: Options) -> tuple[str, ...]:
    return tuple(filter(None, options.progs))


def _input(options: Options, chosen: Mode) -> sources.Settings:
    defaults = sources.Settings()
    for what, interval in (("data", options.poll_interval), ("pattern", options.poll_log_interval)):
        if not interval and chosen is Mode.DAEMON:
            log.info("no poll log %s interval specified; defaulting to 250ms poll", what)
    return sources.Settings(
        poll_interval=options.poll_interval or defaults.poll_interval,
        poll_log_interval=options.poll_log_interval or defaults.poll_log_interval,
        ignore=ignore(options.ignore_filename_regex_pattern),
        max_line_length=options.max_line_length,
        drain=options.drain_timeout,
        socket_mode=access_mode(options.log_socket_mode),
    )


def _output(options: Options, chosen: Mode) -> Output:
    if chosen is Mode.ONE_SHOT and options.one_shot_format not in FORMATS:
        given, wanted = gotext.go_quote(options.one_shot_format), " or ".join(FORMATS)
        raise ConfigError(f"unsupported format: {given} (-one_shot_format is {wanted})")
    return Output(
        one_shot=options.one_shot,
        format=options.one_shot_format,
        prog_label=options.emit_prog_label,
        timestamps=options.emit_metric_timestamp,
    )


def _state(options: Options, chosen: Mode) -> State | None:
    if not options.state_dir or chosen not in (Mode.DAEMON, Mode.ONE_SHOT):
        return None
    return State(os.path.abspath(options.state_dir), options.state_interval)


def _service(options: Options) -> Service:
    from nativemtail.http.hosts import AllowedHosts, HostError, own_names
    from nativemtail.http.trust import LOOPBACK, TrustedHosts, TrustError

    try:
        trusted = TrustedHosts.parse(options.trusted_hosts)
    except TrustError as error:
        raise ConfigError(f"-trusted_hosts: {error}") from None
    try:
        hosts = AllowedHosts.parse(options.allowed_hosts, own_names() | {options.address.lower()})
    except HostError as error:
        raise ConfigError(f"-allowed_hosts: {error}") from None
    unix = (options.unix_socket, access_mode(options.unix_socket_mode)) if options.unix_socket else None
    return Service(
        tcp=(options.address, options.port) if not unix or options.given & {"address", "port"} else None,
        unix=unix,
        trusted=trusted if trusted.blocks else LOOPBACK,
        hosts=hosts,
        tls=_tls(options),
        info_endpoint=options.http_info_endpoint,
        debugging_endpoint=options.http_debugging_endpoint,
        graphite_prefix=options.graphite_prefix,
        push=push_settings(options),
        watch_programs=options.watch_progs,
        memory_limit=max(0, options.memory_limit),
        gc_interval=max(0.0, options.expired_metrics_gc_interval),
    )


def _tls(options: Options) -> TLS | None:
    from nativemtail.http.tls import TLS

    if not options.tls_cert and not options.tls_key and not options.tls_client_ca:
        return None
    if not options.tls_cert or not options.tls_key:
        raise ConfigError("TLS needs both -tls_cert and -tls_key")
    return TLS(cert=options.tls_cert, key=options.tls_key, client_ca=options.tls_client_ca)
