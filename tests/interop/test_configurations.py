"""Every configuration in examples/interop is used by a test and named by the page."""

from __future__ import annotations

from pathlib import Path

from systems import CONFIGURATIONS, PROJECT


def test_all_are_used_and_documented() -> None:
    page = (PROJECT / "docs/interop.md").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = [str(path.relative_to(CONFIGURATIONS)) for path in CONFIGURATIONS.rglob("*") if path.is_file()]
    assert names
    for name in names:
        assert f"(../examples/interop/{name})" in page
        assert name in tests
