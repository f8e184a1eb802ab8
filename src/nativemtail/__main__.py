"""`python -m nativemtail`."""

from __future__ import annotations

from nativemtail.app.cli import command

command()
