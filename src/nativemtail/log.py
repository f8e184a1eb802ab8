"""The loggers of the modules: those of `logging`, which is imported with the first message that somebody sees.

That import, and what it brings with it, is a third of what a start takes; most one-shot runs have nothing to say.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50
"""As in `logging`."""
LEVELS = {"INFO": DEBUG, "WARNING": WARNING, "ERROR": ERROR, "FATAL": CRITICAL}
"""The levels of the flags; verbose messages are INFO too."""


def least(seen: str, *, verbose: bool) -> int:
    """The lowest level of the messages that are worth making, if those from `seen` on go anywhere."""
    return max(DEBUG if verbose else INFO, LEVELS[seen])


def flush() -> None:
    """Have all messages written, as the process is about to end."""
    import sys

    if logging := sys.modules.get("logging"):
        logging.shutdown()


class Log:
    """The logger of that name."""

    __slots__ = ("_name",)

    least: ClassVar[int] = DEBUG
    """Messages below this level are seen by nobody."""
    set_up: ClassVar[Callable[[], object] | None] = None
    """Called once, before the first message that is not."""

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, text: str, *values: Any, exc_info: Any = None) -> None:
        self._say(DEBUG, text, values, exc_info)

    def info(self, text: str, *values: Any, exc_info: Any = None) -> None:
        self._say(INFO, text, values, exc_info)

    def warning(self, text: str, *values: Any, exc_info: Any = None) -> None:
        self._say(WARNING, text, values, exc_info)

    def error(self, text: str, *values: Any, exc_info: Any = None) -> None:
        self._say(ERROR, text, values, exc_info)

    def critical(self, text: str, *values: Any, exc_info: Any = None) -> None:
        self._say(CRITICAL, text, values, exc_info)

    def exception(self, text: str, *values: Any) -> None:
        """An error, with the traceback of what is being handled."""
        self._say(ERROR, text, values, True)

    def log(self, level: int, text: str, *values: Any) -> None:
        self._say(level, text, values, None)

    def _say(self, level: int, text: str, values: tuple[Any, ...], exc_info: Any) -> None:
        if level < Log.least:
            return
        import logging

        if Log.set_up is not None:
            set_up, Log.set_up = Log.set_up, None
            set_up()
        # The place that is named is two calls away: of the method above, and of this one.
        logging.getLogger(self._name).log(level, text, *values, exc_info=exc_info, stacklevel=3)


class Screen:
    """Standard error; `before` clears what stands on the terminal's last line for a message."""

    def __init__(self) -> None:
        self.before: Callable[[], None] | None = None
