"""The outputs of a run: a file, standard output, a target of remote writes.

They are made before the logs are read, so that a bad address or a directory that is not there costs no hours.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Protocol

from nativemtail.history import openmetrics, parquet, remotewrite
from nativemtail.history.remotewrite import Refusal, RemoteWrite, RemoteWriteError
from nativemtail.history.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nativemtail.history.series import Family

log = logging.getLogger(__name__)

NAMED = 100
"""Refused series that are named."""


class OutputError(Exception):
    """The text is for the user."""


class Output(Protocol):
    def write(self, families: Iterable[Family]) -> bool:
        """Write everything; whether all of it was taken.  Raises OutputError; standard output raises OSError."""


class File:
    """A file, of the format that its name ends in.  Raises OutputError."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not path.endswith((".om", ".parquet")):
            raise OutputError(
                f"{path}: the name must end in .om for OpenMetrics or .parquet, or be - for standard output"
            )
        directory = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(directory):
            raise OutputError(f"{path}: there is no directory {directory}")
        if not os.access(directory, os.W_OK):
            raise OutputError(f"{path}: {directory} cannot be written to")

    def write(self, families: Iterable[Family]) -> bool:
        try:
            with replaced(self._path) as out:
                if self._path.endswith(".parquet"):
                    parquet.write(families, out)
                else:
                    openmetrics.write(families, out, log.warning)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from None
        return True


class StandardOutput:
    """OpenMetrics text."""

    def write(self, families: Iterable[Family]) -> bool:
        openmetrics.write(families, sys.stdout.buffer, log.warning)
        sys.stdout.buffer.flush()
        return True


class Remote:
    """A target of remote writes; `headers` is a file with lines `Name: value`, or empty.  Raises OutputError."""

    def __init__(self, url: str, headers: str) -> None:
        self._named = 0
        try:
            self._target = remotewrite.target(url, read_headers(headers) if headers else {})
        except ValueError as error:
            raise OutputError(f"cannot write to that address: {error}") from None

    def write(self, families: Iterable[Family]) -> bool:
        writer = RemoteWrite(self._target, self._name)
        try:
            sent = writer.write(families)
        except RemoteWriteError as error:
            raise OutputError(str(error)) from None
        finally:
            more = writer.sent.refused_series - NAMED
            if more > 0:
                log.error("%s: %d further series were refused", self._target, more)
        log.info("%s: %d samples written, %d refused", self._target, sent.samples, sent.refused)
        return not sent.refused

    def _name(self, refusal: Refusal) -> None:
        self._named += 1
        if self._named <= NAMED:
            log.error("%s: %s", self._target, refusal)


def read_headers(path: str) -> dict[str, str]:
    """The headers in a file, which other users need not be able to read.  Raises OutputError."""
    try:
        with open(path, encoding="latin-1") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise OutputError(f"{path}:{number}: a line must be Name: value")
        found[name.strip()] = value.strip()
    return found


def outputs(path: str, url: str, headers: str = "") -> list[Output]:
    """Those that are wanted: `path` is that of a file or `-`, `url` that of a target; either may be empty."""
    found: list[Output] = []
    if path == "-":
        found.append(StandardOutput())
    elif path:
        found.append(File(path))
    if url:
        found.append(Remote(url, headers))
    return found
