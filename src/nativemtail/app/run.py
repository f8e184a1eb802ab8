"""From flags to a run: messages, settings, then the daemon, one-shot, or loading programs only."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

from nativemtail import gotext
from nativemtail.app import config, message_files, oneshot
from nativemtail.app.config import Config, ConfigError
from nativemtail.app.ignore import BadIgnore
from nativemtail.app.load import open_keeper_of, open_programs_of
from nativemtail.app.streams import FAILURE, INTERRUPTED, SUCCESS, write
from nativemtail.io.patterns import BadSource
from nativemtail.io.sources import SourceError
from nativemtail.options import Mode, Options, mode
from nativemtail.programs.loaded import LoadError
from nativemtail.state.lock import StateError
from nativemtail.telemetry.build import Build

log = logging.getLogger(__name__)


def run(arguments: Sequence[str], options: Options, extra: Sequence[str]) -> int:
    """Do what the options say; the exit status.  `arguments` is the command line, `extra` its non-flags."""
    is_daemon = mode(options) is Mode.DAEMON
    screen = message_files.Screen()
    message_files.configure(config.messages(options), screen)
    if is_daemon:
        message_files.redirect_stderr()
    log.info("%s", Build())
    log.info("Commandline: [%s]", " ".join(map(gotext.go_quote, ("nativemtail", *arguments))))
    try:
        settings = config.resolve(options, extra)
        if is_daemon:
            from nativemtail.app import daemon

            gc.enable()
            return daemon.run(settings)
        return _run_once(settings, screen)
    except ConfigError as error:
        log.critical("%s", error)
        return FAILURE
    except (LoadError, BadSource, SourceError, BadIgnore, StateError) as error:
        log.log(logging.CRITICAL if is_daemon else logging.ERROR, "%s", error)
        return FAILURE


def _run_once(settings: Config, screen: message_files.Screen) -> int:
    """One-shot and the modes that only load programs.  Raises LoadError, SourceError and StateError."""
    keeper = open_keeper_of(settings)
    programs = open_programs_of(settings)
    if keeper is not None:
        keeper.restore(programs)
    programs.load(strict=settings.mode is Mode.ONE_SHOT)
    if settings.mode is Mode.COMPILE and (not programs.names or programs.failed):
        return FAILURE
    if settings.mode is not Mode.ONE_SHOT:
        log.info("programs are loaded, exiting")
        return SUCCESS
    status = SUCCESS
    try:
        if not oneshot.read_logs(settings, programs, screen, keeper):
            status = FAILURE
    except KeyboardInterrupt:
        status = INTERRUPTED
        log.error("interrupted: the metrics are those of the lines read so far")
    if keeper is not None and not keeper.end():
        status = status or FAILURE
    try:
        output = oneshot.render(programs.store, settings.output)
    except oneshot.OutputError as error:
        log.error("%s", error)
        return FAILURE
    return write(1, output) or status
