"""The command: start-up in mtail's order, and the exit status (spec cli-http.md §3).

`nativemtail [flags]` takes Go's flag syntax.  A first word that is no flag names a sub-command; those are click's,
which is imported only then: it would take a third of the start-up time of a small one-shot run.

Exit status: 0 success; 1 error; 2 wrong flags; 130 interrupted; 141 nobody reads standard output any more.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

from nativemtail import gotext, net
from nativemtail.app import message_files, oneshot
from nativemtail.app.ignore import BadIgnore, Ignore, ignore
from nativemtail.io import doubts
from nativemtail.io.lines import MIN_MAX_LINE_LENGTH
from nativemtail.io.patterns import BadSource, LogSpec, parse_logs
from nativemtail.io.sources import SourceError
from nativemtail.options import COMMANDS, FlagError, HelpRequested, Options, format_duration, parse, usage
from nativemtail.programs import zones
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.manager import Programs, open_programs
from nativemtail.telemetry.build import Build

log = logging.getLogger(__name__)

SUCCESS, FAILURE, WRONG_FLAGS, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

NO_PROGRAMS = (
    "mtail requires programs that instruct it how to extract metrics from logs;"
    " please use the flag -progs to specify the directory containing the programs."
)
NO_LOGS = (
    "mtail requires the names of logs to follow in order to extract logs from them;"
    " please use the flag -logs one or more times to specify glob patterns describing these logs."
)


class StartError(Exception):
    """The process cannot start; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _occupy_closed_descriptors()
    try:
        if arguments and arguments[0] in COMMANDS:
            _sub_command(arguments)
        if list(arguments) == ["help"]:
            arguments = ["-help"]
        return _flags(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        return _write(2, b"out of memory\n") or FAILURE


def command() -> NoReturn:
    """Console entry point: run `main`, flush, and `_exit`, as shutting the interpreter down would take 7 ms."""
    status = main()
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)


