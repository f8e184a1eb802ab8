"""The endpoints, asked directly."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail.http.messages import Request, Response
from nativemtail.http.site import Site
from nativemtail.telemetry.model import RESERVED

MakeSite = Callable[..., Site]
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def ask(site: Site, target: str, accept: str = "") -> Response:
    return site.answer(Request.parse(target, accept, 1000))


@pytest.mark.parametrize(
    ("target", "status", "content_type"),
    [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, TEXT),
        ("/metrics.json", 200, "application/json; charset=utf-8"),
        ("/json", 200, "application/json"),
        ("/varz", 200, "text/plain"),
        ("/graphite", 200, "text/plain"),
        ("/progz", 200, "text/html; charset=utf-8"),
        ("/progz?prog=a.mtail", 200, "text/plain; charset=utf-8"),
        ("/progz?prog=x", 404, "text/plain; charset=utf-8"),
        ("/profile", 200, "text/html; charset=utf-8"),
        ("/debug/vars", 200, "application/json; charset=utf-8"),
        ("/favicon.ico", 200, "image/x-icon"),
        ("/-/healthy", 200, "text/plain; charset=utf-8"),
        ("/-/ready", 200, "text/plain; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/metrics/", 404, "text/plain; charset=utf-8"),
        ("/quitquitquit", 404, "text/plain; charset=utf-8"),
        ("/debug/pprof/", 404, "text/plain; charset=utf-8"),
    ],
)
def test_endpoint(make_site: MakeSite, target: str, status: int, content_type: str) -> None:
    response = ask(make_site(), target)
    assert (response.status, response.content_type) == (status, content_type)
    assert response.body


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//metrics", "/metrics"),
        ("/x/../metrics?prefix=a", "/metrics?prefix=a"),
        ("//evil.example/", "/evil.example/"),
        ("/./", "/"),
        ("/../..", "/"),
        ("//%0d%0aSet-Cookie:x", "/%0D%0ASet-Cookie%3Ax"),
    ],
)
def test_clean_path(make_site: MakeSite, target: str, location: str) -> None:
    response = ask(make_site(), target)
    assert (response.status, response.headers) == (301, (("Location", location),))


@pytest.mark.parametrize(
    ("flag", "gone"),
    [("info_endpoint", ["/varz", "/progz", "/profile", "/favicon.ico"]), ("debugging_endpoint", ["/debug/vars"])],
)
def test_groups_can_be_turned_off(make_site: MakeSite, flag: str, gone: list[str]) -> None:
    site = make_site(**{flag: False})
    assert [ask(site, path).status for path in gone] == [404] * len(gone)
    assert ask(site, "/metrics").status == 200
    page = ask(site, "/").body
    assert b"disabled" in page
    assert (b'id="loader"' in page) == (flag != "info_endpoint")


@pytest.mark.parametrize(("accept", "content_type"), [("", TEXT), ("application/openmetrics-text", OPENMETRICS)])
def test_metrics(make_site: MakeSite, view_type: Any, accept: str, content_type: str) -> None:
    view = view_type()
    response = ask(make_site(view, emit_prog_label=False, emit_timestamp=True), "/metrics?prefix=my_", accept)
    assert response.content_type == content_type
    assert ("Vary", "Accept") in response.headers
    parse = parse_openmetrics if accept else parse_text
    families = {family.name: family for family in parse(response.body.decode())}
    assert families["my_hits"].samples[0].value == 3
    assert "my_process_open_fds" in families
    assert view.asked == {
        "emit_prog_label": False,
        "emit_timestamp": True,
        "prefix": "my_",
        "openmetrics": bool(accept),
        "names": None,
        "reserved": RESERVED,
    }


def test_chosen_names(make_site: MakeSite, view_type: Any) -> None:
    view = view_type()
    body = ask(make_site(view), "/metrics?prefix=p_&name[]=p_memory_usage&name[]=p_hits&name[]=other").body
    assert view.asked["names"] == {"memory_usage", "hits"}
    assert {family.name for family in parse_text(body.decode())} == {"p_hits", "p_memory_usage"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("text/html,application/json;q=0.9", "text/html"),
        ("application/json;q=0", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/*;q=0.5", "application/json"),
    ],
)
def test_profile(make_site: MakeSite, accept: str, kind: str) -> None:
    response = ask(make_site(), "/profile", accept)
    assert response.content_type == f"{kind}; charset=utf-8"
    assert ("Vary", "Accept") in response.headers
    if kind == "text/html":
        assert b"&lt;b&gt;" in response.body
        assert "default-src 'none'" in dict(response.headers)["Content-Security-Policy"]
    else:
        [program] = json.loads(response.body)["programs"]
        assert program == {
            "name": '<b>"&.mtail',
            "why": "w",
            "lines": 9,
            "runs": 4,
            "samples": 2,
            "seconds": 0.5,
            "patterns": [],
        }


@pytest.mark.parametrize("page", ["/metrics", "/metrics.json"])
@pytest.mark.parametrize("prefix", ["9", "a-b", "%C3%A4", "a%0A", "x" * 129])
def test_bad_prefix(make_site: MakeSite, page: str, prefix: str) -> None:
    assert ask(make_site(), f"{page}?prefix={prefix}").status == 400


def test_metrics_json(make_site: MakeSite) -> None:
    page = json.loads(ask(make_site(), "/metrics.json?prefix=my_").body)
    assert page["my_hits"] == {"type": "counter", "value": 3}
    assert page["my_mtail_log_lines_total"]["value"] == {
        "logfile": {"/var/log/<i>\ufffd": 0, "/var/log/gone": 7, "/var/log/x": 5, "udp://:514": 0}
    }


def test_what_the_store_refuses(make_site: MakeSite, view_type: Any) -> None:
    site = make_site(view_type(broken="was collected before with the same name and label values"))
    response = ask(site, "/metrics")
    assert (response.status, response.body) == (
        500,
        b"An error has occurred while serving metrics:\n\nwas collected before with the same name and label values\n",
    )
    assert ask(site, "/json").status == 500
    assert site.own.exports.counts()["exporter_json_errors"] == 1


def test_warnings_are_said_once(make_site: MakeSite, view_type: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(view_type(warnings=['"a b" is not a valid metric name']))
    with caplog.at_level(logging.WARNING):
        ask(site, "/metrics")
        ask(site, "/metrics")
    assert [record.getMessage() for record in caplog.records] == [
        'left out of the metrics: "a b" is not a valid metric name'
    ]


@pytest.mark.parametrize("known", [0, 1, 2])
def test_warnings_end(
    make_site: MakeSite, view_type: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """However many there are, and whatever scrape comes first."""
    monkeypatch.setattr("nativemtail.http.site._WARNINGS_KEPT", 2)
    site = make_site(view_type(warnings=["a", "b", "c"][:known]))
    with caplog.at_level(logging.WARNING):
        ask(site, "/metrics")
        site.view = make_site(view_type(warnings=["a", "b", "c", "d"])).view
        for _ in range(3):
            ask(site, "/metrics")
    assert [record.getMessage().partition(": ")[2] for record in caplog.records[:2]] == ["a", "b"]
    assert len(caplog.records) == 3
    assert "further ones are not" in caplog.text


def test_exports_are_counted(make_site: MakeSite) -> None:
    site = make_site()
    for target in ("/metrics", "/metrics", "/varz", "/graphite"):
        ask(site, target)
    counts = site.own.exports.counts()
    assert counts["metric_export_total"] == 2
    assert counts["exporter_varz_total"] == 2
    assert counts["graphite_export_total"] == 2
    assert sum(site.own.scrape_latency.ranges()[0]) == 2


def test_varz_and_graphite(make_site: MakeSite) -> None:
    site = make_site(graphite_prefix="g.", emit_prog_label=False)
    assert ask(site, "/varz").body == b"hits{instance=vm} 3\nsaid{instance=vm} hello\n"
    assert ask(site, "/graphite").body == b"g.a.mtail.hits 3 0\ng.a.mtail.said hello 0\n"


def test_ready(make_site: MakeSite) -> None:
    response = ask(make_site(ready=lambda: "loading programs"), "/-/ready")
    assert (response.status, response.body) == (503, b"nativemtail is not ready: loading programs\n")


@pytest.mark.parametrize("target", ["/metrics", "/metrics.json?prefix=x", "/json", "/varz", "/graphite", "/-/ready"])
def test_held_back_while_catching_up(make_site: MakeSite, target: str) -> None:
    left = ["catching up: 5 bytes left"]
    site = make_site(catching_up=lambda: left[0])
    response = ask(site, target)
    assert (response.status, response.body) == (503, b"catching up: 5 bytes left\n")
    left[0] = ""
    assert ask(site, target).status == 200


def test_progress_while_catching_up(make_site: MakeSite) -> None:
    site = make_site(catching_up=lambda: "catching up: 5 bytes left")
    assert ask(site, "/-/healthy").body == b"nativemtail is healthy.\ncatching up: 5 bytes left\n"
    for target in ("/", "/profile"):
        response = ask(site, target)
        assert response.status == 200
        assert b"catching up: 5 bytes left" in response.body
    assert ask(site, "/progz").status == 200


def test_progz(make_site: MakeSite) -> None:
    page = ask(make_site(), "/progz").body.decode()
    assert '<li><a href="?prog=a.mtail">a.mtail</a></li>' in page
    assert '<li><a href="?prog=%3Cb%3E%22%26.mtail">&lt;b&gt;&quot;&amp;.mtail</a></li>' in page
    assert '<li><a href="?prog=e%FF.mtail">e\\xff.mtail</a></li>' in page
    assert "c.mtail" not in page
    assert ask(make_site(), "/progz?prog=e%FF.mtail").status == 200
    dump = ask(make_site(), "/progz?prog=a.mtail").body.decode()
    assert dump.startswith("plan of a.mtail\nLast runtime error:\noh <no>\n")
    assert 'Full input text from "/var/log/x" was "bad \\x1b[31m \\xff line"' in dump


def test_a_failing_page(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise RuntimeError("secret")

    response = ask(make_site(ready=fail), "/-/ready")
    assert response.status == 500
    assert b"secret" not in response.body
    assert "secret" in caplog.text
