"""Containers' logs under a glob of symbolic links, as Kubernetes lays them out, and their rotation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from daemons import Place, append
from paths import ROOT
from systems import CONFIGURATIONS

IDENTITY = "0123456789abcdef" * 4


class Node:
    """The directories of a node below `root`."""

    def __init__(self, root: Path) -> None:
        self.containers = root / "log/containers"
        self.pods = root / "log/pods"
        self.docker = root / "docker"
        for directory in (self.containers, self.pods, self.docker):
            directory.mkdir(parents=True)

    def run(self, pod: str, container: str, docker: bool = False) -> Path:
        """Start a container in the namespace `shop`; the file that its runtime writes."""
        directory = self.pods / f"shop_{pod}_uid" / container
        directory.mkdir(parents=True)
        file = entry = directory / "0.log"
        if docker:
            file = self.docker / IDENTITY / f"{IDENTITY}-json.log"
            file.parent.mkdir()
            entry.symlink_to(file)
        (self.containers / f"{pod}_shop_{container}-{IDENTITY}.log").symlink_to(entry)
        file.touch()
        return file


@pytest.fixture
def node(place: Place) -> Node:
    for name in ("cri", "docker"):
        (place.progs / f"{name}.mtail").write_text((ROOT / f"examples/{name}.mtail").read_text())
    return Node(place.root)


def flags(place: Place) -> list[str]:
    """Those of the DaemonSet, for the directories of the test."""
    text = (CONFIGURATIONS / "kubernetes/daemonset.yaml").read_text()
    found = re.findall(r"^ +- (--(?:logs|ignore_filename\w+)=.*)$", text, re.MULTILINE)
    assert len(found) == 2
    return [flag.replace("/var/log", f"{place.root}/log") for flag in found]


def line(text: str) -> bytes:
    return f"2026-03-02T08:00:11.123456789Z stdout F {text}\n".encode()


def key(pod: str, container: str = "web", name: str = "container") -> str:
    return f"{name}_lines_total{{container={container},namespace=shop,pod={pod},stream=stdout}}"


def test_cri(place: Place, node: Node) -> None:
    file = node.run("shop-1", "web")
    daemon = place.start(*flags(place), logs=[])
    append(file, line("one") + line("two"))
    daemon.wait_for(key("shop-1"), 2)
    # The kubelet renames the file, and has the runtime open a new one.
    file.rename(file.with_name("0.log.20260302-080012"))
    append(file.with_name("0.log.20260302-080012"), line("three"))
    file.touch()
    append(file, line("four"))
    daemon.wait_for(key("shop-1"), 4)
    # A pod that starts later is read from its beginning; our own logs are not.
    append(node.run("shop-2", "web"), line("five"))
    append(node.run("nativemtail-x", "nativemtail"), line("six"))
    daemon.wait_for(key("shop-2"), 1)
    assert daemon.value(key("nativemtail-x", "nativemtail")) is None
    (node.containers / f"shop-1_shop_web-{IDENTITY}.log").unlink()
    append(node.pods / "shop_shop-2_uid/web/0.log", line("seven"))
    daemon.wait_for(key("shop-2"), 2)
    assert daemon.value(key("shop-1")) == 4


def test_docker(place: Place, node: Node) -> None:
    file = node.run("shop-1", "web", docker=True)
    daemon = place.start(*flags(place), logs=[])
    record = b'{"log":"hello\\n","stream":"stdout","time":"2026-03-02T08:00:11.123456789Z"}\n'
    append(file, record * 3)
    daemon.wait_for(key("shop-1", name="docker"), 3)
    file.rename(file.with_name(f"{file.name}.1"))
    file.touch()
    append(file, record)
    daemon.wait_for(key("shop-1", name="docker"), 4)
