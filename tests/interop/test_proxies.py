"""nginx and Varnish in front of the Unix socket, whose mode decides which processes are served."""

from __future__ import annotations

import base64
import http.client
import os
import pwd
import re
import ssl
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from daemons import Daemon, Place, append, free_port
from systems import Systems
from waiting import PATIENCE, wait_until


@pytest.fixture
def behind(place: Place) -> tuple[Daemon, Path]:
    """A daemon on a Unix socket only, which has counted a line; and the socket."""
    sock = place.root / "http.sock"
    log = place.logs / "a.log"
    log.touch()
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", str(log), "--unix_socket", str(sock), "--unix_socket_mode", "0660")
    )
    daemon.address = str(sock)
    daemon.wait_log("HTTP on")
    wait_until(lambda: daemon.ask("/-/ready")[0] == 200, lambda: daemon.log)
    assert stat.S_IMODE(sock.stat().st_mode) == 0o660
    append(log, b"a 1\n")
    daemon.wait_for("lines_total", 1)
    return daemon, sock


def test_nginx_ends_tls(place: Place, systems: Systems, behind: tuple[Daemon, Path]) -> None:
    home, port = place.root, free_port()
    certificate, key = home / "nginx.pem", home / "nginx.key"
    make = "req -x509 -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *make.split(), *names], check=True, capture_output=True)
    passwords = home / "passwords"
    passwords.write_text("prometheus:{PLAIN}secret\n")
    site = systems.configure(
        "nginx/nativemtail.conf",
        {
            "/run/nativemtail/http.sock": behind[1],
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "logs.example.net;": "localhost;",
            "/etc/nginx/logs.example.net.pem": certificate,
            "/etc/nginx/logs.example.net.key": key,
            "/etc/nginx/nativemtail.passwords": passwords,
        },
    )
    config = home / "nginx.conf"
    temporary = "".join(
        f"{name}_temp_path {home}/nginx-{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};\n" if os.getuid() == 0 else ""
    config.write_text(
        f"{user}pid {home}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}include {site};\n}}\n"
    )
    nginx = systems.start("usr/sbin/nginx", "-p", home, "-c", config, "-e", "stderr", "-g", "daemon off;")
    nginx.wait_for(port)
    context = ssl.create_default_context(cafile=certificate)

    def ask(password: str, **headers: str) -> tuple[int, bytes]:
        credentials = base64.b64encode(f"prometheus:{password}".encode()).decode()
        headers |= {"Authorization": f"Basic {credentials}"}
        request = urllib.request.Request(f"https://localhost:{port}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    for _ in range(3):
        status, page = ask("secret")
        assert status == 200, nginx.log
        assert b'lines_total{prog="count.mtail"} 1\n' in page
    assert ask("wrong", **{"X-Forwarded-For": "127.0.0.1"})[0] == 401
    behind[1].chmod(0)
    if os.getuid() != 0:
        assert ask("secret")[0] == 502


def test_varnish_keeps_the_page(place: Place, systems: Systems, behind: tuple[Daemon, Path]) -> None:
    port = free_port()
    vcl = systems.configure("varnish/nativemtail.vcl", {"/run/nativemtail/http.sock": behind[1]})
    varnish = systems.start(
        "usr/sbin/varnishd",
        *("-F", "-j", "none", "-a", f"127.0.0.1:{port}", "-f", vcl, "-n", place.root / "varnish", "-s", "malloc,16m"),
        *("-p", f"vmod_path={Path(systems.root / 'usr/lib') / 'x86_64-linux-gnu/varnish/vmods'}"),
    )
    varnish.wait_for(port)

    def ask(path: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.headers["X-Varnish"], answer.read()
        connection.close()
        return found

    status, first, page = ask("/metrics")
    assert status == 200, varnish.log
    assert len(first.split()) == 1
    assert b'lines_total{prog="count.mtail"} 1\n' in page
    status, second, again = ask("/metrics")
    assert (status, again) == (200, page)
    assert len(second.split()) == 2, "the second answer did not come from the cache"
    status, _, body = ask("/metrics.json?prefix=x_")
    assert status == 200
    assert b'"x_lines_total"' in body
    assert ask("/nosuchpage")[0] == 404


def test_forwarded_headers_grant_nothing(place: Place) -> None:
    """Over TCP it is the peer's address that counts, whatever a proxy or a liar says."""
    (place.logs / "a.log").touch()
    arguments = ("--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0")
    daemon = place.launch(*arguments, "--trusted_hosts", "192.0.2.1")
    daemon.wait_log("HTTP on")
    found = re.search(r"HTTP on (\S+),", daemon.log)
    assert found
    daemon.address = found[1]
    for headers in ({}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1", "X-Real-IP": "192.0.2.1"}):
        assert daemon.ask("/metrics", headers)[0] == 401
