"""References to the specification lead to a page and a section of docs/spec/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT

SPEC = ROOT / "docs" / "spec"
SOURCES = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxi", ".hpp"}]


def sections(page: str) -> set[str]:
    text = (SPEC / page).read_text(encoding="utf-8")
    return set(re.findall(r"^#+ ([0-9]+(?:\.[0-9]+)*)\.? ", text, re.M))


def references(text: str) -> list[tuple[str, str]]:
    """Page and section of each reference; a section without a page belongs to the page before it."""
    found: list[tuple[str, str]] = []
    for citation in re.findall(r"\bspec ((?:[a-z-]+\.md)[^()\"\n]*)", text):
        page = ""
        for name, section in re.findall(r"([a-z-]+\.md)|§([0-9]+(?:\.[0-9]+)*)", citation):
            page = name or page
            if section:
                found.append((page, section))
    return found


def test_references_are_found_in_every_form() -> None:
    assert references("# (spec runtime.md §2.4, metrics-export.md §1.4 and §2.2).") == [
        ("runtime.md", "2.4"),
        ("metrics-export.md", "1.4"),
        ("metrics-export.md", "2.2"),
    ]


def test_every_reference_has_its_section() -> None:
    cited = {reference for path in SOURCES for reference in references(path.read_text(encoding="utf-8"))}
    assert len(cited) > 30
    missing = [(page, section) for page, section in sorted(cited) if section not in sections(page)]
    assert not missing


@pytest.mark.parametrize("page", sorted(SPEC.glob("*.md")), ids=lambda page: page.name)
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+\.md)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
