"""Where the parts of the repository are, for tests at any depth."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
CASES = TESTS / "conformance" / "cases"
BEYOND = TESTS / "conformance" / "beyond"
"""Cases of what mtail does not have."""
EXAMPLES = ROOT / "examples"
