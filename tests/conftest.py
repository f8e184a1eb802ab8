"""What holds for all tests: `support/` can be imported, the user's cache is left alone, folders are markers."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "support"))

for module in (Path(__file__).parent / "support").glob("*.py"):
    pytest.register_assert_rewrite(module.stem)

SLOW = {"property", "project", "system"}
"""Folders that `make quick` leaves out: thousands of examples, linters and what pages show, processes."""
LONG = {"slow", "soak", "interop", "differential"}
"""Markers of tests that may take minutes on a busy machine."""

settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")

# In the background of a shell, and under nohup, some are ignored; the processes that tests start would inherit that.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

_CACHES = tempfile.mkdtemp(prefix="nativemtail-cache-")
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ["XDG_CACHE_HOME"] = _CACHES


@pytest.fixture(autouse=True)
def messages_as_before() -> Iterator[None]:
    """Whoever runs the command in the process of the tests sets up its messages, for all tests that follow."""
    logger = logging.getLogger("nativemtail")
    handlers, level, propagate, raising = logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions
    yield
    for handler in logger.handlers[:]:
        if handler not in handlers:
            logger.removeHandler(handler)
            handler.close()
    logger.setLevel(level)
    logger.propagate, logging.raiseExceptions = propagate, raising


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` stands for: more than there are processors, as half of a run is spent on waiting."""
    return max(2, 3 * len(os.sched_getaffinity(0)) // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of folders and files that have a marker's name, so that `-m "not interop"` leaves them out."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in ("differential", "interop"):
            item.add_marker(folder)
        if folder in SLOW:
            item.add_marker("slow")
        if item.path.stem in ("test_soak", "test_short_soak"):
            item.add_marker("soak")
        if LONG.intersection(marker.name for marker in item.iter_markers()):
            item.add_marker(pytest.mark.timeout(1800))
