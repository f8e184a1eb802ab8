"""The process's own messages, in the form that mtail's users know (spec cli-http.md §2).

`I1121 19:26:35.123456   12345 file.py:123] text`: level letter, month and day, time, process id, place, text.
"""

from __future__ import annotations

import io
import logging
import os
import pwd
import select
import stat
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from nativemtail.app.outbox import Outbox

NAME = "nativemtail"
MAX_FILE_SIZE = 1800 * 1024 * 1024
"""Size in bytes after which a new message file is begun."""

LEVELS = {"INFO": logging.DEBUG, "WARNING": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.CRITICAL}
"""The levels of the flags; verbose messages are INFO too."""

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class Screen:
    """Standard error; `before` clears the progress line on the terminal before a message."""

    def __init__(self) -> None:
        self.before: Callable[[], None] | None = None


def lowest_level(seen: str, *, verbose: bool) -> int:
    """The lowest level, as in `logging`, of messages that are not discarded, if levels from `seen` on are shown."""
    return max(logging.DEBUG if verbose else logging.INFO, LEVELS[seen])


class Settings(NamedTuple):
    """Where messages go; a daemon's take one line each, and writing them never blocks it."""

    shown: str = "WARNING"
    """The lowest of LEVELS that goes to standard error."""
    lowest: int = logging.WARNING
    """The lowest level, as in `logging`, that goes anywhere."""
    directory: str = ""
    """Directory of message files; empty: none are written."""
    link: str = ""
    """A directory of further links to these files."""
    daemon: bool = False
    problem: str = ""
    """Why no files are written although they were requested."""


def configure(settings: Settings, screen: Screen) -> None:
    """Send messages where the settings say."""
    logger = logging.getLogger(NAME)
    logger.propagate = False
    # A full disk or a closed terminal must not produce tracebacks.
    logging.raiseExceptions = False
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(StderrHandler(LEVELS[settings.shown], screen, Outbox() if settings.daemon else None))
    if settings.directory:
        links = [settings.directory, *([settings.link] if settings.link else [])]
        outbox = Outbox() if settings.daemon else None
        for level in LEVELS:
            logger.addHandler(FileHandler(level, settings.directory, links, outbox))
    for handler in logger.handlers:
        handler.setFormatter(Formatter(one_line=settings.daemon))
    logger.setLevel(settings.lowest)
    if settings.problem:
        logger.warning("%s; messages go to standard error instead", settings.problem)


def why_not_in(directory: str) -> str:
    """Why no file can be made in `directory`; empty if one can."""
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            return "not a directory"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "" if os.access(directory, os.W_OK | os.X_OK) else "no permission to make files there"


def redirect_stderr() -> None:
    """Route what other code prints to sys.stderr through the daemon's messages."""
    for handler in logging.getLogger(NAME).handlers:
        if isinstance(handler, StderrHandler):
            sys.stderr = StandardError(handler)


class Formatter(logging.Formatter):
    """One event; bytes that are not UTF-8 go through as surrogates.

    `one_line` joins texts of several lines, like compile errors, for log collectors.
    """

    def __init__(self, *, one_line: bool) -> None:
        super().__init__()
        self._one_line = one_line

    def format(self, record: logging.LogRecord) -> str:
        at = time.localtime(record.created)
        micros = int(record.created % 1 * 1_000_000)
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if self._one_line:
            text = "; ".join(line.strip() for line in text.splitlines()).replace(":; ", ": ")
        return (
            f"{_LETTERS.get(record.levelno, 'I')}{time.strftime('%m%d %H:%M:%S', at)}.{micros:06d}"
            f" {record.process or 0:7d} {record.filename}:{record.lineno}] {text}\n"
        )


class _Handler(logging.Handler):
    """Writes each event at once, or has an outbox do it."""

    def __init__(self, level: int, outbox: Outbox | None) -> None:
        super().__init__(level)
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.submit(self.format(record).encode("utf-8", "surrogateescape"))
        except Exception:
            self.handleError(record)

    def submit(self, data: bytes) -> None:
        """Raises OSError where there is no outbox."""
        if self._outbox is not None:
            self._outbox.put(self, data)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def loss_notice(self, count: int) -> bytes:
        text = "%d messages are missing here: they could not be written"
        record = logging.LogRecord(NAME, logging.WARNING, __file__, 0, text, (count,), None)
        return self.format(record).encode()

    def flush(self) -> None:
        if self._outbox is not None:
            self._outbox.flush()


class StderrHandler(_Handler):
    """Standard error."""

    def __init__(self, level: int, screen: Screen, outbox: Outbox | None = None) -> None:
        super().__init__(level, outbox)
        self._screen = screen

    def write(self, data: bytes) -> None:
        if self._screen.before:
            self._screen.before()
        write(2, data)


class StandardError(io.TextIOBase):
    """Replaces sys.stderr where messages go through an outbox, for what other code prints there."""

    def __init__(self, handler: StderrHandler) -> None:
        self._handler = handler

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._handler.submit(text.encode("utf-8", "surrogateescape"))
        return len(text)


class FileHandler(_Handler):
    """The file of one level, `<program>.<host>.<user>.log.<LEVEL>.<time>.<pid>`, made with its first event.

    It contains messages of its level and above.  `<program>.<LEVEL>` in each of `links` points to it.
    """

    def __init__(self, level: str, directory: str, links: list[str], outbox: Outbox | None = None) -> None:
        super().__init__(LEVELS[level], outbox)
        self._name = level
        self._directory = directory
        self._links = links
        self._fd = -1
        self._size = 0
        self._is_torn = False

    def write(self, data: bytes) -> None:
        if self._fd < 0 or self._size >= MAX_FILE_SIZE:
            self._open()
        if self._is_torn:
            data = b"\n" + data
        self._is_torn = True
        write(self._fd, data)
        self._is_torn = False
        self._size += len(data)

    def close(self) -> None:
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()

    def _open(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        program = os.path.basename(sys.argv[0])
        if program == "__main__.py":
            program = NAME
        host = os.uname().nodename.partition(".")[0]
        name = f"{program}.{host}.{_user()}.log.{self._name}.{_stamp()}.{os.getpid()}"
        self._fd, name = _create(self._directory, name)
        self._size = 0
        for directory in self._links:
            target = name if directory == self._directory else os.path.join(os.path.abspath(self._directory), name)
            _link(target, os.path.join(directory, f"{program}.{self._name}"))


def _create(directory: str, name: str) -> tuple[int, str]:
    """A new file for this user only, and its name, which gets a random suffix if the file exists.  Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC
    try:
        fd = os.open(os.path.join(directory, name), flags, 0o600)
    except FileExistsError:
        name += f".{os.urandom(8).hex()}"
        fd = os.open(os.path.join(directory, name), flags, 0o600)
    os.fchmod(fd, 0o600)
    return fd, name


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name.replace("\\", "_")
    except KeyError:
        return str(os.getuid())


def _link(target: str, link: str) -> None:
    """Point `link` to `target` atomically; anything that is not a link is left alone."""
    directory, name = os.path.split(link)
    fresh = os.path.join(directory, f".{name}.{os.urandom(8).hex()}")
    try:
        if os.path.exists(link) and not os.path.islink(link):
            return
        os.symlink(target, fresh)
        try:
            os.replace(fresh, link)
        except OSError:
            os.unlink(fresh)
            raise
    except OSError:
        logging.getLogger(NAME).debug("cannot link %s", link)


def write(fd: int, data: bytes) -> None:
    """All of `data`.  Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            select.select([], [fd], [])
