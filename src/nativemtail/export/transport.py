"""How pushes reach their targets: addresses, and streams with a deadline for connecting and writing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIECE = 64 * 1024
"""Size of a stream's send buffer in bytes."""
DRAIN_SECONDS = 1.0
"""Seconds that a finished stream waits for the peer to close, which shows that everything has arrived."""


class PushError(Exception):
    """A push failed; the text says in which step and why."""


class DialError(PushError):
    """The peer cannot be reached."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"pusher dial error: {reason(error)}")


class WriteError(PushError):
    """The peer stopped accepting data."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"pusher write error: {reason(error)}")


class NothingArrived(WriteError):
    """Nobody listened at the peer's address: what was sent before is lost, too."""


def reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


@dataclass(slots=True)
class Budget:
    """The longest time for one step of a push, and the time (`time.monotonic`) when the whole push must be over."""

    seconds: float
    end: float = math.inf

    def deadline(self) -> float:
        """The deadline of a step that begins now."""
        return min(time.monotonic() + self.seconds, self.end)


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline.  Raises TimeoutError if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    return seconds


def host_and_port(address: str) -> tuple[str, str]:
    """The parts of `host:port` or `[host]:port`; localhost if the host is empty.  Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port:
        raise ValueError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {address}: too many colons in address")
    if port.isascii() and port.isdigit() and int(port) > 65535:  # getaddrinfo would use its lower 16 bits
        raise ValueError(f"address {address}: invalid port")
    return host or "localhost", port


def dial_internet(address: str, kind: socket.SocketKind, budget: Budget) -> socket.socket:
    """A connected socket, to the first of the host's addresses that answers.  Raises DialError."""
    deadline = budget.deadline()
    try:
        host, port = host_and_port(address)
        places = socket.getaddrinfo(host, port, type=kind)
    except (ValueError, OSError) as error:
        raise DialError(error) from None
    failure: Exception = OSError("no address")
    for family, _, protocol, _, place in places:
        try:
            return _connected(socket.socket(family, kind, protocol), place, deadline)
        except OSError as error:
            failure = error
    raise DialError(failure)


def dial_unix(path: str, budget: Budget) -> socket.socket:
    """A socket connected to the stream socket at `path`.  Raises DialError."""
    try:
        return _connected(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path, budget.deadline())
    except OSError as error:
        raise DialError(error) from None


def _connected(sock: socket.socket, place: object, deadline: float) -> socket.socket:
    try:
        sock.settimeout(seconds_left(deadline))
        sock.connect(place)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def stream(
    sock: socket.socket,
    budget: Budget,
    sent: Callable[[int], None],
    answered: Callable[[bytes], None] = lambda data: None,
) -> Iterator[Stream]:
    """A context in which entries are written; at its end all are sent, by one deadline.  Raises WriteError."""
    with sock:
        try:
            channel = Stream(sock, budget.deadline(), sent, answered)
            yield channel
            channel.finish()
        except OSError as error:
            raise WriteError(error) from None


class Stream:
    """Sends entries in order and reads the peer's answers, so that the peer does not block on a full send buffer.

    Calls `sent` with the number of entries sent, and `answered` with the peer's answers.
    """

    def __init__(
        self,
        sock: socket.socket,
        deadline: float,
        sent: Callable[[int], None],
        answered: Callable[[bytes], None],
    ) -> None:
        self._sock = sock
        self._deadline = deadline
        self._sent = sent
        self._answered = answered
        self._pending = bytearray()
        self._entries = 0
        self._can_answer = True
        sock.setblocking(False)
        self._poll = select.poll()

    def write(self, entry: bytes) -> None:
        """Raises OSError, TimeoutError included."""
        self._pending += entry
        self._entries += 1
        if len(self._pending) >= PIECE:
            self._flush()

    def finish(self) -> None:
        """Send the rest and shut down writing; a peer that then closes has read everything, one that resets has not."""
        self._flush()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        patience = min(self._deadline, time.monotonic() + DRAIN_SECONDS)
        with contextlib.suppress(TimeoutError):
            if not self._can_answer:
                self._wait_until_taken(patience)
            self._poll.register(self._sock, select.POLLIN)
            while self._can_answer and self._poll.poll(seconds_left(patience) * 1000):
                self._read_answers()

    def _wait_until_taken(self, deadline: float) -> None:
        """Wait until all is acknowledged: a peer that has already closed its half cannot signal that by closing."""
        while struct.unpack("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))[0]:
            time.sleep(min(seconds_left(deadline), 0.01))
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _flush(self) -> None:
        at = 0
        while at < len(self._pending):
            self._poll.register(self._sock, select.POLLOUT | (select.POLLIN if self._can_answer else 0))
            for _, events in self._poll.poll(seconds_left(self._deadline) * 1000):
                if events & select.POLLIN:
                    self._read_answers()
                if events & ~select.POLLIN:
                    with memoryview(self._pending) as view:
                        at += self._sock.send(view[at : at + PIECE])
        self._sent(self._entries)
        self._pending.clear()
        self._entries = 0

    def _read_answers(self) -> None:
        """Read the peer's answers; a peer that has closed its half may still read."""
        with contextlib.suppress(BlockingIOError):
            data = self._sock.recv(PIECE)
            self._answered(data)
            self._can_answer = bool(data)
