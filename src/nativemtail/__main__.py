"""`python -m nativemtail`."""

from __future__ import annotations

from nativemtail.cli import command

command()
