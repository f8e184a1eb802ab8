"""What pages show of programs when the engine is busy, or one of them cannot be explained."""

from __future__ import annotations
