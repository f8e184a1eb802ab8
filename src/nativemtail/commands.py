"""The sub-commands, as a click group."""

from __future__ import annotations

import sys

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


@group.command()
@click.argument("theirs", metavar="URL_OF_MTAIL")
@click.argument("ours", metavar="[URL_OF_OURS]", default="http://127.0.0.1:3903")
@click.option("--patience", default=5.0, show_default=True, help="Seconds to try again for while the two differ.")
@click.option("--limit", default=50, show_default=True, help="Differences to show at most; 0 shows all.")
def compare(theirs: str, ours: str, patience: float, limit: int) -> None:
    """Compare what a running mtail and a running nativemtail have counted.

    Both must read the same logs with the same programs.  Exit status: 0 when they are equal, 1 when they differ, 2 when
    that cannot be told.
    """
    from nativemtail.compare import CompareError
    from nativemtail.compare import compare as run

    try:
        report = run(theirs, ours, patience)
    except CompareError as error:
        click.echo(error, err=True)
        sys.exit(2)
    shown = report.differences[: limit or None]
    for line in shown:
        click.echo(line)
    if len(shown) < len(report.differences):
        click.echo(f"and {len(report.differences) - len(shown)} more (--limit 0 shows all)")
    what = f"{report.metrics} metrics with {report.label_sets} label sets"
    click.echo(f"{len(report.differences)} differences in {what}" if report.differences else f"equal: {what}")
    sys.exit(1 if report.differences else 0)
