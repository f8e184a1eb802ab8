"""Lines by HTTP, as curl, Python's logging and hostile clients send them to the installed command."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import cramjam
import pytest
from daemons import Daemon, Place, free_port
from lokimessages import push_request
from waiting import PATIENCE, wait_until

FIELDS = b"""counter records by status
json status int {
  records[$status]++
}
"""
LOGGING = """
import logging.handlers, sys

handler = logging.handlers.HTTPHandler(f"127.0.0.1:{sys.argv[1]}", "/logs", method="POST")
logger = logging.getLogger("sender")
logger.addHandler(handler)
for number in range(20):
    logger.warning("message %d\\nof two lines", number)
"""
MIB = 1 << 20


class Receiver:
    """A daemon with a source of lines by HTTP."""

    def __init__(self, place: Place, path: str = "/logs", *flags: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        (place.progs / "fields.mtail").write_bytes(FIELDS)
        self.daemon = place.start(*flags, logs=[self.url])

    def curl(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
        """Status and text."""
        command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments, self.url]
        done = subprocess.run(command, check=False, input=stdin, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status), text

    def lines(self) -> float | None:
        return self.daemon.value(f"mtail_log_lines_total{{logfile={self.url}}}")

    def connect(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        peer.settimeout(PATIENCE)
        return peer

    def memory(self) -> int:
        """Peak of the resident memory in bytes."""
        status = Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024


def head(length: int, *fields: str) -> bytes:
    lines = ["POST /logs HTTP/1.1", "Host: x", f"Content-Length: {length}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def until_closed(peer: socket.socket) -> bytes:
    data = b""
    try:
        while piece := peer.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def test_curl(place: Place, tmp_path: Path) -> None:
    receiver = Receiver(place)
    (tmp_path / "lines").write_bytes(b'{"status": 200}\nplain\n')
    assert receiver.curl("--data-binary", f"@{tmp_path}/lines") == (204, "")
    assert receiver.lines() == 2  # at once
    assert receiver.curl("--json", '[{"status": 200}, {\n"status": 404}]') == (204, "")
    (tmp_path / "lines.gz").write_bytes(gzip.compress(b'{"status": 500}\n'))
    assert receiver.curl("-H", "Content-Encoding: gzip", "--data-binary", f"@{tmp_path}/lines.gz") == (204, "")
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Content-Type: text/plain", "-T", "-", "-X", "POST")
    assert receiver.curl(*chunked, stdin=b'{"status": 500}\n' * 10_000) == (204, "")
    for status, count in ((200, 2), (404, 1), (500, 10_001)):
        assert receiver.daemon.value(f"records_total{{status={status}}}") == count
    assert receiver.lines() == 10_005
    assert receiver.curl() == (405, "Lines are sent with POST.\n")
    status, text = receiver.curl("--json", "[")
    assert (status, text[:24]) == (400, "The body is not JSON, as")
    found = receiver.daemon.metrics()
    assert found[f"mtail_log_errors_total{{logfile={receiver.url}}}"] == 2
    assert found["total_connection_count{service=http_logs}"] == 6
    assert receiver.daemon.stop() == 0


def test_loki(place: Place) -> None:
    receiver = Receiver(place, "/loki/api/v1/push")
    values = [[str(number), json.dumps({"status": number % 2})] for number in range(100)]
    body = json.dumps({"streams": [{"stream": {"app": "a"}, "values": values}]})
    assert receiver.curl("--json", body) == (204, "")
    assert receiver.daemon.value("records_total{status=1}") == 50
    message = push_request(('{app="a"}', [json.dumps({"status": 2})] * 100))
    protobuf = ("-H", "Content-Type: application/x-protobuf", "--data-binary", "@-")
    assert receiver.curl(*protobuf, stdin=bytes(cramjam.snappy.compress_raw(message))) == (204, "")
    assert receiver.daemon.value("records_total{status=2}") == 100
    status, text = receiver.curl(*protobuf, stdin=message)
    assert (status, text[:38]) == (400, "The body is not compressed with Snappy")


def test_logging_of_python(place: Place) -> None:
    """Its handler posts forms: a line of `name=value&…` each."""
    receiver = Receiver(place)
    (place.progs / "forms.mtail").write_bytes(
        b"counter forms by level\n/levelname=(?P<level>\\w+)/ {\n  forms[$level]++\n}\n"
    )
    receiver.daemon.wait_log("Loaded program forms.mtail\n")
    subprocess.run([sys.executable, "-c", LOGGING, str(receiver.port)], check=True, timeout=PATIENCE)
    receiver.daemon.wait_for("forms_total{level=WARNING}", 20)
    assert receiver.lines() == 20


def test_one_shot_takes_one_connection(place: Place) -> None:
    port = free_port()
    arguments = ["--progs", str(place.progs), "--one_shot", "--one_shot_format=prometheus"]
    run = place.launch(*arguments, "--logs", f"http://127.0.0.1:{port}/logs", stdout=subprocess.PIPE)

    def posted() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("POST", "/logs", b"one\ntwo\n")
            return connection.getresponse().status == 204
        except ConnectionRefusedError:
            return False
        finally:
            connection.close()

    wait_until(posted, lambda: run.log)
    output, _ = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 0
    assert b'lines_total{prog="count.mtail"} 2\n' in output.replace(b"lines{", b"lines_total{")


def test_requests_that_are_answered_are_counted_at_sigterm(place: Place) -> None:
    """Whatever moment the signal comes at: what got an answer is in the metrics, and nothing else is."""
    port, state = free_port(), place.root / "state"
    url = f"http://127.0.0.1:{port}/logs"
    daemon = place.start("--state_dir", str(state), logs=[url])
    answered = [0] * 4
    may_end = threading.Event()

    def send(sender: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            while True:
                connection.request("POST", "/logs", b"line\n" * 10)
                answer = connection.getresponse()
                answer.read()
                answered[sender] += answer.status == 204
                if sum(answered) > 100:
                    may_end.set()
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    assert may_end.wait(PATIENCE), daemon.log
    assert daemon.stop(signal.SIGTERM) == 0
    for sender in senders:
        sender.join(PATIENCE)
    again = place.start("--state_dir", str(state), logs=[url])
    again.wait_for("lines_total", 10 * sum(answered))


def test_an_address_in_use_ends_the_start(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = place.launch("--progs", str(place.progs), "--port", "0", "--logs", f"http://127.0.0.1:{port}/")
        assert daemon.process.wait(PATIENCE) == 1
        assert f"listen http 127.0.0.1:{port}: bind: address already in use" in daemon.log


# --- hostile clients -------------------------------------------------------------------------------------------


def test_slow_clients_hold_up_no_other(place: Place) -> None:
    receiver = Receiver(place)
    slow = [receiver.connect() for _ in range(200)]
    try:
        for number, peer in enumerate(slow):
            peer.sendall((head(1000) + b"x" * number)[: 10 + 3 * number])
        assert receiver.curl("--data-binary", '{"status": 200}') == (204, "")
        receiver.daemon.wait_for("connection_count{service=http_logs}", 200)
        assert receiver.daemon.stop() == 0
    finally:
        for peer in slow:
            peer.close()


BOMB = gzip.compress(bytes(200 * MIB))
NESTED = b"[" * MIB + b"]" * MIB
EMPTY_LISTS = b'[{"a": [' + b"[]," * (MIB - 10) + b"[]]}]"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(1 << 40) + bytes(MIB), 413),
        (head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"ffffffff\r\n" + bytes(8 * MIB), 413),
        (head(len(BOMB), "Content-Encoding: gzip") + BOMB, 413),
        (head(len(NESTED), "Content-Type: application/json") + NESTED, 400),
        (head(len(EMPTY_LISTS), "Content-Type: application/json") + EMPTY_LISTS, 204),
        (b"POST /logs HTTP/1.1\r\n" + b"a: b\r\n" * 100_000, 431),
        (b"POST /" + b"x" * MIB, 431),
        (bytes(range(256)) * 100, 400),
    ],
)
def test_huge_requests(place: Place, data: bytes, status: int) -> None:
    receiver = Receiver(place)
    before = receiver.memory()

    def attack() -> None:
        with receiver.connect() as peer:
            sender = threading.Thread(target=_send, args=(peer, data))
            sender.start()
            answer = peer.recv(4096)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            peer.shutdown(socket.SHUT_RDWR)
            sender.join(PATIENCE)

    for _ in range(3):
        attack()
    assert receiver.curl("--data-binary", '{"status": 200}') == (204, "")
    assert receiver.memory() - before < 160 * MIB


def _send(peer: socket.socket, data: bytes) -> None:
    try:
        peer.sendall(data)
    except OSError:
        return


def test_pipelining_and_connections_without_end(place: Place) -> None:
    """Floods of requests, of connections and of rubbish at the same time as a client that behaves."""
    receiver = Receiver(place)
    stopping = threading.Event()

    def flood(data: bytes) -> None:
        while not stopping.is_set():
            try:
                with receiver.connect() as peer:
                    peer.settimeout(0.2)
                    peer.sendall(data)
                    until_closed(peer)
            except OSError:
                continue

    floods = [head(0) * 500, b"", b"\0" * 1000, head(10) + b"123"]
    threads = [threading.Thread(target=flood, args=(data,)) for data in floods]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert receiver.curl("--data-binary", '{"status": 200}') == (204, "")
    finally:
        stopping.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert receiver.daemon.value("records_total{status=200}") == 20
    assert alive(receiver.daemon)


def alive(daemon: Daemon) -> bool:
    return daemon.process.poll() is None and daemon.stop() == 0
