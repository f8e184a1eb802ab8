"""docs/migrating.md has a row for every flag, endpoint and metric that Debian's mtail shows of itself."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from daemons import PEER, Daemon, Place, append
from paths import ROOT
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from nativemtail.options import FLAGS

PAGE = (ROOT / "docs/migrating.md").read_text()
FAULTY = 'counter n\n/$/ {\n  n = 1 / strtol("0", 10)\n}\n'


def rows(heading: str) -> list[str]:
    """What the first column of the table under `heading` names, in code."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)))


def test_flags() -> None:
    assert PEER, "the package mtail is not installed (packages.txt)"
    usage = subprocess.run([PEER, "-help"], check=False, capture_output=True, text=True).stderr
    theirs = set(re.findall(r"^  -(\w+)", usage, re.MULTILINE))
    documented = [name.lstrip("-") for name in rows("Flags")]
    assert len(theirs) > 40
    assert theirs <= set(documented)
    assert {name.removeprefix("no-") for name in documented} == FLAGS.keys()
    assert len(documented) == len(set(documented))


@pytest.fixture
def peer(place: Place) -> Daemon:
    """mtail with a program that does not compile and one that fails on a line, so that its metrics are there."""
    (place.progs / "bad.mtail").write_text("nonsense")
    (place.progs / "faulty.mtail").write_text(FAULTY)
    log = place.logs / "a.log"
    log.touch()
    peer = place.start_peer()
    append(log, b"a 1\n")
    wait_until(lambda: b"mtail_prog_runtime_errors_total" in peer.ask("/metrics")[1])
    return peer


def test_endpoints(peer: Daemon) -> None:
    """Those that its status page links to, and those of which it is known that it has them."""
    links = set(re.findall(r'href="(/[^"?]*)"', peer.ask("/")[1].decode()))
    documented = rows("Pages")
    assert {"/metrics", "/json", "/tracez"} <= links
    assert links | {"/", "/favicon.ico", "/rpcz", "/debug/pprof"} <= set(documented)
    assert len(documented) == len(set(documented))


def own(daemon: Daemon) -> set[str]:
    """Families on `/metrics` that are not the user's."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(daemon.ask("/metrics")[1].decode())
        if not family.documentation.startswith("defined at ")
    }


def test_metrics(place: Place, peer: Daemon) -> None:
    """All but Go's are here too."""
    theirs, documented = own(peer), rows("Metrics of the process")
    assert len(theirs) > 30
    for name in theirs:
        assert name in documented or f"{name.partition('_')[0]}_*" in documented, name
    ours = place.start()
    append(place.logs / "a.log", b"a 1\n")
    wait_until(lambda: theirs - own(ours) == {name for name in theirs if name.startswith("go_")}, lambda: own(ours))
    variables = json.loads(peer.ask("/debug/vars")[1]).keys()
    assert len(variables) > 20
    assert variables <= json.loads(ours.ask("/debug/vars")[1]).keys()
