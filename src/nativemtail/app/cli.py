"""The command: start-up in mtail's order, and the exit status (spec cli-http.md §3).

`nativemtail [flags]` takes Go's flag syntax.  A first word that is not a flag names a sub-command.  Those use click,
which is imported only then: it would take a third of the start-up time of a small one-shot run.

Exit status: 0 success; 1 error; 2 wrong flags; 130 interrupted; 141 nobody reads standard output any more.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from nativemtail import gotext
from nativemtail.app.streams import FAILURE, INTERRUPTED, SUCCESS, WRONG_FLAGS, occupy_closed_descriptors, write
from nativemtail.options import COMMANDS, FlagError, HelpRequested, Mode, mode, parse, usage
from nativemtail.telemetry.build import Build


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    occupy_closed_descriptors()
    try:
        if arguments and arguments[0] in COMMANDS:
            _sub_command(arguments)
        if list(arguments) == ["help"]:
            arguments = ["-help"]
        return _flags(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        return write(2, b"out of memory\n") or FAILURE


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


def _flags(arguments: Sequence[str]) -> int:
    try:
        options, extra = parse(arguments)
    except HelpRequested:
        return write(2, f"{Build()}\n\n{usage()}\n".encode())
    except FlagError as error:
        write(2, f"{error}\nnativemtail -help lists the flags.\n".encode("utf-8", "surrogateescape"))
        return WRONG_FLAGS
    if options.version:
        return write(1, f"{Build()}\n".encode())
    if mode(options) is Mode.DAEMON:
        _exit_on_signals()
    gc.disable()  # objects made during the start live as long as the process
    from nativemtail.app.run import run  # not at the top: -version and -help must be quick

    try:
        return run(arguments, options, extra)
    finally:
        gc.enable()


def _exit_on_signals() -> None:
    """A signal ends the start with success, as long as `daemon.run` has nothing to clean up."""
    import signal

    def leave(number: int, frame: object) -> NoReturn:
        os._exit(SUCCESS)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is loaded yet
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


def _sub_command(arguments: Sequence[str]) -> NoReturn:
    from nativemtail.app.commands import group

    if sys.stdout is None:  # it was closed: printing must fail
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - stays open until the process ends
    try:
        group.main(list(arguments), prog_name="nativemtail")
    except OSError as error:
        write(2, f"cannot write to standard output: {gotext.reason(error)}\n".encode())
        os._exit(FAILURE)
