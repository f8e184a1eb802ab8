"""The sub-commands, as a click group."""

from __future__ import annotations

import click

from nativemtail import __version__, options


@click.group()
@click.version_option(__version__)
def group() -> None:
    """Logs to metrics.  Without a command: `nativemtail -help`."""


@group.command()
@click.option("--markdown", is_flag=True, help="As the tables of the documentation.")
def flags(markdown: bool) -> None:
    """List the flags of `nativemtail`."""
    click.echo(options.markdown() if markdown else options.usage())
