"""Every configuration in examples/interop is used by a test and named by the page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from paths import ROOT
from systems import CONFIGURATIONS


def test_all_are_used_and_documented() -> None:
    page = (ROOT / "docs/interop.md").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = [str(path.relative_to(CONFIGURATIONS)) for path in CONFIGURATIONS.rglob("*") if path.is_file()]
    assert names
    for name in names:
        assert f"(../examples/interop/{name})" in page
        assert name in tests


def test_the_packages_do_not_depend_on_what_is_installed(tmp_path: Path) -> None:
    """A machine where all of them are installed needs the same ones unpacked."""
    tool = str(ROOT / "tools" / "unpacked-packages")
    status, config = tmp_path / "status", tmp_path / "apt.conf"
    listed = subprocess.run([tool, "--list"], check=True, capture_output=True, text=True).stdout
    assert {"python3-whisper", "graphite-carbon", "collectd-core", "varnish"} <= set(listed.split())
    stanza = "Package: {0}\nStatus: install ok installed\nArchitecture: {1}\nVersion: 99\n\n"
    machine = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    status.write_text("".join(stanza.format(name, machine) for name in listed.split()))
    config.write_text(f'Dir::State::status "{status}";\n')
    environment = os.environ | {"APT_CONFIG": str(config)}
    again = subprocess.run([tool, "--list"], check=True, capture_output=True, text=True, env=environment).stdout
    assert again == listed