def _occupy_closed_descriptors() -> None:
    """Keep descriptors 0 to 2 from becoming files of ours where they are closed; to use them stays an error."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if fd else os.O_WRONLY)


def _flags(arguments: Sequence[str]) -> int:
    try:
        options, extra = parse(arguments)
    except HelpRequested:
        return _write(2, f"{Build()}\n\n{usage()}\n".encode())
    except FlagError as error:
        _write(2, f"{error}\nnativemtail -help lists the flags.\n".encode("utf-8", "surrogateescape"))
        return WRONG_FLAGS
    if options.version:
        return _write(1, f"{Build()}\n".encode())
    return _run(arguments, options, extra)


def _run(arguments: Sequence[str], options: Options, extra: Sequence[str]) -> int:
    gc.disable()  # what a start, or a short process, makes stays

    one_off = options.one_shot or options.compile_only or _only_dumps(options)
    screen = _open_log(options, daemon=not one_off)
    log.info("%s", Build())
    log.info("Commandline: [%s]", " ".join(map(gotext.go_quote, ("nativemtail", *arguments))))
    try:
        _check(options, extra)
        if not one_off:
            from nativemtail.app.daemon import run

            gc.enable()
            return run(options)
        return _run_once(options, screen)
    except StartError as error:
        log.critical("%s", error)
        return FAILURE
    finally:
        gc.enable()


def _open_log(options: Options, *, daemon: bool) -> message_files.Screen:
    """Have messages go where the flags say."""
    screen = message_files.Screen()
    problem = _leave_bad_log_dir(options)
    message_files.configure(options, screen, daemon=daemon)
    if daemon:
        message_files.take_stderr_over()
    if problem:
        log.warning("%s; messages go to standard error instead", problem)
    return screen


def _leave_bad_log_dir(options: Options) -> str:
    """Unset -log_dir if no file can be made there; why, or nothing."""
    if not options.log_dir or options.logtostderr:
        return ""
    directory, problem = options.log_dir, message_files.why_not_in(options.log_dir)
    if not problem:
        return ""
    options.log_dir = ""
    return f"-log_dir {directory}: {problem}"


def _only_dumps(options: Options) -> bool:
    return not options.logs and (options.dump_ast or options.dump_ast_types or options.dump_bytecode)


def _check(options: Options, extra: Sequence[str]) -> None:
    """What the flags must fulfil together.  Raises StartError."""
    if extra:
        words = " ".join(map(gotext.go_quote, extra))
        raise StartError(
            f"Too many extra arguments specified: [{words}]\n"
            "(the logs flag can be repeated, or the filenames separated by commas.)"
        )
    if options.override_timezone:
        try:
            zones.load(options.override_timezone)
        except LookupError as error:
            raise StartError(str(error)) from None
    if not options.progs:
        raise StartError(NO_PROGRAMS)
    if not options.logs and not options.compile_only and not _only_dumps(options):
        raise StartError(NO_LOGS)
    for name in ("poll_interval", "poll_log_interval", "drain_timeout"):
        value: float = getattr(options, name)
        if value < 0:
            raise StartError(f"-{name} must not be negative: {format_duration(value)}")
    if options.max_line_length < MIN_MAX_LINE_LENGTH:
        raise StartError(f"-max_line_length must be at least {MIN_MAX_LINE_LENGTH}: {options.max_line_length}")
    for name in ("log_socket_mode", "unix_socket_mode"):
        try:
            net.mode(getattr(options, name))
        except ValueError as error:
            raise StartError(f"-{name} {error}") from None
    try:
        os.stat(options.progs)
    except OSError as error:
        raise StartError(f"-progs: {gotext.explain(error, 'stat', options.progs)}") from None


def _run_once(options: Options, screen: message_files.Screen) -> int:
    """One-shot and the modes that only load programs."""
    try:
        specs = parse_logs(options.logs)
        ignored = ignore(options.ignore_filename_regex_pattern)
        programs = open_programs(options, lambda name: doubts.of_filter(name, specs))
        programs.load(strict=options.one_shot and not options.compile_only)
        if options.compile_only and (not programs.names or programs.failed):
            return FAILURE
        if options.compile_only or not options.one_shot:
            log.info("programs are loaded, exiting")
            return SUCCESS
        return _one_shot(options, specs, ignored, programs, screen)
    except (LoadError, BadSource, SourceError, BadIgnore) as error:
        log.error("%s", error)
        return FAILURE


def _one_shot(
    options: Options, specs: list[LogSpec], ignored: Ignore, programs: Programs, screen: message_files.Screen
) -> int:
    status = SUCCESS
    if options.one_shot_format not in oneshot.FORMATS:
        wanted = " or ".join(oneshot.FORMATS)
        raise StartError(
            f"unsupported format: {gotext.go_quote(options.one_shot_format)} (-one_shot_format is {wanted})"
        )
    try:
        if not oneshot.read_logs(options, programs, specs, ignored, screen):
            status = FAILURE
    except KeyboardInterrupt:
        status = INTERRUPTED
        log.error("interrupted: the metrics are those of the lines read so far")
    try:
        output = oneshot.render(programs.store, options)
    except oneshot.OutputError as error:
        log.error("%s", error)
        return FAILURE
    return _write(1, output) or status


def _sub_command(arguments: Sequence[str]) -> NoReturn:
    from nativemtail.app.commands import group

    if sys.stdout is None:  # it was closed: printing must fail
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    try:
        group.main(list(arguments), prog_name="nativemtail")
    except OSError as error:
        _write(2, f"cannot write to standard output: {gotext.reason(error)}\n".encode())
        os._exit(FAILURE)


def _write(fd: int, data: bytes) -> int:
    """Write to standard output or error; the exit status."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            return BROKEN_PIPE
        except OSError as error:
            if fd == 1:
                _write(2, f"cannot write to standard output: {gotext.reason(error)}\n".encode())
            return FAILURE
    return SUCCESS
